"""generate() as its callers see it, on a tiny model."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from engine.models import Model
from engine.models.decoder import is_supported
from engine.sampling import Engine, Request, Sample, SamplingParams, StepStats

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
    """Equal but for the rounding of the log-probability and the self-certainty."""
    assert other.logprob == pytest.approx(one.logprob, abs=1e-3)
    assert other.self_certainty == pytest.approx(one.self_certainty, abs=1e-4)
    rounded = {"logprob": one.logprob, "self_certainty": one.self_certainty}
    assert dataclasses.replace(other, **rounded) == one


@pytest.fixture(params=["padded", "paged"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    """An engine with either runner; the paged one as on a GPU, but with its kernels' references and short pages."""
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
    for engine in (make(llama, max_batch=4), make(llama, kv_budget_tokens=80)):
        got = by_key(list(engine.generate(ROOT, requests(6, 3, 5), PARAMS)))
        assert got.keys() == wanted.keys()
        for key, sample in got.items():
            assert_same(wanted[key], sample)


def test_the_budget_is_kept(llama: Model, make: Make) -> None:
    budget = len(ROOT) + 7 + 3 * 16
    steps: list[StepStats] = []
    samples = list(make(llama, kv_budget_tokens=budget).generate(ROOT, requests(6, 3, 5), PARAMS, on_step=steps.append))
    assert max(step.kv_tokens for step in steps) <= budget
    assert sum(step.new_tokens for step in steps) == sum(sample.tokens for sample in samples)
    assert sum(step.prefill_tokens for step in steps) == len(ROOT) + sum(len(r.prompt) for r in requests(6, 3, 5))
    assert steps[-1].waiting == 0
    assert {step.kv_budget for step in steps} == {budget}


def test_what_sharing_saves_is_counted(llama: Model, make: Make) -> None:
    """Two problems of three samples: a path holds root, prompt and own tokens; the tree holds shared ones once."""
    steps: list[StepStats] = []
    wanted = [Request(0, tuple(range(50, 57)), (0, 1, 2)), Request(1, tuple(range(60, 64)), (0, 1, 2))]
    greedy = SamplingParams(temperature=0.0, max_tokens=4)
    samples = list(make(llama).generate(ROOT, wanted, greedy, on_step=steps.append))
    assert {sample.tokens for sample in samples} == {4}, "a sample ended early, so the sums below do not hold"
    root, first, *rest = steps
    assert (root.kv_tokens, root.path_tokens) == (20, 20)
    # The first step draws each sample's first token, whose key and value are computed in the second.
    assert (first.kv_tokens, rest[0].kv_tokens) == (20 + 7 + 4, 20 + 7 + 4 + 6)
    assert rest[0].path_tokens == 3 * (20 + 7 + 1) + 3 * (20 + 4 + 1)
    assert (rest[-1].kv_tokens, rest[-1].path_tokens) == (20, 0)


