"""Landlock (landlock(7)): the process gives up every file, TCP port and signal target that it was not granted."""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from engine.sandbox.syscalls import LANDLOCK_ADD_RULE, LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF, call

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
# Rights by the ABI version that brought them; the first has bits 0 to 12.
_LAST_FS_BIT = {1: 12, 2: 13, 3: 14, 4: 14, 5: 15}
_BIND_AND_CONNECT_TCP = 3
_ABSTRACT_SOCKETS_AND_SIGNALS = 3
_GET_VERSION = 1
_PATH_BENEATH = 1
SCOPES_SIGNALS = 6  # the ABI version that does

READ, WRITE, EVERYTHING = "read", "write", "everything"


def abi_version() -> int:
    """0 where the kernel has no Landlock, or it is switched off."""
    try:
        return call("landlock version", LANDLOCK_CREATE_RULESET, 0, 0, _GET_VERSION)
    except OSError:
        return 0


def restrict(grants: list[tuple[str, str]]) -> None:
    """Keep only ``grants``: (path, READ | WRITE | EVERYTHING). READ includes running programs.

    Needs PR_SET_NO_NEW_PRIVS. A path that does not exist is no error: nothing is granted there.
    """
    version = abi_version()
    if not version:
        raise OSError("Landlock is not available")
    handled = (1 << (_LAST_FS_BIT[min(version, 5)] + 1)) - 1
    fields = [handled]
    if version >= 4:
        fields.append(_BIND_AND_CONNECT_TCP)
    if version >= SCOPES_SIGNALS:
        fields.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    attributes = (ctypes.c_uint64 * len(fields))(*fields)
    ruleset = call("landlock_create_ruleset", LANDLOCK_CREATE_RULESET, attributes, ctypes.sizeof(attributes), 0)
    for path, access in grants:
        _grant(ruleset, path, access, handled)
    call("landlock_restrict_self", LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _grant(ruleset: int, path: str, access: str, handled: int) -> None:
    rights = {
        READ: _EXECUTE | _READ_FILE | _READ_DIR,
        WRITE: _READ_FILE | _WRITE_FILE | _TRUNCATE,
        EVERYTHING: handled,
    }[access]
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
    rule = struct.pack("=Qi", rights & handled, descriptor)
    call("landlock_add_rule", LANDLOCK_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.create_string_buffer(rule, 12), 0)
    os.close(descriptor)
