"""The experiment page of detection: every tab in every state, what strangers see, and how many queries a page takes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.kinds.detection.models import (
    AngleScore,
    DataSet,
    Epoch,
    Prediction,
    Run,
    SetImage,
    TriedDetections,
    TriedImage,
    TriedPicture,
)
from jobs.models import Experiment, Status
from tests.webapp.detection import jpeg, make_detection
from tests.webapp.test_html import Page, check_labels, check_policy
from tests.webapp.test_live_page import share
from webapp.accounts.models import Team, User
from webapp.experiments.detection.methods import methods_of
from webapp.experiments.detection.scores import confusion

SignIn = Callable[[User], Client]
TABS = ["", "predictions", "curves", "images", "try", "log", "config", "files"]


def address(experiment: Experiment, tab: str = "") -> str:
    name, code = ("experiment-tab", experiment.code) if tab else ("experiment", experiment.code)
    return reverse(name, args=[code, tab] if tab else [code])


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("tab", TABS)
def test_every_tab_in_every_state(tab: str, status: str, team: Team, bob: User, as_user: SignIn) -> None:
    ended = status == Status.FINISHED
    experiment = make_detection(team, status=status, scored=ended, epochs=0 if status == Status.QUEUED else 2)
    answer = as_user(bob).get(address(experiment, tab))
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.unbalanced == [] and page.stack == []
    check_policy(page)
    check_labels(page, {attributes["id"] for _, attributes in page.elements if "id" in attributes})
    assert "Draw more" not in answer.content.decode() and "Grade again" not in answer.content.decode()


# --- size ------------------------------------------------------------------------------------------------------------


def queries(client: Client, path: str) -> tuple[int, int]:
    """How many queries the page takes, and its bytes."""
    with CaptureQueriesContext(connection) as found:
        answer = client.get(path)
    assert answer.status_code == 200
    return len(found), len(answer.content)


@pytest.mark.parametrize("tab", ["", "predictions", "curves", "images", "try"])
def test_queries_do_not_grow(tab: str, team: Team, bob: User, as_user: SignIn) -> None:
    client = as_user(bob)
    small = make_detection(team, spec={"seeds": 1, "rules": ["largest", "ellipse+ru"]}, epochs=2)
    large = make_detection(team, spec={"seeds": 3}, epochs=8)
    client.get(address(small, tab))  # what is cached after a first page
    assert queries(client, address(large, tab))[0] == queries(client, address(small, tab))[0] <= 32


def test_a_long_training_makes_no_large_page(team: Team, bob: User, as_user: SignIn) -> None:
    client = as_user(bob)
    spec = {"seeds": 1, "rules": ["ellipse"]}
    short, long = (make_detection(team, spec=spec, epochs=epochs, scored=False) for epochs in (60, 600))
    for experiment, epochs in ((short, 60), (long, 600)):
        state = client.get(reverse("experiment-live", args=[experiment.code])).json()
        shown = [row["epoch"] for row in state["kind"]["epochs"]]
        assert len(shown) <= 61 and shown[-1] == epochs and shown == sorted(shown)
    assert queries(client, address(long))[1] < 1.1 * queries(client, address(short))[1]


def test_the_gallery_is_paged_by_the_server(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_detection(team)  # 10 runs, 5 angles, 2 images
    client = as_user(bob)
    first = client.get(address(experiment, "predictions")).context
    assert (first["count"], first["pages"], len(first["items"])) == (100, 5, 24)
    badness = [item.prediction.badness for item in first["items"]]
    assert badness == sorted(badness, reverse=True), "worst first"
    last = client.get(address(experiment, "predictions"), {"page": 99}).context
    assert (last["page_number"], len(last["items"]), last["next_url"]) == (5, 4, "")
    assert last["items"][-1].prediction.badness <= badness[-1]


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"method": "retinanet.ellipse.10"}, 20),
        ({"method": "retinanet.ellipse"}, 20),
        ({"angle": "30"}, 20),
        ({"angle": "30.0", "seed": "1"}, 10),
        ({"chosen": "random"}, 50),
        ({"method": "nonsense", "angle": "x", "seed": "²", "page": "-1", "at": "9" * 30, "score": "7"}, 100),
        ({"angle": "33"}, 0),
    ],
)
def test_the_gallery_is_filtered(asked: dict[str, str], count: int, team: Team, bob: User, as_user: SignIn) -> None:
    assert as_user(bob).get(address(make_detection(team), "predictions"), asked).context["count"] == count


def test_missed_and_wrong_follow_the_score(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_detection(team)
    client = as_user(bob)
    for score, missed, wrong in ((0.5, 2, 0), (0.4, 1, 0), (0.3, 1, 1), (0.95, 3, 0)):
        answer = client.get(address(experiment, "predictions"), {"method": "retinanet.perfect", "score": score})
        item = answer.context["items"][0]
        assert (item.missed, item.wrong) == (missed, wrong), score


def test_a_prediction_in_full_has_the_other_runs_beside_it(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_detection(team)
    client = as_user(bob)
    one = client.get(address(experiment, "predictions")).context["items"][1].prediction
    shown = client.get(address(experiment, "predictions"), {"at": one.pk}).context["shown"]
    assert shown["item"].prediction.pk == one.pk
    assert shown["previous_url"] and shown["following_url"]
    same = {(other.prediction.image, other.prediction.angle) for other in shown["others"]}
    assert same == {(one.image, one.angle)} and len(shown["others"]) == 9
    part = client.get(address(experiment, "predictions"), headers={"X-Part": "browser"}).content.decode()
    assert "<html" not in part and "data-filters" in part


def test_another_experiments_prediction_is_not_shown(team: Team, bob: User, as_user: SignIn) -> None:
    other = Prediction.objects.filter(experiment=make_detection(team)).earliest("pk")
    answer = as_user(bob).get(address(make_detection(team), "predictions"), {"at": other.pk})
    assert answer.context["shown"] is None


# --- curves -----------------------------------------------------------------------------------------------------------


def test_curves_are_means_over_seeds(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_detection(team)
    for seed, (ap, precision) in enumerate([(0.4, 0.8), (0.6, 1.0)]):
        score = AngleScore.objects.get(run__experiment=experiment, run__rule="largest", run__seed=seed, angle=20)
        score.details["classes"]["corner"] = [ap, None, ap]
        score.details["curves"]["corner"] = [precision] * 101
        score.save()
    asked = {"method": "retinanet.largest", "angle": "20"}
    found = as_user(bob).get(address(experiment, "curves"), asked).context
    corner = next(row for row in found["classes"] if row.title == "corner")
    assert corner.values == [pytest.approx(50), None, pytest.approx(50)]
    curve = next(each for each in found["curves"]["classes"] if each["name"] == "corner")
    assert curve["precision"] == [0.9] * 101
    assert found["confusion"]["rows"][0]["cells"][0].count == 80, "counts are summed"
    assert found["confusion"]["rows"][0]["sum"] == 98


def test_another_methods_mean_curve_is_beside(team: Team, bob: User, as_user: SignIn) -> None:
    experiment, client = make_detection(team), as_user(bob)
    for seed, precision in enumerate((0.5, 0.7)):
        score = AngleScore.objects.get(run__experiment=experiment, run__rule="perfect", run__seed=seed, angle=0)
        score.details["curves75"] = {"ellipse": [precision] * 101, "corner": [precision / 2] * 101}
        score.save()
    asked = {"method": "retinanet.largest", "beside": "retinanet.perfect", "iou": "75"}
    beside = client.get(address(experiment, "curves"), asked).context["curves"]["beside"]
    assert (beside["title"], beside["precision"]) == ("Perfect, from masks", [0.45] * 101)
    asked["beside"] = "retinanet.largest"
    assert client.get(address(experiment, "curves"), asked).context["curves"]["beside"] is None


def test_a_confusion_matrix_of_many_classes_shows_the_common_ones() -> None:
    size = 41
    matrix = [[(row if row == column else 0) for column in range(size)] for row in range(size)]
    classes = {f"class {row}": [None, None, None] for row in range(size - 1)}
    found = confusion([{"confusion": matrix, "classes": classes}])
    assert found is not None and found["left_out"] == 10
    assert found["names"] == [f"class {row}" for row in range(10, 40)] + ["background"]


# --- strangers --------------------------------------------------------------------------------------------------------


def test_a_link_without_samples_has_no_pictures(team: Team, client: Client) -> None:
    experiment = make_detection(team)
    picture = experiment.pictures.earliest("pk")
    for include, expected in ((True, 200), (False, 404)):
        token = share(experiment, str(include), include_samples=include)
        for tab in ("predictions", "images", "try"):
            assert client.get(reverse("shared-tab", args=[token, tab])).status_code == expected
        assert client.get(reverse("shared-picture", args=[token, "prediction", picture.code])).status_code == expected
        jsonl = client.get(reverse("shared-download", args=[token, "predictions.jsonl"]))
        assert jsonl.status_code == expected
        assert client.get(reverse("shared-tab", args=[token, "curves"])).status_code == 200
        page = client.get(reverse("shared", args=[token])).content.decode()
        assert ("predictions/" in page) is include and ("images/" in page) is include


def test_a_stranger_is_told_no_file_names_and_no_reasons(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_detection(team)
    TriedImage.objects.create(experiment=experiment, index=0, name="passport.jpg", file="tried/x", seq=5)
    mine = as_user(bob).get(reverse("experiment-live", args=[experiment.code])).json()["kind"]
    assert mine["tries"][0]["name"] == "passport.jpg" and "a.png" in mine["data"]["report"][0]
    token = share(experiment, include_samples=False)
    for answer in (Client().get(reverse("shared-live", args=[token])), Client().get(reverse("shared", args=[token]))):
        assert "passport" not in answer.content.decode() and "a.png" not in answer.content.decode()
    theirs = Client().get(reverse("shared-live", args=[token])).json()["kind"]
    assert theirs["scores"] == mine["scores"] and theirs["data"]["images"] == mine["data"]["images"]


def test_pictures_are_those_of_the_experiment(team: Team, bob: User, charlie: User, as_user: SignIn) -> None:
    experiment, other = make_detection(team), make_detection(team)
    code = experiment.pictures.earliest("pk").code

    def get(user: User, of: Experiment, part: str, key: object) -> int:
        return as_user(user).get(reverse("experiment-picture", args=[of.code, part, key])).status_code

    answer = as_user(bob).get(reverse("experiment-picture", args=[experiment.code, "prediction", code]))
    assert answer.status_code == 200 and answer["Content-Type"] == "image/jpeg"
    assert answer["X-Content-Type-Options"] == "nosniff" and answer.content[:2] == b"\xff\xd8"
    assert get(bob, other, "prediction", code) == 404
    assert get(charlie, experiment, "prediction", code) == 404
    for part, key in (("prediction", "x"), ("set", "0"), ("set", "-1"), ("tried", f"{code}@0"), ("nonsense", "1")):
        assert get(bob, experiment, part, key) == 404


def test_hostile_names_stay_text(team: Team, bob: User, as_user: SignIn) -> None:
    name = "</title><script>alert(1)</script>"
    experiment = make_detection(team)
    Prediction.objects.filter(experiment=experiment).update(file=name)
    prepared = experiment.prepared
    prepared.values["classes"] = [name] * 3
    prepared.save()
    client = as_user(bob)
    at = Prediction.objects.filter(experiment=experiment).earliest("pk").pk
    for path in (address(experiment), address(experiment, "predictions") + f"?at={at}", address(experiment, "images")):
        assert name not in client.get(path).content.decode()


# --- images and tries -------------------------------------------------------------------------------------------------


def test_images_of_a_teams_set(team: Team, bob: User, as_user: SignIn) -> None:
    found = DataSet.objects.create(
        team=team, name="Cells", source="upload", classes=["cell"], counts={"images": 90, "shown": 40}, status="ready"
    )
    for index in range(40):
        SetImage.objects.create(
            data_set=found, index=index, split="val" if index % 4 == 0 else "train", file=f"cell-{index:02}.png",
            width=120, height=80, objects_count=index, labels=[[0, 3.0, 4.0, 60.0, 40.0]], jpeg=jpeg(),
        )  # fmt: skip
    experiment = make_detection(team, spec={"data": f"set/{found.code}"}, scored=False)
    client = as_user(bob)
    page = client.get(address(experiment, "images"))
    assert (page.context["count"], len(page.context["items"]), page.context["pages"]) == (40, 36, 2)
    tile = page.context["items"][0].tile
    assert (tile.width, tile.height) == (200, pytest.approx(133.33))
    assert (tile.truth[0].x, tile.truth[0].width, tile.truth[0].name or tile.truth[0].text) == (5, 95, "cell")
    assert "Cells (set/" in client.get(address(experiment, "config")).content.decode()
    assert client.get(address(experiment, "images"), {"split": "val"}).context["count"] == 10
    assert client.get(address(experiment, "images"), {"q": "cell-3"}).context["count"] == 10
    most = client.get(address(experiment, "images"), {"order": "most"}).context["items"][0]
    assert most.note.startswith("39 objects")
    assert client.get(reverse("experiment-picture", args=[experiment.code, "set", 7])).status_code == 200


@pytest.fixture
def _store(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def test_trying_a_picture(_store: None, team: Team, bob: User, vera: User, as_user: SignIn) -> None:
    experiment = make_detection(team)
    go = reverse("experiment-try", args=[experiment.code])

    def post(user: User, content: bytes) -> HttpResponse:
        return as_user(user).post(go, {"file": SimpleUploadedFile("mine.jpg", content, "image/jpeg")})

    assert post(vera, jpeg()).status_code == 403
    assert as_user(bob).get(go).status_code == 405
    assert TriedImage.objects.count() == 0
    answer = post(bob, jpeg())
    tried = TriedImage.objects.get()
    assert answer.headers["Location"].endswith(f"/try/?at={tried.code}")
    page = as_user(bob).get(answer.headers["Location"]).context
    assert page["chosen"] == tried and page["tried"]["state"] in ("queued", "waiting")
    assert [method["title"] for method in page["tried"]["methods"]][:2] == ["No rotation", "Largest box"]
    run = Run.objects.filter(experiment=experiment, seed=0).earliest("index")
    TriedPicture.objects.create(tried=tried, angle=20, jpeg=jpeg())
    TriedDetections.objects.create(tried=tried, run=run, angle=20, found=[[0, 0.9, 1, 2, 3, 4]])
    data = as_user(bob).get(address(experiment, "try")).context["tried"]
    assert list(data["pictures"]) == ["20"] and data["methods"][0]["found"] == {"20": [[0, 0.9, 1, 2, 3, 4]]}
    assert as_user(bob).get(data["pictures"]["20"]).status_code == 200
    stranger = Client().get(reverse("shared-tab", args=[share(experiment), "try"])).context
    assert not stranger["can_try"] and stranger["try_url"] == ""


def test_a_running_experiment_refuses_a_picture(_store: None, team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_detection(team, status=Status.RUNNING, scored=False)
    client = as_user(bob)
    go = reverse("experiment-try", args=[experiment.code])
    assert client.post(go, {"file": SimpleUploadedFile("a.jpg", jpeg())}).status_code == 302
    assert "once the experiment has ended" in client.get(address(experiment, "try")).content.decode()
    assert client.post(go).status_code == 302
    assert "Choose a picture first" in client.get(address(experiment, "try")).content.decode()


# --- files and data ---------------------------------------------------------------------------------------------------


def text_of(client: Client, experiment: Experiment, name: str) -> str:
    answer = client.get(reverse("experiment-download", args=[experiment.code, name]))
    assert answer.status_code == 200
    chunks: list[bytes] = async_to_sync(_collect)(answer)
    return b"".join(chunks).decode()


async def _collect(answer: Any) -> list[bytes]:
    return [chunk async for chunk in answer.streaming_content]


def test_downloads(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_detection(team, epochs=3)
    client = as_user(bob)
    scores = list(csv.DictReader(io.StringIO(text_of(client, experiment, "scores.csv"))))
    assert len(scores) == 50
    one = next(row for row in scores if row["rule"] == "ellipse" and row["delta"] == "10.0" and row["angle"] == "30.0")
    kept = AngleScore.objects.get(run__experiment=experiment, run__rule="ellipse", run__delta=10, run__seed=0, angle=30)
    assert float(one["ap75"]) == kept.ap75 and one["seed"] == "0"
    epochs = list(csv.DictReader(io.StringIO(text_of(client, experiment, "epochs.csv"))))
    assert len(epochs) == 30 and json.loads(epochs[0]["losses"]).keys() == {"classification", "bbox_regression"}
    quality = text_of(client, experiment, "label-quality.csv").splitlines()
    assert len(quality) == 11 and quality[0].startswith("rule,angle,share_iou_50")
    lines = text_of(client, experiment, "predictions.jsonl").splitlines()
    assert len(lines) == 100 and json.loads(lines[0])["truth"][0][0] == 0


def test_gates_are_those_of_the_newest_epoch(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_detection(team, epochs=3, scored=False)
    runs = Run.objects.filter(experiment=experiment, delta=10).order_by("index")
    Epoch.objects.filter(run=runs[0], epoch=3).delete()
    Run.objects.filter(pk=runs[0].pk).update(epochs=2)
    rows = as_user(bob).get(reverse("experiment-data", args=[experiment.code, "gates"])).json()["rows"]
    assert [(row["run"], row["epoch"]) for row in rows] == [(runs[0].index, 2), (runs[1].index, 3)]
    assert rows[0]["gates"]["bbox_regression"][0] == [0, 5, 100, 95]


# --- how methods look -------------------------------------------------------------------------------------------------


def test_a_rule_has_its_colour_in_every_experiment(team: Team) -> None:
    def slots(**spec: Any) -> dict[str, int]:
        experiment = make_detection(team, spec=spec, scored=False, epochs=0)
        return {method.title: method.slot for method in methods_of(Run.objects.filter(experiment=experiment))}

    assert slots(rules=["largest", "ellipse+ru"])["Largest box"] == slots(rules=["none", "largest"])["Largest box"]
    many = slots(rules=["none", "largest", "largest+ru", "ellipse", "ellipse+ru", "octagon:0.1", "octagon:0.2"])
    assert len(set(many.values())) == len(many) == 7, "told apart while there are colours"
    both = make_detection(team, spec={"architectures": ["retinanet", "fcos"], "rules": ["ellipse"]}, scored=False)
    first, second = methods_of(Run.objects.filter(experiment=both))
    assert (first.slot, first.dash) == (second.slot, "solid") and second.dash != "solid"
    assert (first.title, first.short) == ("Ellipse, RetinaNet", "Ellipse")


def test_compare_puts_methods_side_by_side(team: Team, bob: User, as_user: SignIn) -> None:
    one = make_detection(team, name="One")
    two = make_detection(team, name="Two", spec={"angles": [0.0, 20.0], "architectures": ["retinanet", "fcos"]})
    path = reverse("compare", args=[team.code]) + f"?e={one.code}&e={two.code}"
    client = as_user(bob)
    with CaptureQueriesContext(connection) as found:
        page = client.get(path)
    assert len(found) <= 20
    rows = {row.title: row.at for row in page.context["table"]}
    assert [angle for angle, _ in rows["Largest box, RetinaNet"]] == [0, 20], "the ends that both were tested at"
    assert [cell.text for cell in rows["Largest box, FCOS"][0][1]] == ["–", "62.5"]
    series = client.get(path, headers={"X-Part": "series"}).json()
    assert [run["name"] for run in series["runs"]] == ["One", "Two"]
    assert series["runs"][0]["methods"][0]["ap75"][0]["n"] == 2
