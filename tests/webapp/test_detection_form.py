"""The detection form and the pages of data sets, without a job behind them."""

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

from jobs.kinds.detection.models import DataSet, Epoch, Run
from jobs.kinds.detection.presets import PRESETS
from jobs.kinds.detection.spec import DetectionSpec
from jobs.models import Experiment, Status
from tests.webapp.detection import make_detection
from webapp.accounts.models import Team, User
from webapp.experiments.detection.form import FORM
from webapp.experiments.forms import SpecForm

pytestmark = pytest.mark.django_db
REPORT = {
    "problems": [{"kind": "box_outside", "where": "<b>a.png</b>, object 3", "message": "it is cut"}],
    "counts": {"box_outside": 70},
}


@pytest.fixture(autouse=True)
def _folders(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT, settings.DATA_DIR = tmp_path / "media", tmp_path


@pytest.fixture
def client(as_user: Callable[[User], Client], bob: User) -> Client:
    return as_user(bob)


@pytest.fixture
def url(team: Team) -> str:
    return reverse("experiment-new", args=[team.code, "detection"])


@pytest.fixture
def cells(team: Team) -> DataSet:
    return DataSet.objects.create(
        team=team,
        name="cells",
        source="upload",
        status="ready",
        format="coco",
        report=REPORT,
        classes=["nucleus"],
        counts={"images": 10, "objects": 70, "train": 8, "val": 2, "by_class": {"nucleus": 70}, "parted": False},
    )


def posted(**changes: Any) -> dict[str, Any]:
    """The first preset as the form posts it, with changes."""
    sections = SpecForm(DetectionSpec, initial=PRESETS[0].values).sections
    values = {bound.field.name: bound.value for section in sections for bound in section.fields}
    values = {name: value for name, value in values.items() if value is not False}
    return values | {"rules": ["", *values["rules"]], "architectures": ["", *values["architectures"]]} | changes


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_a_valid_spec(preset: Any) -> None:
    DetectionSpec.model_validate(preset.values)


def test_the_form_posts_what_it_shows(client: Client, url: str) -> None:
    page = client.get(url).content.decode()
    assert 'name="rules" value="ellipse+ru"' in page and 'value="0, 10, 20, 30"' in page
    response = client.post(url, posted(angles="0, 45 90", finest_stride="4"))
    experiment = Experiment.objects.get()
    assert response.status_code == 302 and response.url == reverse("experiment", args=[experiment.code])  # type: ignore[attr-defined]
    assert experiment.spec == DetectionSpec.model_validate(PRESETS[0].values | {"angles": [0, 45, 90]}).model_dump()
    assert experiment.name == "Rendered shapes, 3 methods, FCOS"
    assert Run.objects.filter(experiment=experiment).count() == 3


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("rules", [""], "at least one"),
        ("rules", ["", "magic"], "unknown label rule"),
        ("rules", ["", "none+ru"], "no effect"),
        ("rules", ["", "ellipse", "ellipse"], "once"),
        ("deltas", "60", "45"),
        ("angles", "0, wide", "Number 2"),
        ("angles", "200", "180"),
        ("image_size", "100", "multiple of 32"),
        ("backbone", "resnet50", "weights"),
        ("weights", "../../etc/passwd", "operator"),
        ("data", "set/0", "choose"),
        ("data", "set/5f0c2b5e-8f5b-4c0e-9a53-0d1f7f0f6c11", "no such data set"),
        ("images", "9999999", "epochs"),
        ("seeds", "999", "between 1 and 20"),
        ("learning_rate", "0", "greater than 0"),
    ],
)
def test_errors_stand_at_their_field(client: Client, url: str, name: str, value: Any, says: str) -> None:
    more = {"backbone": "efficientnet_lite0", "pretrained": "on"} if name == "weights" else {}
    more |= {"pretrained": "on"} if name == "backbone" else {}
    answer = client.post(f"{url}estimate/", posted(**more | {name: value})).json()
    wrong = "weights" if name == "backbone" else name
    assert says.lower() in answer["errors"].get(wrong, "").lower(), answer["errors"]


def test_too_many_runs_are_refused(client: Client, url: str) -> None:
    rules = ["", "none", "largest", "ellipse+ru", "largest+ru", "perfect"]
    answer = client.post(f"{url}estimate/", posted(rules=rules, deltas="5, 10, 15, 20, 25, 30, 35", seeds="20")).json()
    assert "340 runs" in answer["errors"]["seeds"]


def test_what_a_data_set_does_not_allow_is_said(client: Client, url: str, cells: DataSet) -> None:
    chosen = f"set/{cells.code}"
    errors = client.post(f"{url}estimate/", posted(data=chosen, pretrained="on")).json()["errors"]
    assert "cells lacks some" in errors["rules"]
    DataSet.objects.update(status="new")
    assert "not read yet" in client.post(f"{url}estimate/", posted(data=chosen)).json()["errors"]["data"]
    DataSet.objects.update(status="refused", reason="a bomb")
    assert "a bomb" in client.post(f"{url}estimate/", posted(data=chosen)).json()["errors"]["data"]


