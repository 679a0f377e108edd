"""What is older than the operator's days goes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone

from jobs import retention
from jobs.models import Artifact, Experiment, LogLine, Status
from jobs.retention import Daily, Removed, prune

NOW = timezone.now()


@pytest.fixture
def aged(make_experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    """``aged(days, status)``: an experiment that ended so long ago, with two log lines."""

    def make(days: int, status: str = Status.FINISHED) -> Experiment:
        ended = None if status == Status.RUNNING else NOW - timedelta(days=days)
        experiment = make_experiment(name=f"{status} {days}", status=status, finished_at=ended)
        LogLine.objects.bulk_create(LogLine(experiment=experiment, seq=1, text=text) for text in "ab")
        return experiment

    return make


def _names() -> set[str]:
    return set(Experiment.objects.values_list("name", flat=True))


def test_nothing_goes_unless_the_operator_says_so(aged: Callable[..., Experiment]) -> None:
    aged(5_000)
    assert prune(NOW) == Removed(0, 0)
    assert len(_names()) == 1


@pytest.mark.django_db(transaction=True)
def test_old_experiments_go_with_their_files(aged: Callable[..., Experiment], settings: Any) -> None:
    settings.KEEP_EXPERIMENT_DAYS = 30
    old = aged(31)
    artifact = Artifact(experiment=old, name="a", content_type="x", size=1)
    artifact.file.save("a", ContentFile(b"x"))
    aged(31, Status.CANCELLED), aged(29), aged(31, Status.RUNNING)
    assert prune(NOW, only_count=True) == Removed(2, 0)
    assert default_storage.exists(artifact.file.name)
    assert prune(NOW) == Removed(2, 0)
    assert _names() == {"finished 29", "running 31"}
    assert not default_storage.exists(artifact.file.name)


def test_old_logs_go_and_their_experiments_stay(
    aged: Callable[..., Experiment], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 1)
    settings.KEEP_LOG_DAYS = 7
    aged(8), aged(9), aged(6), aged(8, Status.RUNNING)
    assert prune(NOW, only_count=True) == Removed(0, 4)
    assert prune(NOW) == Removed(0, 4)
    assert len(_names()) == 4
    assert set(LogLine.objects.values_list("experiment__name", flat=True)) == {"finished 6", "running 8"}


def test_dead_sessions_go(db: None) -> None:
    Session.objects.create(session_key="dead", session_data="", expire_date=NOW - timedelta(days=1))
    Session.objects.create(session_key="live", session_data="", expire_date=NOW + timedelta(days=1))
    prune(NOW, only_count=True)
    assert Session.objects.count() == 2
    prune(NOW)
    assert Session.objects.get().session_key == "live"


def test_the_command_tells(aged: Callable[..., Experiment], settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.KEEP_EXPERIMENT_DAYS = 1
    aged(3)
    call_command("prune", dry_run=True)
    assert "1 experiments and 0 log lines would be removed" in capsys.readouterr().out
    assert len(_names()) == 1


def test_daily_is_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    now = NOW
    monkeypatch.setattr(timezone, "now", lambda: now)
    calls: list[int] = []
    daily = Daily(lambda: calls.append(1))
    for hours in (0, 1, 23, 24, 25, 49):
        now = NOW + timedelta(hours=hours)
        daily()
    assert len(calls) == 3
