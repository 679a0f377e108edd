"""The isolated program's world: namespaces and a file system that holds only what was listed."""

# Importing pathlib would cost as much as putting up the whole fence.
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH120, PTH123, PTH211

from __future__ import annotations

import os

from engine.sandbox.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    mount,
    pivot_here,
    set_mount_attributes,
    unshare,
)

TYPE_CHECKING = False  # as type checkers read it; importing typing is slow too
if TYPE_CHECKING:
    from engine.sandbox.types import Config

HOME = "/sandbox"
INSIDE_ID = 1000

_NEW_MOUNTS, _NEW_CGROUP, _NEW_UTS, _NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_NEW_USER, _NEW_PID, _NEW_NET = 0x10000000, 0x20000000, 0x40000000
# The new root is put together here: a folder that is always there and from which nothing is shown.
_STAGE = "/proc"
_DEVICES = ("null", "zero", "full", "random", "urandom")


def enter(user: int) -> None:
    """New namespaces; the pid namespace begins with the next child. An ordinary user gets a user namespace as well,
    in which it may do the mounts; root needs none, it becomes the unprivileged ``user`` afterwards."""
    everything = _NEW_MOUNTS | _NEW_CGROUP | _NEW_UTS | _NEW_IPC | _NEW_PID | _NEW_NET
    if user:
        unshare(everything)
        return
    outside_user, outside_group = os.geteuid(), os.getegid()
    unshare(everything | _NEW_USER)
    _write("/proc/self/setgroups", "deny")  # without it an ordinary user may not map a group
    _write("/proc/self/uid_map", f"{INSIDE_ID} {outside_user} 1")
    _write("/proc/self/gid_map", f"{INSIDE_ID} {outside_group} 1")


def build_root(config: Config, machine: str) -> None:
    """Make the listed files the whole file system, read-only, with an empty home of bounded size at HOME."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("sandbox", _STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=1k,mode=755")
    for path in config["view"]:
        _show(path)
    for link, target in config["links"]:
        os.makedirs(os.path.dirname(_STAGE + link), exist_ok=True)
        os.symlink(target, _STAGE + link)
    os.makedirs(f"{_STAGE}/dev")
    for device in _DEVICES:
        _touch(f"{_STAGE}/dev/{device}")
        mount(f"/dev/{device}", f"{_STAGE}/dev/{device}", None, MS_BIND)
    owner = config["user"] or INSIDE_ID
    _write_new(f"{_STAGE}/etc/passwd", f"sandbox:x:{owner}:{owner}::{HOME}:/bin/sh\n".encode())
    os.makedirs(_STAGE + HOME)
    if not os.path.exists(f"{_STAGE}/tmp"):  # unless something below it is shown
        os.symlink(HOME, f"{_STAGE}/tmp")
    options = f"size={config['disk']},nr_inodes=20k,mode=700,uid={owner},gid={owner}"
    mount("home", _STAGE + HOME, "tmpfs", MS_NOSUID | MS_NODEV, options)
    for name, content in config["files"].items():
        _write_new(f"{_STAGE}{HOME}/{name}", content, owner)
    set_mount_attributes(_STAGE, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, recursive=False)
    os.chdir(_STAGE)
    pivot_here(machine)
    os.chdir(HOME)


def _show(path: str) -> None:
    """Bind ``path`` to the same place in the new root, with everything mounted below it, read-only."""
    target = _STAGE + path
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _touch(target)
    mount(path, target, None, MS_BIND | MS_REC)
    set_mount_attributes(target, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, recursive=True)


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _write_new(path: str, content: bytes, owner: int | None = None) -> None:
    """Write a file and the folders above it; ``owner`` gets what is new."""
    missing = []
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for folder in reversed(missing):
        os.mkdir(folder)
    with open(path, "wb") as file:
        file.write(content)
    if owner is not None:
        for new in (*missing, path):
            os.chown(new, owner, owner)
