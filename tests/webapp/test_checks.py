"""System checks: silent on a laptop with defaults, plain words before people come."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from webapp import checks

Check = Callable[[Any], list[Any]]
DEFAULTS = {
    "ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]"],
    "CSRF_TRUSTED_ORIGINS": [],
    "DEBUG": False,
    "EMAIL_HOST": "",
    "HTTPS": False,
}
PUBLIC = {"ALLOWED_HOSTS": ["canopy.example.org"]}


@pytest.mark.parametrize(
    ("check", "change", "expected"),
    [
        (checks.check_hosts, {}, None),
        (checks.check_hosts, {"ALLOWED_HOSTS": ["*"]}, "canopy.W001"),
        (checks.check_debug, {"DEBUG": True}, None),
        (checks.check_debug, {"DEBUG": True} | PUBLIC, "canopy.E002"),
        (checks.check_https, {}, None),
        (checks.check_https, PUBLIC, "canopy.W003"),
        (checks.check_https, {"HTTPS": True} | PUBLIC, None),
        (checks.check_https, {"ALLOWED_HOSTS": ["192.0.2.1"]}, "canopy.W003"),
        (checks.check_https, {"ALLOWED_HOSTS": ["127.0.0.2", "[::1]", "canopy.localhost"]}, None),
        (checks.check_origins, {}, None),
        (checks.check_origins, {"CSRF_TRUSTED_ORIGINS": ["https://*.example.org"]}, "canopy.W004"),
        (checks.check_mail, {}, None),
        (checks.check_mail, {"EMAIL_HOST": ""} | PUBLIC, "canopy.W005"),
        (checks.check_mail, {"EMAIL_HOST": "smtp.example.org"} | PUBLIC, None),
        (checks.check_broker, {"CACHES": {"default": {"LOCATION": "unix:///nowhere.sock"}}}, "canopy.E006"),
        (checks.check_broker, {"CACHES": {"default": {"LOCATION": "nonsense"}}}, "canopy.E006"),
        (checks.check_database, {"REDIS_URL": "", "DATABASES": {"default": {"ENGINE": "x.sqlite3"}}}, None),
        (checks.check_database, {"REDIS_URL": "r", "DATABASES": {"default": {"ENGINE": "x.sqlite3"}}}, "canopy.W007"),
        (checks.check_database, {"REDIS_URL": "r", "DATABASES": {"default": {"ENGINE": "x.postgresql"}}}, None),
    ],
)
def test_check(check: Check, change: dict[str, Any], expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "settings", SimpleNamespace(**DEFAULTS | change))
    found = check(None)
    assert [message.id for message in found] == ([expected] if expected else [])
    assert all(message.hint for message in found)


@pytest.mark.usefixtures("broker")
def test_a_broker_that_answers_is_fine() -> None:
    assert checks.check_broker(None) == []
