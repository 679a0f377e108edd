"""The system calls that Python does not offer, by ctypes. Each raises OSError with what was attempted."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

# The same numbers on every architecture: they are newer than the common table.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}

MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MS_NOSUID, MS_NODEV = 2, 4
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
_AT_RECURSIVE = 0x8000
_MNT_DETACH = 2


def call(what: str, number: int, *arguments: object) -> int:
    """A raw system call; ``what`` names it in the error."""
    result: int = _libc.syscall(ctypes.c_long(number), *[_long(argument) for argument in arguments])
    return _checked(what, result)


def prctl(what: str, option: int, *arguments: int) -> int:
    padded = [*arguments, 0, 0, 0, 0][:4]
    return _checked(what, _libc.prctl(ctypes.c_int(option), *[ctypes.c_ulong(value) for value in padded]))


def unshare(flags: int) -> None:
    _checked("unshare", _libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    arguments = [text.encode() if text is not None else None for text in (source, target, kind)]
    options = data.encode() if data is not None else None
    _checked(f"mount {source} on {target}", _libc.mount(*arguments, ctypes.c_ulong(flags), options))


def set_mount_attributes(path: str, attributes: int, recursive: bool) -> None:
    """mount_setattr(2), Linux 5.12: unlike a remount it reaches the mounts below and keeps flags that are locked."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    call(f"mount_setattr {path}", MOUNT_SETATTR, -100, path.encode(), flags, wanted, ctypes.sizeof(wanted))


def pivot_here(machine: str) -> None:
    """Make the working directory the root and forget the old root."""
    call("pivot_root", _PIVOT_ROOT[machine], b".", b".")
    _checked("umount the old root", _libc.umount2(b".", _MNT_DETACH))


def drop_capabilities(machine: str) -> None:
    """Give up every capability, now and for programs started later."""
    prctl("clear ambient capabilities", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(64):
        try:
            prctl("drop a capability", PR_CAPBSET_DROP, capability)
        except OSError:
            break  # EINVAL: the kernel knows no more; EPERM: there are none to drop
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    call("capset", _CAPSET[machine], header, (ctypes.c_uint32 * 6)())


def _long(argument: object) -> object:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def _checked(what: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
