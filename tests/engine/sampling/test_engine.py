"""generate() as its callers see it, on a tiny model."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from engine.sampling import EarlyStop, Engine, Model, Request, Sample, SamplingParams, StepStats

Make = Callable[..., Engine]

ROOT = tuple(range(20, 40))
PARAMS = SamplingParams(temperature=1.0, max_tokens=16, seed=5)


def requests(*counts: int) -> list[Request]:
    return [Request(p, tuple(range(50 + p, 53 + 2 * p)), tuple(range(n))) for p, n in enumerate(counts)]


def by_key(samples: list[Sample]) -> dict[tuple[int, int], Sample]:
    found = {(sample.problem, sample.index): sample for sample in samples}
    assert len(found) == len(samples), "a sample came twice"
    return found


def assert_same(one: Sample, other: Sample) -> None:
    """Equal but for the rounding of the log-probability."""
    assert other.logprob == pytest.approx(one.logprob, abs=1e-3)
    assert dataclasses.replace(other, logprob=0.0) == dataclasses.replace(one, logprob=0.0)


@pytest.fixture(params=["padded", "paged"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    """An engine with either runner; the paged one as on a GPU, but with its kernels' torch references and short pages."""
    monkeypatch.setattr("engine.sampling.paged.PAGE", 16)

    def build(model: Model, **options: Any) -> Engine:
        return Engine(model, paged=request.param == "paged", **options)

    return build


def test_a_sample_is_the_same_alone_and_in_a_crowd(llama: Model, make: Make) -> None:
    crowd = by_key(list(make(llama, max_batch=64).generate(ROOT, requests(7, 1, 9), PARAMS)))
    assert len(crowd) == 17
    assert len({sample.token_ids for sample in crowd.values()}) > 12
    for problem, index in [(0, 0), (0, 6), (1, 0), (2, 4)]:
        request = requests(7, 1, 9)[problem]
        [alone] = make(llama).generate(ROOT, [dataclasses.replace(request, indices=(index,))], PARAMS)
        assert_same(alone, crowd[problem, index])


def test_more_samples_than_places_and_a_tight_budget_change_nothing(llama: Model, make: Make) -> None:
    wanted = by_key(list(make(llama).generate(ROOT, requests(6, 3, 5), PARAMS)))
    longest = max(len(request.prompt) for request in requests(6, 3, 5))
    for engine in (make(llama, max_batch=4), make(llama, kv_budget_tokens=len(ROOT) + longest + 2 * 16)):
        got = by_key(list(engine.generate(ROOT, requests(6, 3, 5), PARAMS)))
        assert got.keys() == wanted.keys()
        for key, sample in got.items():
            assert_same(wanted[key], sample)


def test_the_budget_is_kept(llama: Model, make: Make) -> None:
    budget = len(ROOT) + 7 + 3 * 16
    steps: list[StepStats] = []
    samples = list(
        make(llama, kv_budget_tokens=budget).generate(ROOT, requests(6, 3, 5), PARAMS, on_step=steps.append)
    )
    assert max(step.kv_tokens for step in steps) <= budget
    assert sum(step.new_tokens for step in steps) == sum(sample.tokens for sample in samples)
    assert sum(step.prefill_tokens for step in steps) == len(ROOT) + sum(len(r.prompt) for r in requests(6, 3, 5))
    assert steps[-1].waiting == 0


def test_the_root_is_computed_once(llama: Model, make: Make) -> None:
    engine = make(llama)
    prefilled = []
    for root in (ROOT, ROOT, (1, 2, 3), ()):
        steps: list[StepStats] = []
        list(engine.generate(root, requests(2), PARAMS, on_step=steps.append))
        prefilled.append(sum(step.prefill_tokens for step in steps))
    assert prefilled == [len(ROOT) + 3, 3, 6, 3]


def test_prompt_may_be_all_root_or_all_its_own(llama: Model, make: Make) -> None:
    [shared] = make(llama).generate(ROOT, [Request(0, (), (0,))], PARAMS)
    [own] = make(llama).generate((), [Request(0, ROOT, (0,))], PARAMS)
    assert_same(shared, own)


