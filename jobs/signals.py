"""What other apps may hear about experiments. jobs knows nothing of who listens."""

from __future__ import annotations

import logging

from django.db import transaction
from django.dispatch import Signal

from jobs.models import Experiment

logger = logging.getLogger(__name__)

# Arguments: experiment. Sent within the transaction that ends it: rows a receiver writes are kept or lost with the end.
experiment_ended = Signal()


def tell_ended(experiment_id: int) -> None:
    """Send ``experiment_ended``. A receiver's mistake must not lose a finished shard."""
    experiment = Experiment.objects.select_related("team", "owner").get(pk=experiment_id)
    try:
        with transaction.atomic():
            experiment_ended.send(Experiment, experiment=experiment)
    except Exception:
        logger.exception("not everybody heard that experiment %s ended", experiment.code)
