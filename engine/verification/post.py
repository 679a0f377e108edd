"""One JSON request to a server that the operator named: bounded in time and size, no redirects."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

_LARGEST = 4 * 2**20  # bytes of an answer


class PostError(RuntimeError):
    """No usable answer. The text says why."""


class PostTimeout(PostError):
    """No answer in time."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would lead to an address that nobody allowed."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


def post_json(url: str, body: Any, seconds: float, headers: Mapping[str, str] | None = None) -> Any:
    """The answer's JSON. Raises PostTimeout and PostError."""
    if not url.startswith(("http://", "https://")):
        raise PostError(f"{url} is no http address")
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}, method="POST"
    )
    try:
        with _opener.open(request, timeout=seconds) as response:
            content = response.read(_LARGEST + 1)
    except TimeoutError:
        raise PostTimeout(f"no answer within {seconds:g} s") from None
    except urllib.error.HTTPError as error:
        raise PostError(f"status {error.code} ({error.reason})") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise PostTimeout(f"no answer within {seconds:g} s") from None
        raise PostError(f"not reached: {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise PostError(f"the connection broke: {error}") from None
    if len(content) > _LARGEST:
        raise PostError("the answer is too large")
    try:
        return json.loads(content)
    except ValueError:
        raise PostError("the answer is not JSON") from None
