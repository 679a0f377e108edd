"""What can be asked of a sandbox and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Literal, TypedDict

MIB = 2**20


class Level(IntEnum):
    """How well a program is fenced in. Each level holds everything that the lower one holds.

    CONFINED: one process under Landlock, seccomp and rlimits. It reads a few system folders and writes nothing, starts
    no process, opens no socket and signals nobody. Needs no namespaces, so it works inside a default container.
    ISOLATED: also user, pid, mount, network, ipc and uts namespaces: a file system that holds only what the program
    needs, a small writable home of its own, and processes that cannot outlive it.
    """

    NONE = 0
    CONFINED = 1
    ISOLATED = 2

    @property
    def label(self) -> str:
        return self.name.lower()


class SandboxError(RuntimeError):
    """The sandbox itself failed, which says nothing about the program."""


class Refused(SandboxError):
    """This machine cannot fence the program in well enough, so it was not run. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use. Exceeding any of them ends it."""

    seconds: float = 10.0  # wall clock
    cpu: int | None = None  # whole seconds of computing, for each process; None: as long as the wall clock runs
    memory: int = 1024 * MIB  # bytes of address space for each process, and of resident memory for all together
    output: int = MIB  # bytes of stdout, and as many of stderr
    disk: int = 64 * MIB  # bytes in its home, which only an isolated program has
    processes: int = 1  # more than one needs ISOLATED


@dataclass(frozen=True, slots=True)
class Task:
    """A program to run.

    ``payload`` can be read from descriptor 3. ``files`` (relative path -> content) lie in the home, which is the
    working directory; they need ISOLATED. ``read`` are further files and folders that the program may read.
    """

    argv: tuple[str, ...]
    stdin: bytes = b""
    payload: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    read: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @property
    def needs(self) -> Level:
        return Level.ISOLATED if self.files or self.limits.processes > 1 else Level.CONFINED


Ending = Literal["exited", "timeout", "output", "memory", "stopped"]


@dataclass(frozen=True, slots=True)
class Result:
    """How a program ended. ``code`` is its exit status, negative for the signal that ended it."""

    ending: Ending  # by itself, for exceeding a limit, or "stopped" along with another program
    code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    level: Level

    @property
    def ok(self) -> bool:
        return self.ending == "exited" and self.code == 0


class Config(TypedDict):
    """What the worker tells the launcher, marshalled."""

    level: int
    parent: int  # process id that must still be alive
    user: int  # whom root becomes; 0 for an ordinary user
    argv: list[str]
    env: dict[str, str]
    view: list[str]
    links: list[tuple[str, str]]
    grants: list[tuple[str, str]]
    files: dict[str, bytes]
    disk: int
    forking: bool
    limits: list[tuple[int, int, int]]  # resource, soft, hard
