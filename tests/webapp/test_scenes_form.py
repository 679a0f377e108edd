"""The form of scene experiments, what the Make tab posts, and the pages of sets of posed pictures."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from jobs.kinds.scenes.models import GeneratedScene, SceneRun, SceneSet
from jobs.kinds.scenes.presets import PRESETS
from jobs.kinds.scenes.spec import ScenesSpec
from jobs.models import Experiment, Status
from tests.webapp.scenes import jpeg, make_scenes, make_set
from tests.webapp.test_scenes_page import checked
from webapp.accounts.models import Team, User
from webapp.experiments.forms import SpecForm
from webapp.experiments.scenes.form import FORM

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _folders(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT, settings.DATA_DIR = tmp_path / "media", tmp_path


@pytest.fixture
def client(as_user: Callable[[User], Client], bob: User) -> Client:
    return as_user(bob)


@pytest.fixture
def url(team: Team) -> str:
    return reverse("experiment-new", args=[team.code, "scenes"])


def posted(**changes: Any) -> dict[str, Any]:
    """The first preset as the form posts it, with changes."""
    sections = SpecForm(ScenesSpec, initial=PRESETS[0].values).sections
    values = {bound.field.name: bound.value for section in sections for bound in section.fields}
    return {name: value for name, value in values.items() if value is not False} | changes


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_a_valid_spec(preset: Any) -> None:
    ScenesSpec.model_validate(preset.values)


def test_the_form_posts_what_it_shows(client: Client, url: str) -> None:
    checked(client.get(url))
    response = client.post(url, posted(scenes="2"))
    experiment = Experiment.objects.get()
    assert response.status_code == 302 and response.url == reverse("experiment", args=[experiment.code])  # type: ignore[attr-defined]
    assert experiment.spec == ScenesSpec.model_validate(PRESETS[0].values | {"scenes": 2}).model_dump(mode="json")
    assert experiment.name == "Drawn rooms, 32 × 32 × 8"
    assert GeneratedScene.objects.filter(experiment=experiment).count() == 2


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("data", "set/0", "choose"),
        ("data", "set/5f0c2b5e-8f5b-4c0e-9a53-0d1f7f0f6c11", "no such set"),
        ("grid", "9x9x9", "8x32x32"),
        ("image_size", "100", "multiple of 16"),
        ("start_from", "nonsense", "code of an experiment"),
        ("steps_c", "0", "between 1 and 1,000"),
        ("learning_rate", "0", "greater than 0"),
    ],
)
def test_errors_stand_at_their_field(client: Client, url: str, name: str, value: Any, says: str) -> None:
    answer = client.post(f"{url}estimate/", posted(**{name: value})).json()
    assert says.lower() in answer["errors"].get(name, "").lower(), answer["errors"]


def test_the_estimate_counts_memory_and_uses_measured_speeds(team: Team) -> None:
    steps = {"autoencoder_steps": 300, "diffusion_steps": 300, "scenes": 3, "rooms": 16}
    spec = ScenesSpec.model_validate(PRESETS[0].values | steps)
    rows = {row.label: row.value for row in FORM.estimate(spec, team).rows}
    assert rows["Training time"] == "not known yet" and rows["Diffusion"] == "300 steps"
    assert rows["To train on"] == "16 rooms" and rows["Memory of a step"].endswith("MB")
    paper = {row.label: row.value for row in FORM.estimate(ScenesSpec.model_validate(PRESETS[2].values), team).rows}
    assert paper["Memory of a step"].endswith("GB") and paper["To train on"] == "1,830 scenes, 73,200 views"
    make_scenes(team)
    SceneRun.objects.filter(stage="autoencoder").update(progress={"steps_per_second": 5.0, "memory": 2 * 10**9})
    rows = {row.label: row.value for row in FORM.estimate(spec, team).rows}
    assert rows["Scene auto-encoder"] == "300 steps, 1 min" and rows["GPU memory"] == "about 2.0 GB"
    assert rows["3 scenes"] == "about 5 s" and rows["Altogether"].endswith("on one worker")


def test_an_own_set_and_a_trained_experiment_are_offered(client: Client, team: Team, url: str) -> None:
    found = make_set(team)
    trained = make_scenes(team, name="Trained before")
    text = checked(client.get(f"{url}?data=set/{found.code}"))
    assert f'value="set/{found.code}" selected' in text and "Our office, 2 scenes, 12 views" in text
    assert f'value="{trained.code}"' in text and reverse("scene-sets", args=[team.code]) in text


# --- making scenes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(team: Team, bob: User) -> Experiment:
    return make_scenes(team, bob)


def asked(client: Client, experiment: Experiment, **values: Any) -> Any:
    path = reverse("experiment-make", args=[experiment.code])
    return client.post(path, {"seed": "7", **values}, headers={"Accept": "application/json"})


def test_sliders_become_the_settings_of_a_scene(client: Client, trained: Experiment) -> None:
    sliders = {
        "steps_g": "5",
        "guidance_g": "1",
        "steps_c": "40",
        "guidance_c": "2.5",
        "steps_f": "9",
        "guidance_f": "0",
    }
    answer = asked(client, trained, operation="new", sampler="ddim", **sliders)
    assert answer.status_code == 201 and answer.json()["number"] == 4
    scene = GeneratedScene.objects.get(number=4)
    assert scene.settings["c"] == {"sampler": "ddim", "steps": 40, "guidance": 2.5} and scene.seed == 7
    assert (scene.operation, scene.parent, scene.stage) == ("new", None, "generate")
    assert Experiment.objects.get().status == Status.FINISHED, "an ended experiment stays ended"
    page = client.get(answer.json()["url"])
    assert "Waiting for a worker" in checked(page)


def test_edits_name_their_scenes(client: Client, trained: Experiment) -> None:
    box = {"left": "20", "top": "10", "right": "60", "bottom": "50"}
    assert asked(client, trained, operation="inpaint", scene="2", **box).status_code == 201
    scene = GeneratedScene.objects.get(number=4)
    assert scene.settings["box"] == {"left": 0.2, "top": 0.1, "right": 0.6, "bottom": 0.5}
    assert scene.parent is not None and scene.parent.number == 2
    assert asked(client, trained, operation="vary", scene="1", strength="0.3", groups=["f"]).status_code == 201
    varied = GeneratedScene.objects.get(number=5)
    assert varied.settings["strength"] == 0.3 and varied.settings["groups"] == ["f"]
    assert asked(client, trained, operation="join", scene="1", other="3").status_code == 201
    joined = GeneratedScene.objects.get(number=6)
    assert joined.parent and joined.other and (joined.parent.number, joined.other.number) == (1, 3)


def test_a_style_keeps_its_picture(client: Client, trained: Experiment) -> None:
    picture = SimpleUploadedFile("a.jpg", jpeg(1, size=64), content_type="image/jpeg")
    assert asked(client, trained, operation="style", scene="1", image=picture).status_code == 201
    assert GeneratedScene.objects.get(number=4).image_file


@pytest.mark.parametrize(
    "values",
    [
        {"operation": "magic"},
        {"operation": "inpaint", "scene": "2", "left": "60", "right": "20", "top": "0", "bottom": "50"},
        {"operation": "vary", "scene": "99"},
        {"operation": "vary", "scene": "1", "strength": "7"},
        {"operation": "join", "scene": "1"},
        {"operation": "style", "scene": "1"},
        {"operation": "new", "steps_c": "many"},
        {"operation": "new", "steps_c": "0"},
        {"operation": "new", "guidance_c": "nan"},
        {"operation": "new", "sampler": "magic"},
        {"operation": "new", "seed": "1e99"},
        {"operation": "vary", "scene": "1", "groups": []},
    ],
)
def test_nonsense_is_refused_with_a_sentence(client: Client, trained: Experiment, values: dict[str, Any]) -> None:
    answer = asked(client, trained, **values)
    assert answer.status_code == 422 and len(answer.json()["error"]) > 10
    assert GeneratedScene.objects.count() == 3


def test_nobody_else_makes_scenes(
    team: Team, trained: Experiment, vera: User, charlie: User, as_user: Callable[[User], Client]
) -> None:
    assert asked(as_user(vera), trained, operation="new").status_code == 403
    assert asked(as_user(charlie), trained, operation="new").status_code == 404
    assert asked(Client(), trained, operation="new").status_code == 302
    assert GeneratedScene.objects.count() == 3


# --- sets of posed pictures -------------------------------------------------------------------------------------------


def zip_file(name: str = "office.zip") -> SimpleUploadedFile:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("transforms.json", "{}")
    return SimpleUploadedFile(name, packed.getvalue())


def test_an_upload_goes_to_its_page(client: Client, team: Team) -> None:
    add = reverse("scene-set-add", args=[team.code])
    response = client.post(add, {"file": zip_file(), "name": ""})
    made = SceneSet.objects.get()
    assert response.url == reverse("scene-set", args=[made.code])  # type: ignore[attr-defined]
    assert made.name == "office" and made.reader is not None and made.reader.spec["train"] is False
    assert "A worker reads it" in checked(client.get(response.url))  # type: ignore[attr-defined]
    again = client.post(add, {"file": zip_file()}, headers={"Accept": "application/json"})
    assert again.status_code == 422 and "already" in again.json()["error"]
    assert "office" in checked(client.get(reverse("scene-sets", args=[team.code])))


def test_a_set_shows_its_cameras_and_what_is_wrong(client: Client, team: Team) -> None:
    found = make_set(team)
    page = reverse("scene-set", args=[found.code])
    text = checked(client.get(page))
    assert "<canopy-cameras" in text and "Lens distortion" in text and "and 3 in all" in text
    assert "&lt;b&gt;hall&lt;/b&gt;" in text and "<b>hall" not in text
    told = client.get(reverse("scene-set-cameras", args=[found.code, "1"])).json()
    assert told["box"] == {"min": [0, 0, 0], "max": [32, 32, 8]} and len(told["cameras"]) == 6
    assert told["cameras"][4]["held_out"] is True and told["cameras"][0]["label"] == "View 0"
    assert client.get(told["cameras"][2]["image"]).content == jpeg(12)
    other = client.get(f"{page}?scene=1&camera=3", headers={"X-Part": "browser"}).content.decode()
    assert "desk" in other and "<html" not in other
    for key in ("9", "x"):
        assert client.get(reverse("scene-set-cameras", args=[found.code, key])).status_code == 404
        assert client.get(reverse("scene-set-picture", args=[found.code, f"0-{key}"])).status_code == 404


def test_a_refused_set_says_why_and_can_be_deleted(client: Client, team: Team) -> None:
    found = make_set(team, status="refused", reason="kitchen has 3 poses and 4 pictures.")
    page = reverse("scene-set", args=[found.code])
    assert "kitchen has 3 poses" in checked(client.get(page))
    delete = reverse("scene-set-delete", args=[found.code])
    client.post(delete)
    assert SceneSet.objects.exists(), "not confirmed"
    client.post(delete, {"confirm": "delete"})
    assert not SceneSet.objects.exists()
