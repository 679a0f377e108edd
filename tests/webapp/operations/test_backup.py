"""A backup restored into an empty database is what was backed up, and one that cannot be is refused in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command

from jobs.kinds.sampling.models import Problem, Sample, SampleText
from jobs.models import Artifact, Experiment, Worker
from webapp.accounts.models import Team, User
from webapp.operations import backup
from webapp.operations.backup import BackupError, restore_backup, write_backup
from webapp.sharing.models import ShareLink

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def used(make_experiment: Callable[..., Experiment], settings: Any, tmp_path: Path) -> Experiment:
    """An installation with samples, a file and a link."""
    settings.MEDIA_ROOT = tmp_path / "stored"
    experiment = make_experiment(name="Übung – 林 \u2028", problems=2, n=4, c=1)
    for index, problem in enumerate(Problem.objects.all()):
        for number in range(4):
            sample = Sample.objects.create(experiment=experiment, problem=problem, index=number, logprob=-0.1 * number)
            SampleText.objects.create(sample=sample, text=f'{index}: 🌳 "{number}"\n')
    artifact = Artifact(experiment=experiment, name="samples.parquet", content_type="x", size=5)
    artifact.file.save("samples.parquet", ContentFile(b"\0\xffabc"))
    ShareLink.objects.create(experiment=experiment, token_prefix="abcdef", token_hash="0" * 64)
    Worker.objects.create(name="gpu@old", queue="gpu", host="old", device="x", pid=1)
    return experiment


def _rows() -> dict[str, list[Any]]:
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in backup._models()}


def test_what_is_restored_is_what_was_there(used: Experiment, settings: Any, tmp_path: Path) -> None:
    before = _rows()
    counted = write_backup(tmp_path / "b.tar")
    assert counted.rows == sum(map(len, before.values())) > 20
    assert counted.files == 1
    call_command("flush", interactive=False, verbosity=0)
    settings.MEDIA_ROOT = tmp_path / "elsewhere"

    assert restore_backup(tmp_path / "b.tar") == counted

    assert _rows() == before
    assert Artifact.objects.get().file.read() == b"\0\xffabc"
    assert not Worker.objects.exists()
    # The next rows get numbers of their own.
    Team.objects.create(name="Later")
    assert User.objects.create_user("zoe@example.org", "Zoe", "coverage grows with k").pk


def test_into_a_database_of_another_make(used: Experiment, tmp_path: Path) -> None:
    """From the database of the tests (SQLite or PostgreSQL) into a new installation on SQLite, by the commands."""
    write_backup(tmp_path / "b.tar")
    environment = {**os.environ, "CANOPY_DATA": str(tmp_path / "new"), "DATABASE_URL": ""}

    def manage(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=environment, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    manage("migrate", "--verbosity", "0")
    assert "Restored" in manage("restore", str(tmp_path / "b.tar"))
    code = "from jobs.kinds.sampling.models import Sample; from jobs.models import *; e = Experiment.objects.get(); "
    shown = manage("shell", "-v", "0", "-c", code + "print(ascii([e.name, str(e.code), Sample.objects.count()]))")
    assert shown.strip().splitlines()[-1] == ascii([used.name, str(used.code), Sample.objects.count()])
    assert len(list((tmp_path / "new" / "artifacts" / str(used.code)).iterdir())) == 1


MEANWHILE = """
import sqlite3
from django.conf import settings
from django.core.management import call_command
from webapp.accounts.models import Team
from webapp.operations import backup
call_command("migrate", verbosity=0)
Team.objects.create(name="Before")
with backup._moment():
    other = sqlite3.connect(settings.DATABASES["default"]["NAME"], timeout=0)
    other.execute("UPDATE accounts_team SET name = 'Meanwhile'")
    other.commit()
    inside = Team.objects.get().name
print(inside, Team.objects.get().name)
"""


def test_a_backup_shows_one_moment_and_stops_nobody(tmp_path: Path) -> None:
    """SQLite in its real mode: the test database lives in memory."""
    environment = {**os.environ, "CANOPY_DATA": str(tmp_path / "data"), "DATABASE_URL": ""}
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", MEANWHILE],
        cwd=ROOT,
        env=environment,
        text=True,
        capture_output=True,
    )
    assert done.stdout.split() == ["Before", "Meanwhile"], done.stderr


def test_a_used_database_is_not_overwritten(used: Experiment, tmp_path: Path) -> None:
    write_backup(tmp_path / "b.tar")
    with pytest.raises(BackupError, match=r"holds .* already: restore into a new one"):
        restore_backup(tmp_path / "b.tar")
    assert Experiment.objects.count() == 1


def test_a_backup_is_not_overwritten(used: Experiment, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(b"precious")
    with pytest.raises(BackupError, match="exists already"):
        write_backup(tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == b"precious"


def test_a_backup_that_was_cut_short_changes_nothing(used: Experiment, settings: Any, tmp_path: Path) -> None:
    write_backup(tmp_path / "b.tar")
    whole = (tmp_path / "b.tar").read_bytes()
    call_command("flush", interactive=False, verbosity=0)
    for size in (0, 100, len(whole) // 2):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        with pytest.raises(BackupError):
            restore_backup(tmp_path / "cut.tar")
    assert not any(_rows().values())


def _altered(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A copy whose manifest was changed."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            if member.name == "manifest.json":
                manifest = json.load(content)
                change(manifest)
                (target.parent / "manifest.json").write_text(json.dumps(manifest))
                new.add(target.parent / "manifest.json", "manifest.json")
            else:
                new.addfile(member, content)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(format=99), "format 99"),
        (lambda m: m["migrations"].pop(), "older Canopy"),
        (lambda m: m["migrations"].append(["jobs", "9999_later"]), r"lacks migrations .*jobs\.9999_later"),
        (lambda m: m["rows"].update({"jobs.experiment": 7}), "cut short"),
        (lambda m: m.update(files=7), "cut short"),
    ],
)
def test_a_backup_that_does_not_fit_is_refused(
    used: Experiment, tmp_path: Path, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    write_backup(tmp_path / "b.tar")
    _altered(tmp_path / "b.tar", tmp_path / "other.tar", change)
    call_command("flush", interactive=False, verbosity=0)
    with pytest.raises(BackupError, match=says):
        restore_backup(tmp_path / "other.tar")
    assert not any(_rows().values())


def test_a_name_that_leads_outside_is_refused(used: Experiment, tmp_path: Path) -> None:
    write_backup(tmp_path / "b.tar")
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "b.tar", "a") as archive:
        archive.add(tmp_path / "evil", "files/../../outside")
    call_command("flush", interactive=False, verbosity=0)
    with pytest.raises((BackupError, Exception), match=r"outside|path|Suspicious|Detected"):
        restore_backup(tmp_path / "b.tar")
    assert not (tmp_path / "outside").exists()
    assert not any(_rows().values())
    assert not default_storage.exists("outside")
