from __future__ import annotations

import pytest

from engine.tasks import TASKS, published_curves

# Coverage that the published a and b imply at k = 1, 10, 100, 1,000 and 10,000 (reference table of Fig. 5).
IMPLIED = {
    ("math", "Llama-3-8B-Instruct"): (0.264, 0.610, 0.832, 0.934, 0.975),
    ("math", "Llama-3-70B-Instruct"): (0.472, 0.771, 0.914, 0.969, 0.989),
    ("code-contests", "Llama-3-8B-Instruct"): (0.021, 0.049, 0.097, 0.163, 0.245),
    ("code-contests", "Llama-3-70B-Instruct"): (0.080, 0.141, 0.219, 0.308, 0.400),
    ("math", "Pythia-70M"): (0.0005, 0.007, 0.036, 0.112, 0.236),
    ("math", "Pythia-12B"): (0.020, 0.174, 0.457, 0.705, 0.856),
    ("math", "Gemma-2B"): (0.086, 0.360, 0.653, 0.837, 0.929),
    ("minif2f-lean", "Llama-3-8B-Instruct"): (0.264, 0.331, 0.399, 0.465, 0.529),
}


@pytest.mark.parametrize(("task", "model"), IMPLIED)
def test_fits_give_the_published_coverage(task: str, model: str) -> None:
    (fit,) = [one for one in published_curves(task) if one.basis == "fit" and one.model == model]
    values = dict(zip(fit.k, fit.values, strict=True))
    assert [values[k] for k in (1, 10, 100, 1000, 10000)] == pytest.approx(IMPLIED[task, model], abs=6e-4)
    assert fit.a is not None and fit.a < 0 and fit.b is not None and fit.b < 0


def test_curves_rise_within_the_unit_interval_and_have_a_source() -> None:
    curves = [curve for task in TASKS for curve in published_curves(task)]
    assert len(curves) == 18
    for curve in curves:
        assert len(curve.k) == len(curve.values) and list(curve.k) == sorted(set(curve.k))
        assert all(0 < value < 1 for value in curve.values)
        assert curve.kind == "majority" or list(curve.values) == sorted(curve.values)
        assert "2407.21787" in curve.source and curve.model in curve.label


def test_a_task_without_published_curves_has_none() -> None:
    assert published_curves("humaneval") == []