def test_vizdoom_is_offered_where_it_can_be_drawn(
    client: Client, url: str, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"data": "builtin/vizdoom", "epochs": "2"}
    for there in (True, False):
        for module in ("form", "checks"):
            place = "webapp.experiments.detection" if module == "form" else "jobs.kinds.detection"
            monkeypatch.setattr(f"{place}.{module}.has_doom", lambda there=there: there)
        assert ("builtin/vizdoom" in client.get(url).content.decode()) == there
        answer = client.post(f"{url}estimate/", posted(**values)).json()
        assert ("data" in answer["errors"]) != there
    monkeypatch.undo()
    errors = client.post(f"{url}estimate/", posted(**values | {"images": "100"})).json()["errors"]
    assert "in epochs" in errors["images"]


def test_the_estimate_counts_and_uses_measured_speeds(team: Team, cells: DataSet) -> None:
    spec = DetectionSpec.model_validate({"backbone": "tiny", "seeds": 2})
    rows = {row.label: row.value for row in FORM.estimate(spec, team).rows}
    assert rows == {"Runs": "10", "Steps of a run": "450", "Images in all": "72,000", "Training time": "not known yet"}
    make_detection(team)
    Epoch.objects.update(values={"images_per_second": 100.0, "memory": 2**30, "batch": 8})
    rows = {row.label: row.value for row in FORM.estimate(spec, team).rows}
    assert rows["RetinaNet"] == "100 images/s" and rows["Training time"] == "about 12 min on one worker"
    assert rows["its GPU memory"] == "about 2.1 GB"  # a batch of 16
    own = DetectionSpec.model_validate({"data": f"set/{cells.code}", "images": 20, "rules": ["none"]})
    rows = {row.label: row.value for row in FORM.estimate(own, team).rows}
    assert rows["Images in all"] == "24", "three epochs of the 8 images that are trained on"


# --- data sets --------------------------------------------------------------------------------------------------------


def zip_file(name: str = "cells.zip") -> SimpleUploadedFile:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return SimpleUploadedFile(name, packed.getvalue())


def test_an_upload_goes_to_its_page(client: Client, team: Team) -> None:
    response = client.post(reverse("data-set-add", args=[team.code]), {"file": zip_file(), "name": "", "format": ""})
    made = DataSet.objects.get()
    assert response.url == reverse("data-set", args=[made.code])  # type: ignore[attr-defined]
    assert made.name == "cells" and made.reader is not None and made.reader.spec["train"] is False
    page = client.get(response.url).content.decode()  # type: ignore[attr-defined]
    assert "A worker reads it" in page and reverse("experiment", args=[made.reader.code]) in page
    Experiment.objects.update(status=Status.FAILED, reason="prepare 0 failed: killed")
    page = client.get(response.url).content.decode()  # type: ignore[attr-defined]
    assert "prepare 0 failed: killed" in page
    headers = {"Accept": "application/json"}
    again = client.post(reverse("data-set-add", args=[team.code]), {"file": zip_file()}, headers=headers)
    assert again.status_code == 422 and "already" in again.json()["error"]


def test_paths_are_offered_only_where_the_operator_allows_some(
    client: Client, team: Team, settings: Any, tmp_path: Path
) -> None:
    page = reverse("data-sets", args=[team.code])
    assert 'name="path"' not in client.get(page).content.decode()
    add = reverse("data-set-add", args=[team.code])
    assert "no folder" in client.post(add, {"path": "/etc"}).content.decode()
    settings.DETECTION_DIRS = [tmp_path]
    assert str(tmp_path) in client.get(page).content.decode()
    (tmp_path / "voc").mkdir()
    assert client.post(add, {"path": "voc"}).status_code == 302
    assert DataSet.objects.get().path == str(tmp_path / "voc")


def test_the_report_names_every_kind_of_fault(client: Client, cells: DataSet) -> None:
    page = client.get(reverse("data-set", args=[cells.code])).content.decode()
    assert "Box outside of its image" in page and "and 70 in all" in page
    assert "&lt;b&gt;a.png&lt;/b&gt;" in page and "<b>a.png" not in page
    assert f"data=set/{cells.code}" in page


def test_a_link_chooses_the_data_set(client: Client, url: str, cells: DataSet) -> None:
    page = client.get(url, {"preset": "nuclei", "data": f"set/{cells.code}"}).content.decode()
    assert f'value="set/{cells.code}" selected' in page


def test_a_set_in_use_is_not_deleted(client: Client, team: Team, cells: DataSet) -> None:
    address = reverse("data-set-delete", args=[cells.code])
    client.post(address)
    using = make_detection(team, spec={"data": f"set/{cells.code}"}, status=Status.RUNNING, scored=False, epochs=0)
    client.post(address, {"confirm": "delete"})
    assert DataSet.objects.exists(), "not confirmed, then in use"
    Experiment.objects.filter(pk=using.pk).update(status=Status.FINISHED)
    client.post(address, {"confirm": "delete"})
    assert not DataSet.objects.exists()


def test_a_viewer_sees_no_form(as_user: Callable[[User], Client], vera: User, team: Team, cells: DataSet) -> None:
    page = as_user(vera).get(reverse("data-sets", args=[team.code])).content.decode()
    assert "cells" in page and "<form" not in page.split("<main")[1]
