from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.coverage import PUBLISHED_FITS, PUBLISHED_POINTS, fit_points, fit_power_law, paper_points, pass_at_k
from tests.engine.shared import shared_data

# The coverage each published fit implies at k = 1, 10, ..., 10,000, computed from its a and b outside this project.
IMPLIED = [
    (0.264, 0.610, 0.832, 0.934, 0.975),
    (0.472, 0.771, 0.914, 0.969, 0.989),
    (0.021, 0.049, 0.097, 0.163, 0.245),
    (0.080, 0.141, 0.219, 0.308, 0.400),
    (0.0005, 0.007, 0.036, 0.112, 0.236),
    (0.020, 0.174, 0.457, 0.705, 0.856),
    (0.086, 0.360, 0.653, 0.837, 0.929),
    (0.264, 0.331, 0.399, 0.465, 0.529),
]


def test_the_paper_fits_on_37_points() -> None:
    points = paper_points(10_000)
    assert len(points) == 37 and points[0] == 1 and points[-1] == 10_000


@given(st.integers(1, 10**6))
def test_the_points_end_at_the_largest(largest: int) -> None:
    points = paper_points(largest)
    assert points[0] == 1 and points[-1] == largest and np.all(np.diff(points) > 0)


@pytest.mark.parametrize(("fit", "implied"), list(zip(PUBLISHED_FITS, IMPLIED, strict=True)))
def test_the_eight_published_fits(fit, implied) -> None:
    ks = 10 ** np.arange(5)
    np.testing.assert_allclose(fit.coverage(ks), implied, atol=6e-4)
    again = fit_points(paper_points(10_000), fit.coverage(paper_points(10_000)))
    assert again is not None
    assert (again.a, again.b) == pytest.approx((fit.a, fit.b), rel=1e-4)
    assert again.error_mean < 1e-6


@pytest.mark.parametrize(
    ("file", "which"),
    [("math-llama38Binstruct_oracle", 0), ("math-llama370Binstruct_oracle", 1), ("math-gemma2B", 6)],
)
def test_the_procedure_on_the_papers_curves_gives_the_papers_fits(file: str, which: int) -> None:
    """The curves were read off the figures and so were a and b; the curves of the two fits must agree."""
    with (shared_data("curves") / f"{file}.csv").open() as lines:
        rows = sorted((float(row["x"]), float(row[" y"])) for row in csv.DictReader(lines))
    x, y = np.array(rows).T
    ks = paper_points(10_000)
    law = fit_points(ks, np.interp(np.log(ks), np.log(x), y))
    published = PUBLISHED_FITS[which]
    assert law is not None
    assert law.a == pytest.approx(published.a, abs=0.02)
    assert law.b == pytest.approx(published.b, abs=0.006)
    assert law.error_mean == pytest.approx(published.error_mean, abs=0.003)
    assert law.error_sd == pytest.approx(published.error_sd, abs=0.003)


def test_on_counts_it_is_least_squares_on_log_coverage() -> None:
    random = np.random.default_rng(0)
    n = np.full(128, 1000)
    c = random.binomial(n, random.beta(0.35, 0.65, 128))
    law = fit_power_law(n, c)
    assert law is not None and law.fitted_to == 1000
    ks = paper_points(1000).astype(float)
    curve = pass_at_k(n[:, None], c[:, None], ks).mean(axis=0)

    def squares(a: float, b: float) -> float:
        return float(np.sum((a * ks**b - np.log(curve)) ** 2))

    best = squares(law.a, law.b)
    assert all(squares(law.a + da, law.b + db) > best for da in (-0.01, 0.01) for db in (-0.005, 0.005))
    assert 0 < law.error_mean < 0.02


@pytest.mark.parametrize("c", [0, 50])
def test_a_flat_curve_has_no_law(c: int) -> None:
    assert fit_power_law([50] * 5, [c] * 5) is None
    assert fit_power_law([], []) is None


def test_the_published_points_agree_with_the_published_fits_where_both_exist() -> None:
    fits = {(fit.model, fit.task): fit for fit in PUBLISHED_FITS}
    shared = [point for point in PUBLISHED_POINTS if (point.model, point.task) in fits]
    assert shared
    for point in shared:
        fit = fits[point.model, point.task]
        assert fit.coverage([point.k])[0] == pytest.approx(point.coverage, abs=0.015)
