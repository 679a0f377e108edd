"""One call to an endpoint: sent, repeated while that may help, read. Blocking; made for threads.

Worth another try are: no connection, a server that falls silent, 408, 409, 429, 5xx, and answers that are not what the
protocol says. The wait doubles from a second, with a random part so that many callers do not come back together, and is
never shorter than what the server asked for by Retry-After.
"""

from __future__ import annotations

import http.client
import json
import random
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from engine.endpoint.config import Endpoint, EndpointError
from engine.endpoint.protocol import OPTIONAL, Answer, MalformedAnswer, read_answer

FIRST_WAIT_S, LONGEST_WAIT_S, LONGEST_ASKED_WAIT_S = 1.0, 60.0, 600.0
_AGAIN = {408, 409, 425, 429}
_MOST_BYTES = 128 * 2**20
_QUOTED = 300  # characters of a server's own words


class Stopped(Exception):
    """The caller wants no more answers."""


class _Trouble(Exception):
    """This try failed; another may not. ``wait``: seconds the server asked for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Client:
    """Calls of one endpoint from many threads. ``close`` ends those under way."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()
        self._refused: set[str] = set()  # optional settings that this server does not know
        self._length_name = "max_tokens"

    def close(self) -> None:
        self._stop.set()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            if (sock := connection.sock) is not None:
                try:
                    sock.shutdown(2)  # wakes the thread that waits for it; closing alone would not
                except OSError:
                    continue

    def call(self, path: str, body: dict[str, Any]) -> Answer:
        """Raises EndpointError when no try succeeded or none can, Stopped after ``close``."""
        wait, tries = FIRST_WAIT_S, 0
        while True:
            try:
                return self._try(path, body)
            except _Trouble as trouble:
                tries += 1
                if self._stop.is_set():
                    raise Stopped from None
                if tries >= self._endpoint.attempts:
                    failed = EndpointError(f"{self._where} failed {tries} times in a row, last with: {trouble}.")
                    failed.is_final = False  # an outage ends; the shard may be tried again later
                    raise failed from None
                pause = max(random.uniform(wait / 2, wait), min(trouble.wait, LONGEST_ASKED_WAIT_S))
                wait = min(2 * wait, LONGEST_WAIT_S)
                if self._stop.wait(pause):
                    raise Stopped from None

    @property
    def _where(self) -> str:
        return f"The endpoint {self._endpoint.name}"

    def _try(self, path: str, body: dict[str, Any]) -> Answer:
        status, headers, raw = self._send(path, self._adapted(body))
        if status == 200:
            try:
                return read_answer(json.loads(raw))
            except MalformedAnswer as error:
                raise _Trouble(f"an answer that is none: {error}") from None
            except (ValueError, RecursionError):
                raise _Trouble("an answer that is no JSON") from None
        said = self._quote(raw)
        if status in _AGAIN or status >= 500:
            raise _Trouble(f"status {status}{said}", _asked_wait(headers.get("Retry-After", "")))
        if status in (400, 422) and self._learn(raw, body):
            return self._try(path, body)
        hint = {401: " Check its key.", 403: " Check its key.", 404: " Check its url and the model's name."}.get(
            status, ""
        )
        raise EndpointError(f"{self._where} refused the request with status {status}{said}.{hint}")

    def _adapted(self, body: dict[str, Any]) -> dict[str, Any]:
        body = {name: value for name, value in body.items() if name not in self._refused}
        if self._length_name in body or "max_tokens" not in body:
            return body
        return {self._length_name if name == "max_tokens" else name: value for name, value in body.items()}

    def _learn(self, raw: bytes, body: dict[str, Any]) -> bool:
        """Whether the complaint names a setting that can be left out or has another name with this server."""
        complaint = raw[:10_000].decode("utf-8", "replace")
        if "max_completion_tokens" in complaint and self._length_name == "max_tokens":
            self._length_name = "max_completion_tokens"
            return True
        named = [name for name in OPTIONAL if name in complaint and name in body and name not in self._refused]
        self._refused.update(named)
        return bool(named)

    def _send(self, path: str, body: dict[str, Any]) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = self._connect()
        with self._lock:
            self._open.add(connection)
        try:
            if self._stop.is_set():
                raise Stopped
            base = urlsplit(self._endpoint.url).path.rstrip("/")
            connection.request("POST", base + path, json.dumps(body).encode(), self._headers())
            response = connection.getresponse()
            raw = response.read(_MOST_BYTES + 1)
            if len(raw) > _MOST_BYTES:
                raise _Trouble(f"an answer of more than {_MOST_BYTES // 2**20} MB")
            return response.status, response.headers, raw
        except TimeoutError:
            raise _Trouble(f"no answer within {self._endpoint.timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Trouble(f"no connection ({self._hidden(str(error) or type(error).__name__)})") from None
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._endpoint.url)
        assert parts.hostname is not None
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=self._endpoint.timeout, context=context
            )
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self._endpoint.timeout)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "canopy"}
        return headers | ({"Authorization": f"Bearer {self._endpoint.key}"} if self._endpoint.key else {})

    def _quote(self, raw: bytes) -> str:
        """What the server said, as a part of a sentence."""
        text = raw[:10_000].decode("utf-8", "replace")
        try:
            error = json.loads(text)["error"]
            text = str(error["message"] if isinstance(error, dict) else error)
        except (ValueError, KeyError, TypeError):
            pass
        text = self._hidden(" ".join(text.split()).replace("\0", ""))[:_QUOTED]
        return f" ({text})" if text else ""

    def _hidden(self, text: str) -> str:
        return text.replace(self._endpoint.key, "***") if self._endpoint.key else text


def _asked_wait(value: str) -> float:
    """Seconds in a Retry-After header: a number or a date; 0 for anything else."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