def test_length_and_eos(llama: Model, make: Make) -> None:
    free = list(make(dataclasses.replace(llama, eos_ids=frozenset())).generate(ROOT, requests(8), PARAMS))
    assert {(sample.finish, sample.tokens) for sample in free} == {("length", 16)}
    eos = free[0].token_ids[5]
    ended = by_key(
        list(make(dataclasses.replace(llama, eos_ids=frozenset({eos}))).generate(ROOT, requests(8), PARAMS))
    )
    for sample in free:
        got = ended[0, sample.index]
        if eos in sample.token_ids:
            assert got.finish == "eos"
            assert got.token_ids == sample.token_ids[: sample.token_ids.index(eos) + 1]
        else:
            assert_same(sample, got)


def test_stop_string_cuts_the_text(llama: Model, make: Make) -> None:
    free = by_key(list(make(llama).generate(ROOT, requests(8), PARAMS)))
    # Random tokens are mostly broken bytes: take two characters that are whole.
    stop = next(found[0] for sample in free.values() if (found := re.search("[!-~]{2}", sample.text[2:])))
    stopped = by_key(list(make(llama).generate(ROOT, requests(8), dataclasses.replace(PARAMS, stop=(stop, "@@@@")))))
    assert any(sample.finish == "stop" for sample in stopped.values())
    for key, sample in stopped.items():
        assert sample.token_ids == free[key].token_ids[: sample.tokens]
        assert stop not in sample.text
        if sample.finish == "stop":
            assert free[key].text.startswith(sample.text + stop)


def test_cancel_stops_between_steps(llama: Model, make: Make) -> None:
    calls = count()
    steps: list[StepStats] = []
    samples = make(llama).generate(
        ROOT, requests(8), PARAMS, on_step=steps.append, cancelled=lambda: next(calls) >= 4
    )
    assert all(sample.tokens <= 4 for sample in samples)
    assert 0 < sum(step.new_tokens > 0 for step in steps) <= 4


def test_a_cancelled_engine_works_again(llama: Model, make: Make) -> None:
    engine = make(llama, max_batch=4)
    calls = count()
    list(engine.generate(ROOT, requests(6), PARAMS, cancelled=lambda: next(calls) >= 3))
    wanted = by_key(list(make(llama).generate(ROOT, requests(6), PARAMS)))
    for key, sample in by_key(list(engine.generate(ROOT, requests(6), PARAMS))).items():
        assert_same(wanted[key], sample)


def test_samples_end_at_the_context(llama: Model, make: Make) -> None:
    context = llama.shape.context_length
    root = tuple(5 + i % 250 for i in range(context - 6))
    model = dataclasses.replace(llama, eos_ids=frozenset())
    [sample] = make(model).generate(root, [Request(0, (7, 8), (0,))], PARAMS)
    assert (sample.finish, sample.tokens) == ("length", 4)


@pytest.mark.parametrize(
    ("root", "asked", "message"),
    [
        (ROOT * 30, [Request(3, (1,), (0,))], "problem 3 has 601 tokens"),
        ((), [Request(0, (), (0,))], "no prompt token"),
        (ROOT, [Request(0, (1,), (0,)), Request(0, (2,), (1,))], "one request only"),
    ],
)
def test_requests_that_cannot_run_are_refused_at_once(
    llama: Model, make: Make, root: tuple[int, ...], asked: list[Request], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(llama).generate(root, asked, PARAMS)


def test_nothing_asked_gives_nothing(llama: Model, make: Make) -> None:
    assert list(make(llama).generate(ROOT, [Request(0, (1,), ())], PARAMS)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.01},
        {"top_k": -1},
        {"min_p": -0.1},
        {"min_p": 1.0},
        {"max_tokens": 0},
        {"stop": ("",)},
        {"stop": "abc"},
        {"seed": -1},
        {"seed": 2**63},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SamplingParams(**wrong)  # type: ignore[arg-type]  # wrong on purpose
