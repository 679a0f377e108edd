"""Series over time: sums that hold whatever is merged, a bound that holds however long it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import metrics
from jobs.metrics import Report, cut, gather
from jobs.models import Experiment, MetricSpan, next_seq

pytestmark = pytest.mark.django_db
Submit = Callable[..., Experiment]
NOW = 1_000_000.0


def write(experiment: Experiment, *reports: Report) -> None:
    metrics.write(experiment.pk, next_seq(experiment.pk), reports)
    experiment.refresh_from_db()


def series(experiment: Experiment, after: int = 0) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = metrics.changes(experiment, after)["series"]
    return found


def test_a_report_is_cut_at_the_borders_of_spans() -> None:
    pieces = list(cut(Report({"speed": 10.0}, 5.0, NOW + 1), 2))
    assert [(piece.start, piece.since, piece.until) for piece in pieces] == [
        (NOW - 4, NOW - 4, NOW - 2),
        (NOW - 2, NOW - 2, NOW),
        (NOW, NOW, NOW + 1),
    ]
    assert [piece.totals["speed"] for piece in pieces] == [[20.0, 2.0], [20.0, 2.0], [10.0, 1.0]]


def test_workers_add_up_and_the_time_without_a_report_does_not_count(submit: Submit) -> None:
    experiment = submit()
    write(experiment, Report({"speed": 10.0, "batch": 4}, 1.0, NOW + 1), Report({"speed": 30.0}, 1.0, NOW + 1))
    write(experiment, Report({"speed": 20.0}, 1.0, NOW + 3))  # a span that only its first half tells about
    assert series(experiment) == {
        "speed": [[NOW * 1000, 40.0], [(NOW + 2) * 1000, 20.0]],
        "batch": [[NOW * 1000, 4.0]],
    }
    means = metrics.means([experiment], "speed")
    assert means == metrics.Means(all_workers=30.0, one_worker=20.0, worker_seconds=3.0)
    assert metrics.means([experiment], "loss") is None


def test_only_changed_spans_are_sent_again(submit: Submit) -> None:
    experiment = submit()
    write(experiment, Report({"speed": 10.0}, 1.0, NOW + 1))
    write(experiment, Report({"speed": 10.0}, 1.0, NOW + 3))
    seq = experiment.last_seq
    write(experiment, Report({"speed": 30.0}, 1.0, NOW + 4))
    assert series(experiment, after=seq) == {"speed": [[(NOW + 2) * 1000, 20.0]]}
    assert metrics.changes(experiment, experiment.last_seq) == {"width": 0, "series": {}}


REPORTS = st.lists(
    st.builds(
        Report,
        st.dictionaries(st.sampled_from(["speed", "batch"]), st.floats(0, 1e6), min_size=1),
        st.floats(0.01, 40),
        st.floats(NOW, NOW + 1e5),
    ),
    min_size=1,
    max_size=30,
)


@settings(deadline=None)
@given(REPORTS, st.sampled_from([2, 4, 64]))
def test_nothing_is_lost_by_cutting_and_widening(reports: list[Report], width: int) -> None:
    """Sums over all spans against sums over the reports."""
    pieces = [piece for report in reports for piece in cut(report, width)]
    for spans in (gather(pieces, width), gather(gather(pieces, width), 8 * width)):
        assert [span.start for span in spans] == sorted({span.start for span in spans})
        for name in ("speed", "batch"):
            of_name = [report for report in reports if name in report.values]
            totals = [span.totals[name] for span in spans if name in span.totals]
            assert math.fsum(total for total, _ in totals) == pytest.approx(
                math.fsum(report.values[name] * report.seconds for report in of_name), rel=1e-6, abs=1e-3
            )
            assert math.fsum(seconds for _, seconds in totals) == pytest.approx(
                math.fsum(report.seconds for report in of_name), rel=1e-6
            )
        for span in spans:
            assert span.start % span.width == 0
            assert span.start <= span.since < span.until <= span.start + span.width


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(REPORTS, min_size=1, max_size=6))
def test_the_number_of_spans_is_bounded(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, batches: list[list[Report]]
) -> None:
    monkeypatch.setattr(metrics, "MOST_SPANS", 8)
    experiment = submit()
    for reports in batches:
        write(experiment, *reports)
        widths = set(experiment.metric_spans.values_list("width", flat=True))
        assert experiment.metric_spans.count() <= 8 and len(widths) == 1
    of_name = [report for reports in batches for report in reports if "speed" in report.values]
    means = metrics.means([experiment], "speed")
    assert (means is not None) == bool(of_name)
    if means is not None:
        assert means.worker_seconds == pytest.approx(math.fsum(report.seconds for report in of_name), rel=1e-6)


def test_a_new_width_sends_every_span(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_SPANS", 4)
    experiment = submit()
    for i in range(4):
        write(experiment, Report({"speed": 10.0 * (i + 1)}, 2.0, NOW + 2 * (i + 1)))
    seq = experiment.last_seq
    write(experiment, Report({"speed": 50.0}, 2.0, NOW + 10))
    assert metrics.changes(experiment, seq) == {
        "width": 4,
        "series": {"speed": [[NOW * 1000, 15.0], [(NOW + 4) * 1000, 35.0], [(NOW + 8) * 1000, 50.0]]},
    }


def test_what_is_no_number_is_dropped(submit: Submit) -> None:
    experiment = submit()
    write(experiment, Report({"a": math.inf, "b": math.nan}, 1.0, NOW), Report({"c": 1.0}, 0.0, NOW))
    assert not MetricSpan.objects.exists()
    write(experiment, Report({"a": math.inf, "n" * 50: 1.0}, 1.0, NOW))
    assert list(series(experiment)) == ["n" * 40]


def test_the_recent_mean_forgets(submit: Submit) -> None:
    experiment = submit()
    assert metrics.recent_mean(experiment, "speed") is None
    now = time.time()
    write(experiment, Report({"speed": 1.0}, 20.0, now - 20), Report({"speed": 30.0}, 15.0, now))
    assert metrics.recent_mean(experiment, "speed") == pytest.approx(30.0)
    write(experiment, Report({"speed": 10.0}, 15.0, now))  # a second worker
    assert metrics.recent_mean(experiment, "speed") == pytest.approx(40.0)
    experiment.metric_spans.all().delete()
    write(experiment, Report({"speed": 30.0}, 5.0, now - 60))
    assert metrics.recent_mean(experiment, "speed") is None
