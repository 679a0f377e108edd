"""Which level this worker reaches: tried out, not guessed from versions."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.sandbox import landlock
from engine.sandbox.process import python, run
from engine.sandbox.types import Level, Limits, SandboxError, Task

# Tries the door handles from inside and prints those that turned: [] when the fence holds.
_BURGLAR = """
import json, os, resource, socket
canary, folder, outside = json.loads(os.read(3, 4096))
turned = []
def attempt(name, action):
    try:
        action()
    except OSError:
        return
    turned.append(name)
def fork():
    if os.fork() == 0:
        os._exit(0)
attempt("read a file of the worker", lambda: open(canary).read())
attempt("list a folder of the worker", lambda: os.listdir(folder))
attempt("write beside the worker's files", lambda: open(folder + "/new", "w"))
attempt("change a mode", lambda: os.chmod(canary, 0o777))
attempt("open a socket", lambda: socket.socket())
attempt("signal the worker", lambda: os.kill(outside, 0))
attempt("read the worker's environment", lambda: open(f"/proc/{outside}/environ", "rb").read())
attempt("start a process", fork)
print(json.dumps(turned))
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """``level`` is what holds, ``layers`` it in words, ``missing`` why it is not more."""

    level: Level
    layers: str
    missing: str


def probe() -> Level:
    """The highest level that holds here. The first call takes about a tenth of a second."""
    return examine().level


@cache
def examine() -> Probe:
    """Try the levels from the top."""
    missing: list[str] = []
    for level in (Level.ISOLATED, Level.CONFINED):
        problem = _problem(level)
        if not problem:
            return Probe(level, _layers(level), "; ".join(missing))
        missing.append(f"{level.label}: {problem}")
    return Probe(Level.NONE, "none", "; ".join(missing))


def _problem(level: Level) -> str:
    """What is wrong with ``level`` here; empty when it holds."""
    with tempfile.TemporaryDirectory(prefix="canopy-probe-") as name:
        folder = Path(name)
        folder.chmod(0o777)  # so that only the fence keeps the program out, not the file's owner
        canary = folder / "canary"
        canary.write_text("secret")
        canary.chmod(0o666)
        payload = json.dumps([str(canary), name, os.getpid()]).encode()
        try:
            result = run(Task(python("-c", _BURGLAR), payload=payload, limits=Limits(seconds=20)), level)
        except (SandboxError, OSError, AttributeError) as error:  # the last where this is no Linux
            return str(error)
    if not result.ok:
        return f"the trial program ended with {result.code}: {result.stderr.decode(errors='replace')[-200:].strip()}"
    turned = json.loads(result.stdout)
    return f"it does not stop a program that tries to {', '.join(turned)}" if turned else ""


def _layers(level: Level) -> str:
    names = ["rlimits", "seccomp"]
    if version := landlock.abi_version():
        names.append(f"Landlock ABI {version}")
    if os.geteuid() == 0:
        names.append("own user")
    if level == Level.ISOLATED:
        names.append("namespaces" if os.geteuid() == 0 else "namespaces with a user namespace")
    return ", ".join(names)