def test_after_shrinking_the_same_samples_come_from_less_memory(llama: Model, make: Make) -> None:
    engine = make(llama, max_batch=8)
    wanted = by_key(list(engine.generate(ROOT, requests(6, 3, 5), PARAMS)))
    # Root, sample slots, problem slots, or pages of 16: what was really taken of a far larger budget.
    held = (20 + 8 * 16 + 8 * 5, 32 + 8 * 16 + 8 * 16)
    assert engine.shrink() == engine.kv_budget in [each * 3 // 4 for each in held]
    steps: list[StepStats] = []
    got = by_key(list(engine.generate(ROOT, requests(6, 3, 5), PARAMS, on_step=steps.append)))
    assert max(step.kv_tokens for step in steps) <= engine.kv_budget
    assert got.keys() == wanted.keys()
    for key, sample in got.items():
        assert_same(wanted[key], sample)


def test_shrinking_ends_where_not_even_one_sample_fits(llama: Model, make: Make) -> None:
    engine = make(llama, kv_budget_tokens=70)
    list(engine.generate(ROOT, requests(1), PARAMS))
    for _ in range(3):
        engine.shrink()
    with pytest.raises(ValueError, match=r"one sample needs \d+ key/value tokens"):
        engine.generate(ROOT, requests(1), PARAMS)


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
    ended = by_key(list(make(dataclasses.replace(llama, eos_ids=frozenset({eos}))).generate(ROOT, requests(8), PARAMS)))
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
    samples = make(llama).generate(ROOT, requests(8), PARAMS, on_step=steps.append, cancelled=lambda: next(calls) >= 4)
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


def test_a_solved_problem_is_stopped(llama: Model, make: Make) -> None:
    """Samples above the one that solves it are dropped and counted, running or waiting; those below and others are
    drawn as if nothing had happened. A lower index that turns up later drops more."""
    model = dataclasses.replace(llama, eos_ids=frozenset())
    wanted = by_key(list(make(model).generate(ROOT, requests(5, 9, 5), PARAMS)))
    engine = make(model, max_batch=8)
    calls = count()
    said = [{}] * 5 + [{1: 5}] * 2 + [{1: 3, 2: 9}] * 100  # type: ignore[var-annotated]
    got = by_key(list(engine.generate(ROOT, requests(5, 9, 5), PARAMS, solved=lambda: said[next(calls)])))
    assert [index for problem, index in sorted(got) if problem == 1] == [0, 1, 2, 3]
    assert len(got) == 14
    for key, sample in got.items():
        assert_same(wanted[key], sample)


def test_dropped_samples_come_back_the_same(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short samples make the prediction low, then long ones outgrow the budget: the youngest are drawn again."""
    monkeypatch.setattr("engine.sampling.paged.PAGE", 16)
    monkeypatch.setattr("engine.sampling.predictor._ENOUGH", 1)
    ends = dataclasses.replace(llama, eos_ids=frozenset(range(5, 25)))
    asked, params = requests(40, 30, 1), dataclasses.replace(PARAMS, max_tokens=120)
    wanted = by_key(list(Engine(ends, paged=True, max_batch=71).generate(ROOT, asked, params)))
    assert len({sample.tokens for sample in wanted.values()}) > 10
    steps: list[StepStats] = []
    tight = Engine(ends, paged=True, max_batch=32, kv_budget_tokens=400)
    got = by_key(list(tight.generate(ROOT, asked, params, on_step=steps.append)))
    assert sum(step.new_tokens for step in steps) > sum(sample.tokens for sample in got.values()), "none was dropped"
    assert max(step.kv_tokens for step in steps) <= 400
    assert got.keys() == wanted.keys()
    for key, sample in got.items():
        assert_same(wanted[key], sample)


def test_a_model_that_the_fast_runner_would_compute_wrongly_takes_the_other(llama: Model) -> None:
    assert is_supported(llama.module)
    for name, value in (("mlp_bias", True), ("hidden_act", "relu"), ("model_type", "phi"), ("head_dim", 512)):
        config = copy.deepcopy(llama.module.config)
        setattr(config, name, value)
        assert not is_supported(SimpleNamespace(config=config)), name


def test_many_problems_of_one_sample_each(llama: Model, make: Make) -> None:
    """Nothing is shared below the root: the same samples as when others share the prompt, moved between rows or not."""
    model = dataclasses.replace(llama, eos_ids=frozenset(range(5, 25)))
    params = dataclasses.replace(PARAMS, max_tokens=50)
    prompts = [tuple(range(60 + p, 63 + p + 7 * (p % 6))) for p in range(20)]
    shared = [Request(p, prompt, (0, 1)) for p, prompt in enumerate(prompts)]
    wanted = by_key(list(make(model, max_batch=40).generate(ROOT, shared, params)))
    lone = [dataclasses.replace(request, indices=(0,)) for request in shared]
    for options in ({"max_batch": 6}, {"max_batch": 20}, {"max_batch": 20, "kv_budget_tokens": 400}):
        got = by_key(list(make(model, **options).generate(ROOT, lone, params)))
        assert len(got) == 20
        for key, sample in got.items():
            assert_same(wanted[key], sample)
