"""Between the worker and a hostile program: puts the fence up around itself, then becomes the program.

Started by ``engine.sandbox.process`` as a process of its own for every program, with three descriptors: its
configuration, the status pipe, the payload. To the status pipe it writes lines: ``ready`` when the program's own time
begins, ``failed: …`` when the fence could not be put up, in which case nothing was run, and ``ended N`` with the
program's wait status where it is not the program itself.

Isolated: launcher (outside) -> init (pid 1 of the new pid namespace) -> program. When init ends, and it ends when the
launcher does, which ends when the worker does, the kernel kills every process of the namespace.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # the signal module wraps it in enums, which are slow to make
import fcntl
import marshal
import os
import resource
import sys

from engine.sandbox import landlock, namespaces, seccomp, syscalls

TYPE_CHECKING = False  # as type checkers read it; importing typing is slow
if TYPE_CHECKING:
    from engine.sandbox.types import Config

_STATUS, _PAYLOAD, _SCRATCH = 200, 201, 3
_ISOLATED = 2


def main() -> None:
    config_in, status_in, payload_in = map(int, sys.argv[1:4])
    config = _read_config(config_in)
    # Away from the low numbers, where the program expects its own.
    status = fcntl.fcntl(status_in, fcntl.F_DUPFD_CLOEXEC, _STATUS)
    payload = fcntl.fcntl(payload_in, fcntl.F_DUPFD_CLOEXEC, _PAYLOAD)
    os.closerange(_SCRATCH, min(status, payload))
    try:
        _die_with_parent()
        if os.getppid() != config["parent"]:
            os._exit(1)
        if config["level"] == _ISOLATED:
            _isolate(config, status, payload)
        else:
            os.write(status, b"ready\n")
            _become(config, payload)
    except BaseException as error:
        os.write(status, f"failed: {error}\n".encode())
        os._exit(125)


def _isolate(config: Config, status: int, payload: int) -> None:
    user = config["user"]
    namespaces.enter(user)
    init = os.fork()
    if init:
        # Killing init and waiting for it, rather than being killed with it, means: when we are gone, all are gone.
        signal.signal(signal.SIGTERM, lambda *_: os.kill(init, signal.SIGKILL))
        os.close(status)
        os.waitpid(init, 0)
        os._exit(0)
    # Python's own handler; without any, init cannot be reached by signals from inside.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _die_with_parent()
    machine = os.uname().machine
    namespaces.build_root(config, machine)
    program = os.fork()
    if not program:
        os.setsid()
        _become(config, payload)
    os.close(payload)
    _drop_privileges(user)
    _die_with_parent()  # changing the user had cleared it
    os.write(status, b"ready\n")  # fails when the worker died meanwhile
    ended = 0
    while ended != program:
        ended, how = os.wait()
    os.write(status, f"ended {how}\n".encode())
    os._exit(0)


def _become(config: Config, payload: int) -> None:
    """Give up everything and turn into the program. Never returns."""
    isolated = config["level"] == _ISOLATED
    os.dup2(payload, 3)
    if not isolated:
        os.chdir("/")
    _drop_privileges(config["user"])
    if not isolated:
        _die_with_parent()  # changing the user had cleared it
        if os.getppid() != config["parent"]:
            os._exit(1)
    _limit(config["limits"])
    syscalls.prctl("no new privileges", syscalls.PR_SET_NO_NEW_PRIVS, 1)
    abi = landlock.abi_version()
    if abi:
        landlock.restrict(config["grants"])
    elif not isolated:
        raise OSError("Landlock is not available (Linux 5.13 or later, with landlock among the active LSMs)")
    rules = seccomp.program(
        os.uname().machine,
        writing=isolated,
        forking=config["forking"],
        signalling=isolated or abi >= landlock.SCOPES_SIGNALS,
    )
    argv = config["argv"]
    seccomp.install(rules)
    os.execve(argv[0], argv, config["env"])


def _drop_privileges(user: int) -> None:
    """``user``: the unprivileged id that root becomes; 0 when this is an ordinary user already."""
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    syscalls.drop_capabilities(os.uname().machine)
    syscalls.prctl("not dumpable", syscalls.PR_SET_DUMPABLE, 0)


def _limit(limits: list[tuple[int, int]]) -> None:
    """Lower each limit; never above what the operator already set."""
    for kind, value in limits:
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _die_with_parent() -> None:
    syscalls.prctl("die with the parent", syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)


def _read_config(descriptor: int) -> Config:
    with open(descriptor, "rb") as file:
        config: Config = marshal.load(file)
    return config
