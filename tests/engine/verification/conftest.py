"""What tests of verifiers share: a level to run at, and the real data where it is present."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.sandbox.probe import examine
from engine.sandbox.types import Level

# Beside the checkout, or beside the folder it lies in.
_PLACES = [folder / "shared" / "data" for folder in Path(__file__).resolve().parents[4:6]]


@pytest.fixture(scope="session")
def sandbox() -> Level:
    found = examine()
    if found.level == Level.NONE:
        pytest.skip(f"no sandbox on this machine: {found.missing}")
    return found.level


@pytest.fixture(scope="session")
def isolated(sandbox: Level) -> Level:
    if sandbox < Level.ISOLATED:
        pytest.skip(f"needs namespaces: {examine().missing}")
    return sandbox


def records(path: str) -> list[dict[str, Any]]:
    """The records of a file of the shared data; skips where it is not there."""
    file = next((place / path for place in _PLACES if (place / path).exists()), None)
    if file is None:
        pytest.skip(f"{path} of the shared data is not here")
    text = file.read_text(encoding="utf-8")
    loaded: list[dict[str, Any]] = (
        [json.loads(line) for line in text.splitlines()] if path.endswith(".jsonl") else json.loads(text)
    )
    return loaded


class JsonServer(ThreadingHTTPServer):
    """Answers POST with what ``reply`` makes of (path, request): (status, body)."""

    daemon_threads = True
    reply: Callable[[str, Any], tuple[int, bytes]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, JsonServer)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, content = self.server.reply(self.path, body | {"authorization": self.headers.get("Authorization")})
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def json_server() -> Iterator[JsonServer]:
    with JsonServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
