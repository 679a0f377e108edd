"""Migrations that carry data, and what every migration must keep to so that an update needs no break."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, migrations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation

from jobs import metrics

# Written before the first release: no installation has older processes.
BEFORE_FIRST_RELEASE = {
    "accounts.0001_initial",
    "jobs.0002_metric_spans_and_processors",
    "jobs.0003_shards_aside",
    "sampling.0001_initial",
    "sampling.0002_verification",
    "sampling.0003_unknown_values",
    "sampling.0005_extra_draws",
    "sharing.0002_targets",
}


def migrate(*targets: tuple[str, str]) -> Any:
    """Bring the database to the targets; returns the models as they were then."""
    executor = MigrationExecutor(connection)
    executor.migrate(list(targets))
    executor.loader.build_graph()
    return executor.loader.project_state(list(targets)).apps


@pytest.fixture
def before_spans() -> Iterator[Any]:
    """The models before 0002; everything is migrated to the end again afterwards."""
    yield migrate(("jobs", "0001_initial"))
    migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())


@pytest.mark.django_db(transaction=True)
def test_measured_points_become_spans(before_spans: Any) -> None:
    team = before_spans.get_model("accounts", "Team").objects.create(name="Marsh lab")
    experiments = before_spans.get_model("jobs", "Experiment").objects
    long, short, silent = (experiments.create(team=team, kind="sampling", name=name, spec={}) for name in "abc")
    points = [(long, 1_000_000 + i, 40.0 + 20.0 * (i % 2)) for i in range(2000)]
    points += [(short, 1_000_001, 7.0), (short, 1_000_001, 9.0)]  # two workers in the same second
    metric = before_spans.get_model("jobs", "Metric")
    metric.objects.bulk_create(
        metric(experiment=of, seq=i, name="tokens_per_second", at=datetime.fromtimestamp(at, UTC), value=value)
        for i, (of, at, value) in enumerate(points)
    )
    migrate(("jobs", "0002_metric_spans_and_processors"))
    found = metrics.means([long.pk], "tokens_per_second")
    assert found is not None
    assert found == metrics.Means(all_workers=50.0, one_worker=50.0, worker_seconds=2000.0)
    both = metrics.means([short.pk], "tokens_per_second")
    assert both == metrics.Means(all_workers=16.0, one_worker=8.0, worker_seconds=2.0)
    assert metrics.means([silent.pk], "tokens_per_second") is None
    from jobs.models import MetricSpan

    spans = MetricSpan.objects.filter(experiment=long.pk)
    assert 256 <= spans.count() <= metrics.MOST_SPANS
    assert set(spans.values_list("width", flat=True)) == {4}


def _breaks(operation: Operation) -> bool:
    """Whether processes of the release before cannot go on beside it (docs/operations.md, Updating without a break)."""
    if isinstance(operation, migrations.AddField):
        field = operation.field
        return not (field.null or field.has_db_default() or field.many_to_many)
    removes = (migrations.RemoveField, migrations.RenameField, migrations.RenameModel, migrations.DeleteModel)
    return isinstance(operation, removes)


@pytest.mark.django_db
def test_old_and_new_processes_can_run_side_by_side() -> None:
    ours = {config.label for config in apps.get_app_configs() if config.name.startswith(("webapp", "jobs"))}
    loader = MigrationExecutor(connection).loader
    breaking = {
        f"{app}.{name}"
        for (app, name), migration in loader.disk_migrations.items()
        if app in ours and any(_breaks(operation) for operation in migration.operations)
    }
    assert breaking <= BEFORE_FIRST_RELEASE
