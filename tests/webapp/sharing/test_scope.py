"""What each link reaches: every address below /s/ and /e/ times every kind of link, and no other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.urls import get_resolver, reverse
from django.utils import timezone

from jobs.models import Artifact, Experiment, Status
from tests.webapp.detection import make_detection
from tests.webapp.scenes import make_scenes
from tests.webapp.sharing.conftest import Link, get
from tests.webapp.test_permissions import names
from tests.webapp.test_samples import draw
from webapp.accounts.models import Team
from webapp.boards import services
from webapp.boards.content import Content
from webapp.experiments.sampling.page import SamplingPage
from webapp.sharing.models import ShareLink
from webapp.sharing.targets import all_targets

LINKS = (
    "experiment",
    "no samples",
    "frozen",
    "anonymous",
    "chart",
    "frozen chart",
    "comparison",
    "frozen comparison",
    "pictures",
    "board",
    "frozen board",
    "scene",
    "anonymous scene",
)
# What the holder of each link gets, in the order of LINKS.
REACH: dict[str, tuple[int, ...]] = {
    "shared": (200,) * 13,
    "embedded": (200,) * 13,
    "shared-live": (200, 200, 200, 200, 200, 200, 404, 404, 200, 404, 404, 404, 404),
    "shared-data forecast": (200, 200, 200, 200, 200, 200, 404, 404, 404, 404, 404, 404, 404),
    "shared-data selection": (200, 200, 200, 200, 404, 404, 404, 404, 404, 404, 404, 404, 404),
    "shared-data nothing": (404,) * 13,
    "shared-tab config": (200, 200, 200, 200, 404, 404, 404, 404, 200, 404, 404, 404, 404),
    "shared-tab files": (200, 200, 200, 200, 404, 404, 404, 404, 200, 404, 404, 404, 404),
    "shared-tab samples": (200, 404, 404, 200, 404, 404, 404, 404, 404, 404, 404, 404, 404),
    "shared-tab analysis": (200, 200, 404, 200, 404, 404, 404, 404, 404, 404, 404, 404, 404),
    "shared-tab log": (404,) * 13,
    "shared-tab predictions": (404, 404, 404, 404, 404, 404, 404, 404, 200, 404, 404, 404, 404),
    "shared-download coverage.csv": (200, 200, 200, 200, 200, 200, 404, 404, 404, 404, 404, 404, 404),
    "shared-download problems.csv": (200, 200, 200, 200, 404, 404, 404, 404, 404, 404, 404, 404, 404),
    "shared-download samples.jsonl": (200, 404, 404, 200, 404, 404, 404, 404, 404, 404, 404, 404, 404),
    "shared-download log.txt": (404,) * 13,
    "shared-artifact own": (200, 404, 404, 200, 404, 404, 404, 404, 404, 404, 404, 404, 404),
    "shared-artifact binary": (200, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404),
    "shared-artifact other": (404,) * 13,
    "shared-item": (404,) * 13,  # sampling and detection have none
    "shared-offline": (200, 200, 200, 200, 404, 404, 404, 404, 200, 404, 404, 404, 404),
    "shared-offline-size": (200, 200, 200, 200, 404, 404, 404, 404, 200, 404, 404, 404, 404),
    "shared-picture own": (404, 404, 404, 404, 404, 404, 404, 404, 200, 404, 404, 404, 404),
    "shared-compared 0": (404, 404, 404, 404, 404, 404, 200, 200, 404, 404, 404, 404, 404),
    "shared-compared 1": (404,) * 13,
    "shared-board": (404, 404, 404, 404, 404, 404, 404, 404, 404, 200, 200, 404, 404),
    "shared-scene": (404,) * 11 + (200, 200),
    "shared-scene-poster": (404,) * 11 + (200, 200),
    "shared-scene-file volume": (404,) * 11 + (200, 200),
    "shared-scene-file mesh": (404,) * 11 + (200, 404),
    "shared-scene-file neighbour": (404,) * 13,  # of the scene beside it
}


def test_every_shared_address_and_target_is_in_the_table() -> None:
    below = {name for name in names(get_resolver().url_patterns) if name == "embedded" or name.startswith("shared")}
    assert below == {row.split()[0] for row in REACH}
    assert {target.name for target in all_targets()} == {"experiment", "chart", "comparison", "board", "scene"}


@pytest.fixture
def world(
    team: Team, make_experiment: Callable[..., Experiment], link: Link
) -> tuple[dict[str, tuple[ShareLink, str]], Callable[[str, str], str]]:
    """The links by name, and ``address(row, token)``."""
    experiment, other = make_experiment(status=Status.FINISHED, n=4, c=1), make_experiment(name="Private", n=1)
    draw(experiment, 4)
    detection = make_detection(team, spec={"rules": ["ellipse"], "seeds": 1, "angles": [0.0]}, epochs=0)
    scenes = make_scenes(team, drawn=2)
    one_scene: dict[str, Any] = {"experiment": str(scenes.code), "scene": 1}
    files = dict(scenes.artifacts.values_list("name", "code"))
    artifacts: dict[str, Any] = {
        "volume": files["scene-0001/volume.rgba.gz"],
        "mesh": files["scene-0001/scene.glb"],
        "neighbour": files["scene-0002/volume.rgba.gz"],
        "own": _artifact(experiment, "samples.json", "application/json"),
        "binary": _artifact(experiment, "model.onnx", "application/octet-stream"),
        "other": _artifact(other, "samples.json", "application/json"),
    }
    code = {"experiment": str(experiment.code)}
    chart = code | {"chart": "coverage"}
    framed: dict[str, Any] = {"embed_hosts": ["lab.example.org"]}
    tile = {"type": "experiment", "id": "curve", "name": "coverage", "w": 6, "h": 9} | code
    board = services.create(team, Content(title="Autumn", tiles=[tile]), services.Author(None, "Alice"))
    links = {
        "board": link("board", {"board": str(board.code)}, **framed),
        "frozen board": link("board", {"board": str(board.code)}, freeze=True, **framed),
        "scene": link("scene", one_scene, **framed),
        "anonymous scene": link("scene", one_scene, anonymous=True, **framed),
        "experiment": link("experiment", code, **framed),
        "no samples": link("experiment", code, include_samples=False, **framed),
        "frozen": link("experiment", code, freeze=True, **framed),
        "anonymous": link("experiment", code, anonymous=True, **framed),
        "chart": link("chart", chart, **framed),
        "frozen chart": link("chart", chart, freeze=True, **framed),
        "comparison": link("comparison", {"query": f"e={experiment.code}"}, **framed),
        "frozen comparison": link("comparison", {"query": f"e={experiment.code}"}, freeze=True, **framed),
        "pictures": link("experiment", {"experiment": str(detection.code)}, **framed),
    }
    picture = detection.pictures.earliest("pk").code

    def address(row: str, token: str) -> str:
        name, _, rest = row.partition(" ")
        more = {
            "shared-data": {"part": rest},
            "shared-tab": {"tab": rest},
            "shared-download": {"name": rest},
            "shared-artifact": {"artifact": artifacts.get(rest)},
            "shared-scene-file": {"artifact": artifacts.get(rest)},
            "shared-item": {"part": "scene", "key": "1"},
            "shared-picture": {"part": "prediction", "key": picture},
            "shared-compared": {"number": rest, "part": "forecast"},
        }
        return reverse(name, kwargs={"token": token} | more.get(name, {}))

    return links, address


def _artifact(experiment: Experiment, name: str, content_type: str) -> Any:
    file = ContentFile(b"{}", name)
    made = Artifact.objects.create(experiment=experiment, name=name, content_type=content_type, size=2, file=file)
    return made.code


@pytest.mark.django_db(transaction=True)
def test_a_link_reaches_what_it_says(world: Any) -> None:
    links, address = world
    for row, expected in REACH.items():
        for who, status in zip(LINKS, expected, strict=True):
            found, _, headers = get(address(row, links[who][1]))
            assert found == status, (row, who)
            assert headers["Cache-Control"].startswith("private"), row
            assert headers["Referrer-Policy"] == "no-referrer" and "noindex" in headers["X-Robots-Tag"], row


@pytest.mark.django_db(transaction=True)
def test_links_that_are_closed_or_unknown_reach_nothing(world: Any) -> None:
    links, address = world
    hour = timedelta(hours=1)
    closed = {"paused_at": (timezone.now(), 403), "expires_at": (timezone.now() - hour, 410)}
    closed["revoked_at"] = (timezone.now(), 410)
    for field, (value, status) in closed.items():
        ShareLink.objects.update(paused_at=None, expires_at=None, revoked_at=None)
        ShareLink.objects.update(**{field: value})
        for row in REACH:
            for who in ("anonymous", "frozen", "chart", "comparison", "scene"):
                assert get(address(row, links[who][1]))[0] == status, (field, row, who)
    once = {row.split()[0]: row for row in REACH}.values()  # who guesses more has to wait
    assert {get(address(row, "unknown"))[0] for row in once} == {404}


def test_what_a_chart_is_drawn_from_is_all_that_goes_out(
    make_experiment: Callable[..., Experiment], link: Link
) -> None:
    experiment = make_experiment(status=Status.FINISHED, n=4, c=1, spec={"temperature": 0.625})
    _, token = link("chart", {"experiment": str(experiment.code), "chart": "coverage"})
    _, live, _ = get(reverse("shared-live", args=[token]))
    _, page, _ = get(reverse("shared", args=[token]))
    for hidden in (b'"problems":', b'"counts"', b'"verdict', b"0.625", b"Per-problem", b"Config"):
        assert hidden not in live and hidden not in page
    assert b'"curve"' in live and b"Coverage against samples" in page


def test_a_comparison_never_takes_another_experiment(make_experiment: Callable[..., Experiment], link: Link) -> None:
    shown = make_experiment(name="Shown", status=Status.FINISHED, n=4, c=1)
    private = make_experiment(name="Private", status=Status.FINISHED, n=4, c=1)
    _, token = link("comparison", {"query": f"e={shown.code}"})
    address = reverse("shared", args=[token])
    for query in ("", f"?e={private.code}", f"?e={shown.code}&e={private.code}&a={private.code}&big={private.code}"):
        status, body, _ = get(address + query)
        assert status == 200 and b"Shown" in body
        for hidden in (b"Private", str(private.code).encode(), b"/experiments/", b"/teams/"):
            assert hidden not in body, query


def test_a_comparison_opens_as_it_was_shared(make_experiment: Callable[..., Experiment], link: Link) -> None:
    experiment = make_experiment(status=Status.FINISHED, n=4, c=1)
    _, token = link("comparison", {"query": f"e={experiment.code}&x=flops"})
    status, _, headers = get(reverse("shared", args=[token]))
    assert status == 302 and headers["Location"].endswith("&x=flops")
    assert headers["Location"].startswith(f"/s/{token}/")


@pytest.mark.django_db(transaction=True)
def test_files_of_numbers_alone_are_given_to_anonymous_links(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    links, address = world
    path = address("shared-artifact binary", links["anonymous"][1])
    assert get(path)[0] == 404
    monkeypatch.setattr(SamplingPage, "nameless", (".onnx",))
    assert get(path)[:2] == (200, b"{}")
