"""Stored files on the disk of the machine that runs a shard. Needs the database, runs in the supervisor."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.core.files.storage import default_storage

from jobs.leases import Lease, extend
from jobs.models import Artifact, Shard


def local_file(stored: str, target: Path, shard: Shard) -> Path:
    """A stored file on this machine; from a remote storage it is fetched, which may take longer than a lease."""
    try:
        return Path(default_storage.path(stored))
    except NotImplementedError:
        pass
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.part")
    lease = Lease.of(shard)
    with default_storage.open(stored) as remote, draft.open("wb") as local:
        for chunk in remote.chunks(4 * 2**20):
            local.write(chunk)
            extend(lease)
    draft.replace(target)
    return target


def bring_back(shard: Shard, target: Path, name: str) -> None:
    """Bring a kept file of the experiment back to where it was made, when this is another machine or the folder was
    cleared. Does nothing where the file is there, or was never kept."""
    artifact = Artifact.objects.filter(experiment=shard.experiment_id, name=name).first()
    if target.exists() or artifact is None:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = local_file(str(artifact.file.name), target, shard)
    if source != target:
        draft = target.with_name(f"{target.name}.part")
        shutil.copyfile(source, draft)
        draft.replace(target)
