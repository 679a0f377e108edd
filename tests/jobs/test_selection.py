"""Which shard of one experiment a free worker takes."""

from __future__ import annotations

from collections.abc import Callable

from jobs.models import Experiment, Shard, ShardStatus, Status
from jobs.selection import best_queued


def test_what_is_begun_comes_to_its_results_first(make_experiment: Callable[..., Experiment]) -> None:
    experiment = make_experiment(status=Status.RUNNING)
    for stage_index, stage in enumerate(("train", "evaluate")):
        for index in (1, 0):
            Shard.objects.create(
                experiment=experiment, stage=stage, stage_index=stage_index, index=index, queue="gpu", total=1
            )
    taken = []
    while (shard := best_queued("gpu")) is not None:
        taken.append((shard.stage, shard.index))
        Shard.objects.filter(pk=shard.pk).update(status=ShardStatus.DONE)
    assert taken == [("evaluate", 0), ("evaluate", 1), ("train", 0), ("train", 1)]
