"""The live state: deltas without gaps, bounded size, words for waiting."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import leases, logbook, metrics, services
from jobs.live import live_state, ordinal, stage_state
from jobs.models import Experiment, LogLine, ShardStatus, Worker, next_seq
from jobs.recorder import Recorder

pytestmark = pytest.mark.django_db
Submit = Callable[..., Experiment]
State = dict[str, Any]
ABSOLUTE = ("seq", "status", "reason", "name", "started", "finished", "stages", "workers", "failures", "queue_position")


def merge(state: State, delta: State) -> State | None:
    """What a page does with a delta; None when it missed one before."""
    if delta["after"] > state["seq"]:
        return None
    if delta["seq"] < state["seq"]:
        return state
    artifacts = {item["code"]: item for item in [*state["artifacts"], *delta["artifacts"]]}
    return {
        **delta,
        "log": [*state["log"], *(line for line in delta["log"] if line["seq"] > state["seq"])],
        "artifacts": sorted(artifacts.values(), key=lambda item: item["name"]),
        "metrics": merge_metrics(state["metrics"], delta["metrics"]),
        "kind": {"units": sorted({*state["kind"]["units"], *delta["kind"]["units"]})},
    }


def merge_metrics(old: State, fresh: State) -> State:
    """Spans are absolute; a new width comes with all of them."""
    if not fresh["width"]:
        return old
    before = old["series"] if old["width"] == fresh["width"] else {}
    merged = {name: dict(before.get(name, [])) | dict(points) for name, points in fresh["series"].items()}
    kept = {name: dict(points) for name, points in before.items() if name not in merged}
    return {
        "width": fresh["width"],
        "series": {name: [[at, points[at]] for at in sorted(points)] for name, points in (kept | merged).items()},
    }


class Driver:
    """Takes an experiment through its life in the steps that hypothesis chooses."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.experiment = experiment
        self.folder = folder
        self.recorders: list[tuple[leases.Lease, Recorder]] = []
        self.unit = 0

    def claim(self) -> None:
        if lease := leases.claim_next("gpu", f"gpu@{len(self.recorders)}"):
            self.recorders.append((lease, Recorder(lease)))

    def report(self) -> None:
        if self.recorders:
            _, recorder = self.recorders[0]
            recorder.take({"is": "row", "row": {"unit": self.unit, "text": "x"}})
            recorder.take({"is": "log", "text": f"unit {self.unit}", "level": "info"})
            self.unit += 1
            recorder.flush()

    def measure(self) -> None:
        """Each time a while later, so that spans become wider on the way."""
        if self.recorders:
            lease, _ = self.recorders[0]
            self.unit += 1
            with leases.held(lease) as (shard, seq):
                report = metrics.Report({"speed": self.unit}, 3.0, 1_000.0 + 5 * self.unit)
                metrics.write(shard.experiment_id, seq, [report])

    def keep_file(self) -> None:
        if self.recorders:
            path = self.folder / "file.txt"
            path.write_text("x" * self.unit)
            _, recorder = self.recorders[-1]
            name = f"file-{self.unit % 2}.txt"
            recorder.take({"is": "artifact", "path": str(path), "name": name, "content_type": "text/plain"})
            recorder.flush()

    def finish(self) -> None:
        if self.recorders:
            leases.finish(self.recorders.pop()[0])

    def fail(self) -> None:
        if self.recorders:
            leases.fail(self.recorders.pop(0)[0], "bad luck")

    def rename(self) -> None:
        services.rename(experiment=self.experiment, name=f"Name {self.unit}")


STEPS = ["claim", "report", "report", "measure", "measure", "keep_file", "finish", "fail", "rename"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3), st.booleans()), max_size=25))
def test_any_sequence_of_deltas_merges_to_the_snapshot(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int, bool]]
) -> None:
    """Broadcasts overlap and get lost; a page that sees a gap asks with its own number. It always ends up right."""
    monkeypatch.setattr(metrics, "MOST_SPANS", 3)
    Experiment.objects.all().delete()
    experiment = submit(shards=3, units=4)
    driver = Driver(experiment, tmp_path)
    page = live_state(experiment)
    sent = [0, page["seq"]]  # numbers a broadcast may start from: an old one when two workers send at once
    for step, back, arrives in steps:
        getattr(driver, step)()
        delta = live_state(experiment, after=sent[-min(back + 1, len(sent))])
        sent.append(delta["seq"])
        if arrives:
            merged = merge(page, delta)
            page = merged if merged is not None else merge(page, live_state(experiment, after=page["seq"]))  # type: ignore[assignment]
    page = merge(page, live_state(experiment, after=page["seq"]))  # type: ignore[assignment]
    snapshot = live_state(experiment)
    assert {key: page[key] for key in ABSOLUTE} == {key: snapshot[key] for key in ABSOLUTE}
    assert page["log"] == snapshot["log"]
    assert page["kind"] == snapshot["kind"]
    assert page["artifacts"] == snapshot["artifacts"]
    assert page["metrics"] == snapshot["metrics"]
    json.dumps(snapshot)


