"""What the worker relies on: results, refusals, and that nothing is left when somebody dies."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.sandbox.probe import examine
from engine.sandbox.process import python, run, start
from engine.sandbox.types import MIB, Level, Limits, Refused, SandboxError, Task
from tests.engine.sandbox.attacks import left_over

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def level() -> Level:
    found = examine()
    if found.level == Level.NONE:
        pytest.skip(f"no sandbox on this machine: {found.missing}")
    return found.level


def gone(mark: str, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while left_over(mark) and time.monotonic() < end:
        time.sleep(0.02)
    return not left_over(mark)


def group_is_gone(leader: int, seconds: float = 10.0) -> bool:
    """Nobody of a process group is left; an orphan counts until the system's init has waited for it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_input_payload_output_and_exit_status(level: Level) -> None:
    code = "import os, sys; print(input(), os.read(3, 99).decode()); print('err', file=sys.stderr); sys.exit(7)"
    result = run(Task(python("-c", code), stdin=b"in\n", payload=b"pay"), level)
    assert (result.ending, result.code, result.stdout, result.stderr) == ("exited", 7, b"in pay\n", b"err\n")
    assert (result.level, result.ok) == (level, False)


def test_the_signal_that_ended_it_is_told(level: Level) -> None:
    result = run(Task(python("-c", "import ctypes; ctypes.string_at(0)")), level)
    assert result.code == -signal.SIGSEGV


def test_large_input_and_output_pass_whole(level: Level) -> None:
    text = os.urandom(512 * 1024).hex().encode()
    limits = Limits(output=2 * MIB)
    result = run(Task(python("-c", "import sys; sys.stdout.write(sys.stdin.read())"), stdin=text, limits=limits), level)
    assert result.stdout == text


def test_signs_of_life_come_while_it_runs(level: Level) -> None:
    beats: list[int] = []
    task = Task(python("-c", "import time; time.sleep(60)"), limits=Limits(seconds=1))
    assert run(task, level, lambda: beats.append(1)).ending == "timeout"
    assert len(beats) >= 3


def test_a_home_to_write_in_where_the_level_has_one(level: Level) -> None:
    if level < Level.ISOLATED:
        pytest.skip("needs namespaces")
    code = "import os; print(open('a/b').read(), sorted(os.listdir('.'))); open('c', 'w').write('x')"
    result = run(Task(python("-c", code), files={"a/b": b"text"}), level)
    assert (result.stdout, result.stderr) == (b"text ['a']\n", b"")


POISON = """
import os
folders = {".", os.environ["HOME"], os.environ["TMPDIR"], "/tmp", "/var/tmp", "/dev/shm", os.path.dirname(os.__file__)}
for folder in folders:
    for name in ("json.py", "sitecustomize.py", "usercustomize.py", "left.pth"):
        try:
            with open(os.path.join(folder, name), "w") as file:
                file.write("print('POISONED')")
        except OSError:
            pass
"""
SEARCH = """
import json, os
print([file for file in (json.__file__,) if "json.py" in file])
print(sorted(name for name in os.listdir(".") if name != "."))
"""


def test_nothing_passes_from_one_program_to_the_next(level: Level) -> None:
    run(Task(python("-c", POISON)), level)
    code = SEARCH if level == Level.ISOLATED else SEARCH.replace('os.listdir(".")', "[]")
    result = run(Task(python("-c", code)), level)
    assert (result.stdout, result.stderr) == (b"[]\n[]\n", b"")


def test_a_task_that_needs_more_is_refused() -> None:
    for task in (Task(("/bin/true",), files={"a": b""}), Task(("/bin/true",), limits=Limits(processes=2))):
        with pytest.raises(Refused, match="needs the sandbox level isolated"):
            run(task, Level.CONFINED)
    with pytest.raises(Refused):
        run(Task(("/bin/true",)), Level.NONE)


def test_what_cannot_be_started_is_the_sandboxs_failure(level: Level) -> None:
    with pytest.raises(SandboxError, match="No such file"):
        run(Task(("/usr/bin/nothing-of-this-name",)), level)


def test_many_runs_leave_no_descriptors(level: Level) -> None:
    run(Task(python("-c", "pass")), level)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        run(Task(python("-c", "pass")), level)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_killed_launcher_takes_the_program_along(level: Level) -> None:
    mark = f"mark-{secrets.token_hex(8)}"
    running = start(Task(python("-c", "import time; print(1, flush=True); time.sleep(600)", mark)), level)
    assert running.process.stdout is not None
    running.process.stdout.readline()
    running.process.kill()
    assert gone(mark)
    running.kill()


WORKER = """
import sys
from engine.sandbox.process import python, run
from engine.sandbox.types import Level, Limits, Task
task = Task(python("-c", "import time; time.sleep(600)", sys.argv[1]), limits=Limits(seconds=600))
run(task, Level(int(sys.argv[2])))
"""


def test_a_killed_worker_leaves_nothing(level: Level) -> None:
    mark = f"mark-{secrets.token_hex(8)}"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, mark, str(int(level))], cwd=ROOT)
    inside = [sys.executable]
    end = time.monotonic() + 20
    while len(inside) < 2 and time.monotonic() < end:  # the worker itself and what it started
        inside = [str(process) for process in left_over(mark)]
        time.sleep(0.02)
    assert len(inside) >= 2
    worker.kill()
    worker.wait()
    assert gone(mark)


@pytest.mark.parametrize("delay", [0, 0.003, 0.006, 0.009, 0.012, 0.015, 0.02, 0.03])
def test_ending_it_while_it_starts_leaves_nothing(level: Level, delay: float) -> None:
    mark = f"mark-{secrets.token_hex(8)}"
    running = start(Task(python("-c", "import time; time.sleep(600)", mark)), level)
    time.sleep(delay)
    running.kill()
    assert left_over(mark) == []
    assert group_is_gone(running.process.pid)
