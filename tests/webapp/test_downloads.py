"""Files: complete, sent as attachments, and only to those who may have them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from django.http import HttpResponse
from django.test import AsyncClient
from django.urls import reverse

from jobs import metrics
from jobs.models import Artifact, Experiment, LogLine, next_seq
from tests.webapp.test_live_page import share
from tests.webapp.test_samples import draw
from webapp.accounts.models import User
from webapp.experiments.sampling import tables

Make = Callable[..., Experiment]


def fetch(address: str, user: User | None = None) -> tuple[HttpResponse, str]:
    """The answer and its whole content, read as ASGI servers read it."""
    client = AsyncClient()
    if user is not None:
        client.force_login(user)

    async def read() -> tuple[HttpResponse, str]:
        answer = await client.get(address)
        if not answer.streaming:
            return answer, answer.content.decode()
        return answer, b"".join([piece async for piece in answer.streaming_content]).decode()

    return async_to_sync(read)()


def address(experiment: Experiment, name: str) -> str:
    return reverse("experiment-download", args=[experiment.code, name])


pytestmark = pytest.mark.django_db(transaction=True)  # streams read in a thread with a connection of its own


def test_samples_jsonl_holds_every_sample_once(
    make_experiment: Make, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS", 7)
    experiment, other = make_experiment(name='Résumé, of "all"/things'), make_experiment()
    made = draw(experiment, 9, text="line one\nthen {answer} \u2028 end")
    draw(other, 2)

    answer, body = fetch(address(experiment, "samples.jsonl"), bob)

    rows = [json.loads(line) for line in body.split("\n") if line]
    assert [(row["problem_index"], row["index"]) for row in rows] == [(s.problem.index, s.index) for s in made]
    assert rows[0]["text"] == f"line one\nthen {made[0].answer} \u2028 end"
    assert rows[0]["verdict"] == "correct"
    assert answer["Content-Disposition"] == 'attachment; filename="resume-of-allthings-samples.jsonl"'
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_tables_agree_with_the_counters(make_experiment: Make, bob: User) -> None:
    experiment = make_experiment(n=4, c=1)
    experiment.problems.filter(index=1).update(n=6, c=6, answer="=cmd|'/c calc'!A1")

    problems = list(csv.DictReader(io.StringIO(fetch(address(experiment, "problems.csv"), bob)[1])))
    curve = list(csv.DictReader(io.StringIO(fetch(address(experiment, "coverage.csv"), bob)[1])))

    assert [row["share_correct"] for row in problems] == ["0.25", "1.0", "0.25"]
    assert problems[1]["answer"].startswith("'=")
    assert [row["k"] for row in curve] == ["1", "2", "3", "4"]
    assert float(curve[0]["coverage"]) == pytest.approx((0.25 + 1 + 0.25) / 3)
    assert float(curve[3]["coverage"]) == 1.0


def test_an_experiment_without_samples_gives_empty_tables(make_experiment: Make, bob: User) -> None:
    experiment = make_experiment()
    assert fetch(address(experiment, "samples.jsonl"), bob)[1] == ""
    assert fetch(address(experiment, "coverage.csv"), bob)[1] == "k,coverage,low,high\n"
    heads = "start,seconds,tokens_per_second,batch,kv_tokens,path_tokens,kv_budget\n"
    assert fetch(address(experiment, "engine.csv"), bob)[1] == heads


def test_the_engines_table_sums_over_workers(make_experiment: Make, bob: User) -> None:
    experiment = make_experiment()
    both = {"tokens_per_second": 50.0, "batch": 8, "kv_tokens": 300, "path_tokens": 900, "kv_budget": 1000}
    reports = [metrics.Report(both, 2.0, 1_000_002.0), metrics.Report(both, 2.0, 1_000_002.0)]
    reports.append(metrics.Report({"tokens_per_second": 7.0}, 1.0, 1_000_005.0))  # as versions before reported
    metrics.write(experiment.pk, next_seq(experiment.pk), reports)
    assert fetch(address(experiment, "engine.csv"), bob)[1].splitlines()[1:] == [
        "1970-01-12T13:46:40+00:00,2,100.0,16.0,600.0,1800.0,2000.0",
        "1970-01-12T13:46:44+00:00,2,7.0,,,,",
    ]


@pytest.mark.parametrize(
    ("text", "shown"), [("-5", "-5"), ("+1e3", "+1e3"), ("=1+1", "'=1+1"), ("@x", "'@x"), ("ok", "ok")]
)
def test_no_cell_is_a_formula(text: str, shown: str) -> None:
    assert tables.cell(text) == shown


def test_artifacts_are_attachments(make_experiment: Make, bob: User, charlie: User) -> None:
    experiment, other = make_experiment(), make_experiment()
    page = "<script>alert(1)</script>"
    artifact = Artifact(experiment=experiment, name='a "b".html', content_type="text/html", size=len(page))
    artifact.file.save("a.html", ContentFile(page.encode()))
    where = reverse("experiment-artifact", args=[experiment.code, artifact.code])

    answer, body = fetch(where, bob)
    assert body == page
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert fetch(where, charlie)[0].status_code == 404
    assert fetch(where)[0].status_code == 302
    assert fetch(reverse("experiment-artifact", args=[other.code, artifact.code]), bob)[0].status_code == 404
    assert fetch(reverse("experiment-artifact", args=[experiment.code, uuid4()]), bob)[0].status_code == 404
    artifact.file.storage.delete(artifact.file.name)
    assert fetch(where, bob)[0].status_code == 404


def test_a_share_link_gives_what_it_includes(make_experiment: Make) -> None:
    experiment = make_experiment()
    draw(experiment, 1)
    LogLine.objects.create(experiment=experiment, seq=1, text="on birch-2")
    artifact = Artifact(experiment=experiment, name="samples.parquet", content_type="application/x", size=1)
    artifact.file.save("x", ContentFile(b"x"))

    def statuses(token: str) -> dict[str, int]:
        found = {
            name: fetch(reverse("shared-download", args=[token, name]))[0].status_code
            for name in ("samples.jsonl", "problems.csv", "log.txt", "nonsense")
        }
        return found | {"artifact": fetch(reverse("shared-artifact", args=[token, artifact.code]))[0].status_code}

    all_of_it = statuses(share(experiment, "with-samples"))
    curves_only = statuses(share(experiment, "without", include_samples=False))
    assert all_of_it == {"samples.jsonl": 200, "problems.csv": 200, "log.txt": 404, "nonsense": 404, "artifact": 200}
    assert curves_only == {"samples.jsonl": 404, "problems.csv": 200, "log.txt": 404, "nonsense": 404, "artifact": 404}


def test_the_log_is_text(make_experiment: Make, bob: User) -> None:
    experiment = make_experiment()
    LogLine.objects.create(experiment=experiment, seq=1, level="warning", text="lost its lease")
    answer, body = fetch(address(experiment, "log.txt"), bob)
    assert body.endswith("warning lost its lease\n")
    assert answer["Content-Type"].startswith("text/plain")