def test_nothing_new_is_small(submit: Submit) -> None:
    experiment = submit(shards=3)
    seq = live_state(experiment)["seq"]
    delta = live_state(experiment, after=seq)
    assert (delta["log"], delta["artifacts"], delta["kind"]) == ([], [], {"units": []})
    assert delta["metrics"] == {"width": 0, "series": {}}


def test_rows_of_a_later_number_wait_for_the_state_that_covers_them(submit: Submit) -> None:
    """A line committed while a state is read would otherwise come twice."""
    experiment = submit()
    logbook.write(experiment.pk, experiment.last_seq + 1, [logbook.Line("from the future")])
    assert all(line["text"] != "from the future" for line in live_state(experiment)["log"])


def test_size_is_bounded(submit: Submit) -> None:
    experiment = submit()
    for _ in range(4):
        seq = next_seq(experiment.pk)
        logbook.write(experiment.pk, seq, (logbook.Line(f"line {i}") for i in range(100)))
    state = live_state(experiment)
    assert len(state["log"]) == 200 and state["log"][-1]["text"] == "line 99"


def test_the_log_keeps_the_newest_lines_only(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logbook, "MOST_LINES", 10)
    experiment = submit()
    for i in range(1, 129):
        logbook.write(experiment.pk, i, [logbook.Line(f"line {i}" + "x" * 9000)])
    lines = LogLine.objects.filter(experiment=experiment).order_by("id")
    assert lines.count() == 10
    assert lines.last().text.startswith("line 128x")  # type: ignore[union-attr]
    assert max(len(line.text) for line in lines) == logbook.LONGEST_LINE


def test_waiting_is_told_in_words(submit: Submit) -> None:
    first, second = submit(), submit()
    nobody = live_state(second)
    assert nobody["queue_position"] == 2
    assert nobody["waiting"].startswith("No GPU worker is running. Start one with: python manage.py worker gpu")
    worker = Worker.objects.create(name="gpu@a", queue="gpu", host="h", device="CPU", pid=1)
    assert live_state(second)["waiting"] == "Waiting for a GPU worker, 2nd in the queue."
    assert live_state(first)["queue_position"] == 1
    services.set_priority(experiment=second, priority=9)
    assert live_state(second)["queue_position"] == 1
    lease = leases.claim_next("gpu", "gpu@a")
    assert lease and lease.experiment_id == second.pk
    running = live_state(second)
    assert (running["waiting"], running["queue_position"], running["workers"]) == (None, None, ["gpu@a"])
    # The worker vanishes with the shard back in the queue: running, but nobody runs it.
    leases.release(lease, "the worker shuts down.")
    Worker.objects.filter(pk=worker.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    assert live_state(second)["waiting"].startswith("No GPU worker")


def test_ordinals() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th")
    ]


def test_a_stage_in_one_word() -> None:
    assert stage_state({"done": 3}) == "done"
    assert stage_state({"queued": 2, "done": 1}) == "running"
    assert stage_state({"queued": 2}) == "queued"
    assert stage_state({"failed": 1, "done": 1, "waiting": 1}) == "failed"
    assert stage_state({"running": 1, "failed": 1}) == "running"
    assert stage_state({"waiting": 1, "cancelled": 1}) == "cancelled"


def test_eta_comes_from_the_measured_rate(submit: Submit) -> None:
    experiment = submit(shards=2, units=10, check=False)
    lease = leases.claim_next("gpu", "gpu@a")
    assert lease and live_state(experiment)["eta_seconds"] is None
    started = timezone.now() - timedelta(seconds=8)
    experiment.shards.filter(pk=lease.shard_id).update(done=4, started_at=started)
    assert live_state(experiment)["eta_seconds"] == pytest.approx(32, rel=0.1)  # 16 units left at one in 2 s
    assert ShardStatus.RUNNING in set(experiment.shards.values_list("status", flat=True))
