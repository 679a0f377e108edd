"""The offline copy: whole, readable, made in pieces, and no more than the visitor may see."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from html.parser import HTMLParser
from random import Random
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from jobs.models import Experiment, Status
from tests.webapp.detection import make_detection
from tests.webapp.scenes import make_scenes
from tests.webapp.sharing.conftest import Link, get
from tests.webapp.test_samples import draw
from webapp.accounts.models import Team
from webapp.experiments.offline.archive import Member, zip_stream


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    made = make_experiment(name="Sums & more", status=Status.FINISHED, n=8, c=2)
    draw(made, 8)
    made.problems.update(seq=1)  # type: ignore[attr-defined]
    Experiment.objects.filter(pk=made.pk).update(last_seq=1)
    return Experiment.objects.get(pk=made.pk)


def unpack(path: str) -> tuple[dict[str, bytes], int]:
    """The files by their path inside the copy's folder, and the bytes of the zip."""
    status, body, headers = get(path)
    assert status == 200 and headers["Content-Type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(body))
    assert archive.testzip() is None
    folders = {name.split("/")[0] for name in archive.namelist()}
    assert len(folders) == 1
    return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}, len(body)


def described(files: dict[str, bytes]) -> Any:
    script = files["data/experiment.js"].decode()
    return json.loads(script.removeprefix("window.CANOPY = ").rstrip().rstrip(";"))


@pytest.mark.django_db(transaction=True)
def test_a_copy_has_its_charts_tables_and_files(experiment: Experiment, link: Link) -> None:
    _, token = link("experiment", {"experiment": str(experiment.code)})
    files, _ = unpack(f"/s/{token}/offline.zip?samples=1")
    data = described(files)
    assert data["name"] == "Sums & more"
    assert [figure["name"] for figure in data["figures"]] == ["coverage", "forecast", "selection", "problems"]
    curve = data["figures"][0]["lines"][0]
    assert curve["x"][0] == 1 and curve["x"][-1] == 8 and curve["y"][0] == pytest.approx(0.25)  # 2 of 8: pass at 1
    assert len(files["files/samples.jsonl"].splitlines()) == 24
    assert files["files/problems.csv"] == get(f"/s/{token}/downloads/problems.csv")[1]
    small, _ = unpack(f"/s/{token}/offline.zip")
    assert "files/samples.jsonl" not in small and {"index.html", "assets/plotly.js"} <= set(small)


class _Addresses(HTMLParser):
    found: list[str]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attributes if name in {"src", "href"}]


@pytest.mark.django_db(transaction=True)
def test_everything_a_copy_needs_is_inside(experiment: Experiment, link: Link) -> None:
    _, token = link("experiment", {"experiment": str(experiment.code)})
    files, _ = unpack(f"/s/{token}/offline.zip")
    reader = _Addresses()
    reader.found = []
    reader.feed(files["index.html"].decode())
    assert len(reader.found) == 6 and set(reader.found) <= set(files)
    assert b'type="module"' not in files["index.html"] and token.encode() not in b"".join(files.values())


@pytest.mark.django_db(transaction=True)
def test_its_size_is_said_before(experiment: Experiment, link: Link) -> None:
    _, token = link("experiment", {"experiment": str(experiment.code)})
    said = json.loads(get(f"/s/{token}/offline.json")[1])
    for key, query in (("bytes", ""), ("bytes_with_samples", "?samples=1")):
        unpacked = sum(len(content) for content in unpack(f"/s/{token}/offline.zip{query}")[0].values())
        assert said[key] == pytest.approx(unpacked, rel=0.2)


@pytest.mark.django_db(transaction=True)
def test_a_link_without_samples_and_a_frozen_one_keep_to_what_they_show(experiment: Experiment, link: Link) -> None:
    scope = {"experiment": str(experiment.code)}
    _, bare = link("experiment", scope, include_samples=False)
    assert "files/samples.jsonl" not in unpack(f"/s/{bare}/offline.zip?samples=1")[0]
    assert json.loads(get(f"/s/{bare}/offline.json")[1])["bytes_with_samples"] is None
    _, frozen = link("experiment", scope, freeze=True)
    before = described(unpack(f"/s/{frozen}/offline.zip?samples=1")[0])
    experiment.problems.update(n=9, c=9, seq=3)  # type: ignore[attr-defined]
    Experiment.objects.filter(pk=experiment.pk).update(name="Renamed", last_seq=3)
    after = described(unpack(f"/s/{frozen}/offline.zip?samples=1")[0])
    assert {**after, "made": ""} == {**before, "made": ""}


@pytest.mark.django_db(transaction=True)
def test_detection_has_its_figures(team: Team, link: Link) -> None:
    detection = make_detection(team, spec={"rules": ["ellipse", "largest"], "seeds": 1})
    _, token = link("experiment", {"experiment": str(detection.code)})
    data = described(unpack(f"/s/{token}/offline.zip")[0])
    assert [figure["name"] for figure in data["figures"]] == ["angles", "loss", "validation", "quality"]
    assert all(line["x"] and len(line["x"]) == len(line["y"]) for line in data["figures"][0]["lines"])


@pytest.mark.django_db(transaction=True)
def test_scenes_are_pictures_and_meshes_and_go_along_with_samples(team: Team, link: Link) -> None:
    scope = {"experiment": str(make_scenes(team, drawn=2).code)}
    _, token = link("experiment", scope)
    files, _ = unpack(f"/s/{token}/offline.zip?samples=1")
    data = described(files)
    assert [figure["name"] for figure in data["figures"]] == ["loss-autoencoder", "loss-latents", "loss-diffusion"]
    assert data["tables"][0]["rows"] and data["pages"] == [["Scenes", "scenes.html"]]
    reader = _Addresses()
    reader.found = []
    reader.feed(files["scenes.html"].decode())
    assert set(reader.found) <= set(files) and files["scenes/scene-0002/scene.glb"] == b"glTF"
    assert files["scenes/scene-0001/poster.jpg"][:2] == b"\xff\xd8" and "scenes/scene-0001/poster.jpg" in reader.found
    said = json.loads(get(f"/s/{token}/offline.json")[1])
    assert said["bytes_with_samples"] - said["bytes"] >= sum(
        len(files[name]) for name in files if name.startswith("scenes")
    )
    _, hidden = link("experiment", scope, anonymous=True)
    _, bare = link("experiment", scope, include_samples=False)
    for path in (f"/s/{token}/offline.zip", f"/s/{hidden}/offline.zip?samples=1", f"/s/{bare}/offline.zip?samples=1"):
        less, _ = unpack(path)
        assert not [name for name in less if name.startswith("scenes")] and described(less)["pages"] == []


def test_a_zip_is_sent_in_pieces_however_large_a_member_is() -> None:
    made = 0

    async def content() -> AsyncIterator[bytes]:
        nonlocal made
        for i in range(40):
            made += 1
            yield Random(i).randbytes(50_000)

    async def largest() -> tuple[int, int]:
        most, first = 0, 0
        async for piece in zip_stream([Member("big.bin", 0, content)], "copy"):
            most, first = max(most, len(piece)), first or made
        return most, first

    most, first = async_to_sync(largest)()
    assert most < 400_000 and first < 40  # sent before the member was whole
