"""An experiment with a model behind an endpoint: plan, job, rows, resume, cancel; its key stays where it is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.endpoint import Endpoint, client
from jobs import services
from jobs.kinds.sampling.checks import check_spec
from jobs.kinds.sampling.kind import SamplingKind
from jobs.kinds.sampling.models import Problem, Sample
from jobs.kinds.sampling.plan import GENERATE
from jobs.kinds.sampling.run import run
from jobs.models import Experiment, Status
from jobs.worker import ThisWorker
from tests.engine.endpoint.fake_server import KEY, FakeServer
from tests.jobs.kinds.sampling.conftest import shards
from tests.jobs.kinds.sampling.fake_context import FakeContext
from webapp.accounts.models import Team, User

MODEL = "openai:gpt-x@lab"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[FakeServer]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    with FakeServer().running() as fake:
        settings.ENDPOINTS = {"lab": Endpoint("lab", fake.url, KEY, most_per_call=3, attempts=2)}
        yield fake


@pytest.mark.django_db
def test_its_samples_are_drawn_by_cpu_workers(planned: Callable[..., Experiment]) -> None:
    assert {shard.queue for shard in shards(planned(model=MODEL), GENERATE)} == {"cpu"}
    assert {shard.queue for shard in shards(planned(), GENERATE)} == {"gpu"}


@pytest.mark.django_db
def test_rows_are_those_of_any_model_and_the_key_is_nowhere(
    planned: Callable[..., Experiment], kind: SamplingKind, server: FakeServer
) -> None:
    experiment = planned(problems=2, samples=4, model=MODEL)
    for shard in shards(experiment, GENERATE):
        context = FakeContext()
        run(GENERATE, kind.prepare(shard), context)
        assert context.done == shard.total
        kind.record(shard, context.rows, seq=1)
        assert KEY not in json.dumps(context.rows)
        assert KEY not in json.dumps(shard.payload)
    rows = (
        Problem.objects.filter(experiment=experiment).order_by("index").values_list("drawn", "tokens", "prompt_tokens")
    )
    calls = [sum(body["messages"][-1]["content"] == f"What is {i} + {i}?" for body in server.bodies) for i in range(2)]
    assert [row[0] for row in rows] == [4, 4]
    assert [row[2] for row in rows] == [11 * count for count in calls]  # what the service charges for
    assert Sample.objects.filter(experiment=experiment, logprob__lt=0, seed__gte=0).count() == 8
    assert KEY not in json.dumps(experiment.spec)
    live = kind.changes(experiment, 0)
    assert live["kpis"]["prompt_tokens"] == 11 * sum(calls)


@pytest.mark.django_db
def test_only_what_is_missing_is_asked_for(
    planned: Callable[..., Experiment], kind: SamplingKind, server: FakeServer
) -> None:
    experiment = planned(problems=1, samples=64, model=MODEL)
    shard = shards(experiment, GENERATE)[0]
    context = FakeContext()
    run(GENERATE, kind.prepare(shard), context)
    kind.record(shard, context.rows[::2], seq=1)
    asked = len(server.bodies)
    again = FakeContext()
    run(GENERATE, kind.prepare(shard), again)
    assert sum(body["n"] for body in server.bodies[asked:]) == len(context.rows) - len(context.rows[::2])
    kind.record(shard, again.rows, seq=2)
    assert Sample.objects.filter(experiment=experiment).count() == shard.total


@pytest.mark.django_db
def test_the_form_names_what_is_wrong_with_a_hosted_model(team: Team, kind: SamplingKind, server: FakeServer) -> None:
    def errors(model: str) -> list[str]:
        return [str(error) for error in check_spec(kind.Spec(model=model), team)]

    assert errors(MODEL) == []
    assert errors("openai:gpt-x@other") == ["There is no endpoint called 'other'. There are: lab."]
    assert "openai:MODEL@ENDPOINT" in errors("openai:gpt-x")[0]


@pytest.fixture
def hosted(team: Team, alice: User, kind: SamplingKind) -> Experiment:
    spec = kind.Spec(model=MODEL, limit=2, samples=3, verifier="gsm8k")
    return services.submit(team=team, owner=alice, kind="sampling", name="Hosted", spec=spec)


@pytest.mark.django_db(transaction=True)
def test_a_worker_does_the_whole_experiment(server: FakeServer, broker: None, hosted: Experiment) -> None:
    worker = ThisWorker("cpu@hosted", "cpu")
    try:
        while worker.work("cpu"):
            pass
    finally:
        worker._runner.kill()
    hosted.refresh_from_db()
    assert hosted.status == Status.FINISHED, hosted.reason
    assert Sample.objects.filter(experiment=hosted).exclude(verdict="pending").count() == 6


@pytest.mark.django_db(transaction=True)
def test_a_cancel_stops_the_calls_within_two_seconds(
    server: FakeServer, broker: None, hosted: Experiment, alice: User, pool: Any
) -> None:
    server.delay = 60
    worker = ThisWorker("cpu@hosted", "cpu")
    try:
        working = pool.submit(worker.work, "cpu")
        deadline = time.monotonic() + 30
        while not server.bodies:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        services.cancel(experiment=hosted, by=alice)
        working.result(30)  # the server would keep it for a minute
        pid = worker._runner.pid
        assert pid is not None  # it stopped by itself: nothing had to be killed
    finally:
        worker._runner.kill()


@pytest.mark.django_db(transaction=True)
def test_a_refused_key_fails_at_once_and_is_not_shown(
    server: FakeServer, broker: None, hosted: Experiment, settings: Any
) -> None:
    settings.ENDPOINTS = {"lab": Endpoint("lab", server.url, "sk-wrong-key", attempts=2)}
    worker = ThisWorker("cpu@hosted", "cpu")
    try:
        while worker.work("cpu"):
            pass
    finally:
        worker._runner.kill()
    hosted.refresh_from_db()
    assert hosted.status == Status.FAILED
    assert "refused the request with status 401" in hosted.reason and "Check its key" in hosted.reason
    told = [
        hosted.reason,
        *hosted.log_lines.values_list("text", flat=True),
        *hosted.shards.values_list("log_tail", flat=True),
    ]
    assert not [text for text in told if "sk-wrong-key" in text]
    assert {shard.attempt for shard in hosted.shards.filter(status="failed")} == {1}
