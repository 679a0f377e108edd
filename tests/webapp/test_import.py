from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from jobs.kinds.sampling.importing import import_job
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.models import ProblemSet
from jobs.kinds.sampling.run import run
from jobs.models import Experiment
from tests.engine.exchange import samples
from tests.jobs.kinds.sampling.fake_context import FakeContext
from webapp.accounts.models import Team, User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _folders(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT, settings.DATA_DIR = tmp_path / "media", tmp_path


@pytest.fixture
def client(as_user: Callable[[User], Client], bob: User) -> Client:
    return as_user(bob)


def upload(content: bytes, file_name: str = "results.csv", **more: str) -> dict[str, Any]:
    return {"file": SimpleUploadedFile(file_name, content), **more}


def test_an_upload_goes_to_the_new_experiment(client: Client, team: Team, bob: User) -> None:
    response = client.post(reverse("experiment-import", args=[team.code]), upload(samples.csv(), model="org/m"))
    experiment = Experiment.objects.get()
    assert response.url == reverse("experiment", args=[experiment.code])  # type: ignore[attr-defined]
    assert (experiment.name, experiment.owner, experiment.spec["model"]) == ("results", bob, "org/m")
    page = client.get(response.url).content.decode()  # type: ignore[attr-defined]
    assert "results.csv" in page
    assert "Draw more" not in page


def test_a_script_is_answered_in_json(client: Client, team: Team) -> None:
    url, headers = reverse("experiment-import", args=[team.code]), {"Accept": "application/json"}
    made = client.post(url, upload(samples.csv()), headers=headers)
    assert (made.status_code, made.json()["url"]) == (201, reverse("experiment", args=[Experiment.objects.get().code]))
    refused = client.post(url, upload(b"hello"), headers=headers)
    assert refused.status_code == 422
    assert "in none of the formats" in refused.json()["error"]


def test_what_is_wrong_stands_at_the_file(client: Client, team: Team) -> None:
    url = reverse("experiment-import", args=[team.code])
    assert b"Choose a file" in client.post(url, {"name": "x"}).content
    response = client.post(url, upload(b"<script>", "<b>.csv", name="kept"))
    assert response.status_code == 422
    assert b"&lt;b&gt;.csv is in none" in response.content and b'value="kept"' in response.content


def test_pages_of_an_import_without_texts_work(client: Client, team: Team, bob: User) -> None:
    client.post(reverse("experiment-import", args=[team.code]), upload(samples.csv()))
    experiment, kind = Experiment.objects.get(), SamplingKind()
    context, shard = FakeContext(), experiment.shards.get(stage="import")
    run("import", import_job(shard), context)
    kind.record(shard, context.rows, 3)
    for tab in ("samples", "config", "files", "log"):
        page = client.get(reverse("experiment-tab", args=[experiment.code, tab]))
        assert page.status_code == 200
        if tab == "samples":
            assert b"held no text of this answer" in page.content and b"that of the imported file" in page.content
        if tab == "config":
            assert b"results.csv" in page.content and b"Temperature" not in page.content
    found = client.get(reverse("experiment-tab", args=[experiment.code, "samples"]) + "?q=hello")
    assert found.status_code == 200


def test_the_command_imports_for_a_member(team: Team, bob: User, vera: User, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(samples.csv())
    call_command("import_samples", path, team=team.name, owner=bob.email, name="From the shell")
    experiment = Experiment.objects.get()
    assert (experiment.name, experiment.owner) == ("From the shell", bob)
    assert str(experiment.code) in capsys.readouterr().out
    for more, message in (
        ({"team": "Nobody", "owner": bob.email}, "is in no team 'Nobody'; there are: Marsh lab"),
        ({"team": str(team.code), "owner": vera.email}, "is a viewer"),
    ):
        with pytest.raises(CommandError, match=message):
            call_command("import_samples", path, **more)
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_samples", tmp_path / "none.csv", team=team.name, owner=bob.email)


# --- problems of known data sets


GSM8K = b'[{"question": "1 + 1?", "answer": "so\\n#### 2"}, {"question": "2 + 2?", "answer": "#### 4"}]'


def test_a_known_data_sets_own_file_can_be_uploaded(client: Client, team: Team) -> None:
    file = SimpleUploadedFile("test.jsonl.gz", gzip.compress(GSM8K))
    headers = {"Accept": "application/json"}
    answer = client.post(
        reverse("problem-set-upload", args=[team.code]), {"file": file, "task": "gsm8k"}, headers=headers
    )
    assert (answer.status_code, answer.json()["label"]) == (201, "test, 2 problems")
    assert [one["answer"] for one in ProblemSet.objects.get().problems] == ["2", "4"]
    wrong = SimpleUploadedFile("test.jsonl", b'{"question": "?"}')
    answer = client.post(
        reverse("problem-set-upload", args=[team.code]), {"file": wrong, "task": "gsm8k"}, headers=headers
    )
    assert answer.status_code == 422
    assert "Row 1 is none of GSM8K" in answer.json()["error"]


def test_the_command_makes_a_problem_set(team: Team, bob: User, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "test.json"
    path.write_bytes(GSM8K)
    call_command("import_problems", "gsm8k", file=path, team=team.name, owner=bob.email, limit=1)
    made = ProblemSet.objects.get()
    assert (made.name, made.count, made.created_by) == ("GSM8K", 1, bob)
    assert f"set/{made.code}" in capsys.readouterr().out
    with pytest.raises(CommandError, match="has a set called GSM8K already"):
        call_command("import_problems", "gsm8k", file=path, team=team.name, owner=bob.email)
    with pytest.raises(CommandError, match="no data set on the hub"):
        call_command("import_problems", "minif2f-rocq", hub=True, team=team.name, owner=bob.email)
