"""A small server that speaks the OpenAI protocol, and misbehaves on request."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-very-secret"
Fault = tuple[int, dict[str, str], bytes] | Callable[["_Handler"], None]


class FakeServer:
    """``faults``: what the next calls get instead of answers. ``bodies``: what was asked, in order of arrival."""

    def __init__(self) -> None:
        self.faults: deque[Fault] = deque()
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.most_choices = 1_000
        self.with_logprobs = self.with_usage = True
        self.knows: set[str] = {"logprobs", "seed", "max_tokens"}
        self.at_once = self.most_at_once = 0
        self.delay = 0.0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.fake = self  # type: ignore[attr-defined]
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @contextmanager
    def running(self) -> Iterator[FakeServer]:
        thread = threading.Thread(target=self._http.serve_forever, args=[0.02], daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()

    def enter(self, body: dict[str, Any]) -> None:
        with self._lock:
            self.bodies.append(body)
            self.times.append(time.monotonic())
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)

    def leave(self) -> None:
        with self._lock:
            self.at_once -= 1

    def answer(self, body: dict[str, Any], chat: bool) -> dict[str, Any]:
        """Each choice says which call and place it is; its length is its place + 1 tokens of log-probability -0.5."""
        choices = []
        for place in range(min(body["n"], self.most_choices)):
            text = f"{body['seed']}.{place}" if "seed" in body else f"?.{place}"
            count = place + 1
            logprobs: dict[str, Any] | None = None
            if self.with_logprobs and "logprobs" in body:
                logprobs = {"content": [{"logprob": -0.5}] * count} if chat else {"token_logprobs": [-0.5] * count}
            one = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            choices.append(
                {"index": place, **one, "logprobs": logprobs, "finish_reason": "length" if place else "stop"}
            )
        drawn = sum(range(1, len(choices) + 1))
        if not self.with_usage:
            return {"choices": choices}
        return {
            "choices": choices,
            "usage": {"prompt_tokens": 11, "completion_tokens": drawn, "total_tokens": 11 + drawn},
        }


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        fake: FakeServer = self.server.fake  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fake.enter(body)
        try:
            if self.headers["Authorization"] != f"Bearer {KEY}":
                self.reply(
                    401, {}, json.dumps({"error": {"message": f"bad key {self.headers['Authorization']}"}}).encode()
                )
            elif fake.faults:
                fault = fake.faults.popleft()
                fault(self) if callable(fault) else self.reply(*fault)
            elif unknown := {"logprobs", "seed", "max_tokens"} & set(body) - fake.knows:
                name = min(unknown)
                hint = ": use 'max_completion_tokens' instead" if name == "max_tokens" else ""
                self.reply(
                    400, {}, json.dumps({"error": {"message": f"Unsupported parameter '{name}'{hint}"}}).encode()
                )
            else:
                time.sleep(fake.delay)
                self.reply(200, {}, json.dumps(fake.answer(body, self.path.endswith("/chat/completions"))).encode())
        except OSError:
            pass  # the client went away
        finally:
            fake.leave()

    def reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass
