"""The sandbox is attacked, as whoever runs the tests and, when that is root, as an ordinary user too."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.sandbox.probe import _problem, examine
from engine.sandbox.types import Level
from tests.engine.sandbox.attacks import PRELUDE, Victim, attacks, strike, victim

ROOT = Path(__file__).resolve().parents[3]
NOBODY = 65_534
LEVELS = [Level.CONFINED, Level.ISOLATED]


@pytest.fixture(scope="module")
def target() -> Iterator[Victim]:
    with victim() as made:
        yield made


def need(level: Level) -> None:
    if problem := _problem(level):
        pytest.skip(f"this machine does not reach {level.label}: {problem}")


@pytest.fixture(scope="module", params=LEVELS, ids=lambda level: level.label)
def level(request: pytest.FixtureRequest) -> Level:
    need(request.param)
    return Level(request.param)


def test_there_are_at_least_forty() -> None:
    assert len(attacks(Level.CONFINED)) >= 40


@pytest.mark.parametrize(
    "name",
    [
        "read a file of the worker",
        "list a folder of the worker",
        "read the worker's source",
        "symlink out of the home",
        "connect out",
        "listen",
        "the broker's socket",
        "an abstract socket",
        "signal through a descriptor's owner",
        "fork",
        "environment secrets",
    ],
)
def test_the_attacks_work_where_there_is_no_sandbox(name: str, target: Victim, tmp_path: Path) -> None:
    question = tmp_path / "question"
    question.write_text(json.dumps(target.facts))
    with question.open("r+b") as file:
        code = f"import os; os.dup2({file.fileno()}, 3)\n{PRELUDE}\n{attacks(Level.ISOLATED)[name].source}"
        done = subprocess.run([sys.executable, "-c", code], pass_fds=[file.fileno()], cwd=tmp_path, capture_output=True)
    assert b"ESCAPED" in done.stdout, done.stderr
    with contextlib.suppress(BlockingIOError):
        while True:
            target.listener.accept()


@pytest.mark.parametrize("name", attacks(Level.ISOLATED))
def test_attack(name: str, level: Level, target: Victim) -> None:
    attack = attacks(level).get(name)
    if attack is None:
        pytest.skip("needs more than one process, which this level never has")
    assert strike(target, attack, level) == ""


def ordinary_python() -> str:
    """An interpreter that another user can start."""
    for candidate in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if shutil.which(candidate):
            version = subprocess.run(
                [candidate, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True
            )
            if version.stdout == b"True\n":
                return candidate
    pytest.skip("there is no Python 3.11 that an ordinary user may start")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else; the tests above ran unprivileged")
@pytest.mark.parametrize("name", [level.name for level in LEVELS])
def test_attacks_on_a_worker_without_root(name: str) -> None:
    done = subprocess.run(
        [ordinary_python(), "-m", "tests.engine.sandbox.attacks", name],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "cannot be put up" in done.stderr:
        pytest.skip(f"an ordinary user does not reach {name.lower()} here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["worked"] == {}
    assert report["tried"] >= 40


def test_the_probe_names_the_layers() -> None:
    found = examine()
    assert found.level == Level.NONE or "seccomp" in found.layers
