"""kill -9 in the middle of an experiment: afterwards every sample is there once, and the page is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client, override_settings

from jobs import services
from jobs.kinds.sampling.models import Problem, Sample
from jobs.kinds.sampling.spec import ExtraDraw
from jobs.live import live_state
from jobs.models import Experiment, Status
from tests.faults.conftest import PROBLEMS, SAMPLES
from tests.stack import Stack, wait_for
from webapp.accounts.models import User

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]
GRADED = ("correct", "wrong", "error", "timeout")


def drawn(experiment: Experiment) -> int:
    return Sample.objects.filter(experiment=experiment).count()


def has_ended(experiment: Experiment) -> bool:
    experiment.refresh_from_db()
    return experiment.has_ended


def assert_exact(experiment: Experiment, extra: Mapping[int, int] = {}) -> None:
    """Exactly problems x samples, and what ``extra`` draws go up to, none twice; counters and the live state equal a
    recount."""
    experiment.refresh_from_db()
    planned = {problem: extra.get(problem, SAMPLES) for problem in range(PROBLEMS)}
    total = sum(planned.values())
    assert experiment.status == Status.FINISHED, experiment.reason
    pairs = Counter(Sample.objects.filter(experiment=experiment).values_list("problem__index", "index"))
    assert pairs == Counter({(p, i): 1 for p in range(PROBLEMS) for i in range(planned[p])})
    recount = {
        problem.index: (
            problem.samples.filter(verdict__in=GRADED).count(),
            problem.samples.filter(verdict="correct").count(),
        )
        for problem in Problem.objects.filter(experiment=experiment)
    }
    counters = {p.index: (p.n, p.c) for p in Problem.objects.filter(experiment=experiment)}
    assert counters == recount and {problem: n for problem, (n, _) in recount.items()} == planned
    beyond = Problem.objects.filter(experiment=experiment).values_list("index", "extra_n")
    assert dict(beyond) == {problem: n - SAMPLES for problem, n in planned.items()}
    state = live_state(experiment)
    assert [(stage["state"], stage["done"], stage["total"]) for stage in state["stages"][:2]] == [
        ("done", total, total)
    ] * 2
    assert {row[0]: (row[1], row[2]) for row in state["kind"]["problems"]} == recount
    assert (state["kind"]["drawn"], state["kind"]["graded"]) == (total, total)
    assert state["workers"] == [] and len(state["artifacts"]) == 3


def kill_runner(stack: Stack) -> None:
    runner = wait_for(lambda: stack.runner("gpu"))
    runner.kill()


def kill_and_restart(name: str) -> Callable[[Stack], None]:
    def kill(stack: Stack) -> None:
        stack.kill(name)
        stack.start(name)

    return kill


@pytest.mark.parametrize(
    "kill", [kill_runner, *map(kill_and_restart, ["gpu", "broker", "web"])], ids=["runner", "worker", "broker", "web"]
)
def test_killed_in_the_middle(
    stack: Stack, person: User, submit_sampling: Callable[[], Experiment], kill: Callable[[Stack], None]
) -> None:
    experiment = submit_sampling()
    stack.start("web", "gpu", "cpu", "reconciler")
    wait_for(lambda: drawn(experiment) > 0, 60)
    at_kill = drawn(experiment)
    kill(stack)
    wait_for(lambda: has_ended(experiment), 90)
    assert at_kill < PROBLEMS * SAMPLES, "the kill came too late to test anything"
    assert_exact(experiment)
    assert page_state(stack, person, experiment)["seq"] == experiment.last_seq


def test_killed_in_the_middle_of_an_extra_draw(stack: Stack, submit_sampling: Callable[[], Experiment]) -> None:
    """Problems 1, 3 and 4 go on, each up to another number; the GPU worker dies in between."""
    extra = {1: 400, 3: SAMPLES + 7, 4: 500}
    experiment = submit_sampling()
    stack.start("gpu", "cpu", "reconciler")
    wait_for(lambda: has_ended(experiment), 90)
    assert_exact(experiment)
    services.draw_extra(experiment=experiment, draw=ExtraDraw.of(extra), number=1)
    before = PROBLEMS * SAMPLES
    wait_for(lambda: drawn(experiment) > before, 60)
    at_kill = drawn(experiment)
    kill_and_restart("gpu")(stack)
    wait_for(lambda: has_ended(experiment), 90)
    assert at_kill < before + sum(extra.values()) - 3 * SAMPLES, "the kill came too late to test anything"
    assert_exact(experiment, extra)


def test_a_runner_killed_where_problems_stop_when_solved(
    stack: Stack, submit_sampling: Callable[..., Experiment], tmp_path: Path
) -> None:
    """About one text in ten is right. However many are saved, which is a matter of time: each sample up to the first
    right one is there once."""
    folder = tmp_path / "verifiers"
    folder.mkdir()
    (folder / "some.py").write_text(
        "from zlib import crc32\ndef right(text, problem): return crc32(text.encode()) % 10 == 0\n"
    )
    for path in (folder, *folder.parents[:3]):
        path.chmod(0o755)  # the sandbox's user reads it
    stack.environment["CANOPY_VERIFIER_DIR"] = str(folder)
    with override_settings(VERIFICATION={**settings.VERIFICATION, "functions": str(folder)}):
        experiment = submit_sampling(stop_when_solved=True, verifier="function", grade_target="some:right")
    stack.start("web", "gpu", "cpu", "reconciler")
    wait_for(lambda: drawn(experiment) > 0, 60)
    kill_runner(stack)
    wait_for(lambda: has_ended(experiment), 120)
    assert experiment.status == Status.FINISHED, experiment.reason
    for problem in Problem.objects.filter(experiment=experiment):
        samples = dict(problem.samples.values_list("index", "verdict"))
        right = [index for index, verdict in samples.items() if verdict == "correct"]
        assert problem.first_correct == min(right, default=None)
        assert set(range(min(right, default=SAMPLES - 1) + 1)) <= set(samples)
        assert set(samples.values()) <= set(GRADED) and problem.drawn == problem.n == len(samples)
    state = live_state(experiment)
    assert [(stage["state"], stage["done"], stage["total"]) for stage in state["stages"][:2]] == [
        ("done", PROBLEMS * SAMPLES, PROBLEMS * SAMPLES)
    ] * 2
    assert state["kind"]["curve"]["complete_to"] == SAMPLES and len(state["artifacts"]) == 3


def page_state(stack: Stack, person: User, experiment: Experiment) -> dict[str, int]:
    """What the web process answers to a signed-in page."""
    import json
    from urllib.request import Request, urlopen

    client = Client()
    client.force_login(person)
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    with urlopen(Request(f"{stack.url}/experiments/{experiment.code}/live.json", headers={"Cookie": cookie})) as answer:
        state: dict[str, int] = json.load(answer)
    return state
