"""What must be right before anything starts: one launcher per data folder, a free port, space, a migrated database."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import DatabaseError

from webapp.launcher.trouble import Trouble

LEAST_FREE_BYTES = 200 * 1024 * 1024
_PORT_PATIENCE_SECONDS = 5.0


@contextmanager
def only_launcher(address: str) -> Iterator[None]:
    """Hold the data folder's lock; Trouble when another launcher has it."""
    path = settings.DATA_DIR / "launcher.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Trouble(
                f"Canopy already runs on the data folder {settings.DATA_DIR} ({_read(path)}). "
                "Open that, stop it first, or set CANOPY_DATA to another folder."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, {address}")
        lock.flush()
        yield


def _read(path: Path) -> str:
    return path.read_text().strip() or "starting"


def check_port(host: str, port: int) -> None:
    """Trouble when the port cannot be listened on. A web process that is just ending gets a moment."""
    deadline = time.monotonic() + _PORT_PATIENCE_SECONDS
    while True:
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
            return
        except PermissionError:
            raise Trouble(f"Port {port} may not be used by this account: choose one above 1023 with --port.") from None
        except socket.gaierror:
            raise Trouble(f"The address {host} is not known: use --host localhost or --host 0.0.0.0.") from None
        except OSError as error:
            if time.monotonic() > deadline:
                text = f"Port {port} on {host} cannot be used ({error.strerror}): stop what listens there"
                raise Trouble(f"{text}, or choose another with --port.") from None
            time.sleep(0.2)


def check_disk() -> None:
    free = shutil.disk_usage(settings.DATA_DIR).free
    if free < LEAST_FREE_BYTES:
        raise Trouble(
            f"The disk of {settings.DATA_DIR} is full "
            f"({free // 2**20} MB left, {LEAST_FREE_BYTES // 2**20} MB needed): "
            "make space, or set CANOPY_DATA to a folder elsewhere."
        )


def migrate() -> None:
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except DatabaseError as error:
        raise Trouble(f"The database could not be prepared: {' '.join(str(error).split())}.") from error


def collect_static() -> None:
    """Gather style sheets and scripts under STATIC_ROOT when a source is newer than what is there."""
    manifest = settings.STATIC_ROOT / "staticfiles.json"
    sources = [Path(storage.path(path)) for finder in get_finders() for path, storage in finder.list([])]
    collected = manifest.stat().st_mtime if manifest.exists() else 0.0
    if any(source.stat().st_mtime > collected for source in sources):
        call_command("collectstatic", interactive=False, verbosity=0)
