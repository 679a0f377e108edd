"""The client and the command with detection experiments."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.kinds.detection.models import DataSet
from jobs.kinds.detection.tries import tried_state
from jobs.models import Experiment, Status
from jobs.services import apply_plan
from tests.webapp.api import test_client
from tests.webapp.api.test_client import canopy, text, through  # noqa: F401  fixtures
from tests.webapp.detection import make_detection
from webapp.accounts.models import Team, User
from webapp.client import ApiError, cli

pytestmark = test_client.pytestmark
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _folder(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "cells.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return path


def test_results_through_the_client(text: str, team: Team, alice: User) -> None:  # noqa: F811
    made = make_detection(team, alice)
    code = str(made.code)
    with through(text) as client:
        runs, scores = client.runs(code), client.scores(code)
        assert len(runs) == 10 and len(scores) == 50
        assert (scores[0].run, scores[0].rule, scores[0].angle) == (0, "none", 0.0)
        details = client.score_details(code, 0, 10.0)
        assert details["ap75"] == next(s.ap75 for s in scores if (s.run, s.angle) == (0, 10.0))
        assert {row.rule for row in client.label_quality(code)} == {"largest", "ellipse"}
        assert client.tried_pictures(code) == []
        with pytest.raises(ApiError, match="nothing here"):
            client.score_details(code, 99, 0.0)
        with pytest.raises(ApiError, match="nothing here"):
            client.samples(code).__next__()


def test_data_sets_through_the_client(text: str, team: Team, packed: Path) -> None:  # noqa: F811
    with through(text) as client:
        made = client.upload_data_set(str(team.code), packed, format="coco")
        assert (made.name, made.state, client.data_set(made.code)) == ("cells", "reading", made)
        assert client.data_sets(str(team.code)) == [made]
        with pytest.raises(ApiError, match="already"):
            client.upload_data_set(str(team.code), packed)
        with pytest.raises(ApiError, match="no folder"):
            client.add_data_set_folder(str(team.code), "/etc")
        with pytest.raises(ApiError, match="has not ended"):
            client.delete_data_set(made.code)
        Experiment.objects.update(status=Status.FAILED)
        client.delete_data_set(made.code)
    assert not DataSet.objects.exists()


def test_scores_as_a_table(canopy: Run, team: Team, alice: User) -> None:  # noqa: F811
    code = str(make_detection(team, alice).code)
    status, said, _ = canopy("scores", code)
    assert status == 0 and "Ellipse + RU" in said and "40°" in said and " ± " in said
    assert len(json.loads(canopy("scores", code, "--json")[1])) == 50
    assert canopy("scores", code, "--metric", "recall")[0] == cli.USAGE
    status, said, _ = canopy("watch", code)
    assert status == 0 and "Largest box, RetinaNet, seed 0: epoch 6" in said
    assert "scores CODE" in canopy("compare", code, code)[2]


def test_a_data_set_from_the_command(canopy: Run, team: Team, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("webapp.client.client.Client.watch", lambda self, code: _read())
    status, said, told = canopy("add-data-set", str(packed))
    assert status == cli.FAILED and said.startswith("set/") and "refused. Nothing in it" in told
    assert "a.png: it is cut" in told
    assert canopy("add-data-set", str(packed.parent / "none.zip"))[0] == cli.USAGE
    assert canopy("add-data-set", "coco", "--on-workers")[0] == cli.REFUSED
    assert "cells" in canopy("data-sets")[1]


def _read() -> list[object]:
    """What a worker does to the data set."""
    problem = {"kind": "box_outside", "where": "a.png", "message": "it is cut"}
    DataSet.objects.update(status="refused", reason="Nothing in it can be read.", report={"problems": [problem]})
    return []


def test_try_from_the_command(
    canopy: Run,  # noqa: F811
    team: Team,
    alice: User,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = make_detection(team, alice)
    apply_plan(made, made.kind_object.Spec.model_validate(made.spec), seq=1)
    made.shards.update(status="done")
    picture = tmp_path / "a.png"
    picture.write_bytes(b"not looked at here")
    states = iter([{"state": "queued"}, {"state": "done", "found": {"0": {"0": [[0, 0.9, 1, 2, 3, 4]]}}}])
    plain = tried_state
    monkeypatch.setattr("webapp.api.detection.tried_state", lambda tried: plain(tried) | next(states))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    status, said, _ = canopy("try", str(made.code), str(picture))
    assert status == 0 and "No rotation, RetinaNet, seed 0" in said and "90°" in said
