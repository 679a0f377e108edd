"""System checks: what an operator should know before people come. ``manage.py check`` and ``serve`` print them.

Those tagged ``deploy`` run only with ``manage.py check --deploy``. docs/operations.md lists every setting they name.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import redis
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from engine.cost import PriceError, load_prices


def _is_local(host: str) -> bool:
    if host.strip("[]") in {"localhost", "testserver"} or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _public_hosts() -> list[str]:
    return [host for host in settings.ALLOWED_HOSTS if not _is_local(host)]


@register(Tags.security)
def check_hosts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "Canopy answers under any host name, so a forged Host header can poison the links it makes.",
            hint="Set CANOPY_HOSTS to the names people use, such as canopy.example.org.",
            id="canopy.W001",
        )
    ]


@register(Tags.security)
def check_debug(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not settings.DEBUG or not _public_hosts():
        return []
    return [
        Error(
            "Debug pages are on while Canopy serves public host names: they show settings and code to anybody.",
            hint="Unset CANOPY_DEBUG, or serve only localhost.",
            id="canopy.E002",
        )
    ]


@register(Tags.security)
def check_https(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS or not _public_hosts():
        return []
    return [
        Warning(
            "HTTPS is off while Canopy serves public host names: passwords and session cookies travel in clear.",
            hint="Put a proxy with a certificate in front, have it set X-Forwarded-Proto, and set CANOPY_HTTPS=1.",
            id="canopy.W003",
        )
    ]


@register(Tags.security)
def check_origins(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    wrong = [origin for origin in settings.CSRF_TRUSTED_ORIGINS if "*" in origin]
    if not wrong:
        return []
    return [
        Warning(
            f"CANOPY_TRUSTED_ORIGINS trusts a whole pattern of sites: {', '.join(wrong)}.",
            hint="List the full origins instead, such as https://canopy.example.org.",
            id="canopy.W004",
        )
    ]


@register()
def check_mail(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMAIL_HOST or not _public_hosts():
        return []
    return [
        Warning(
            "No mail server is set: password resets are written to the log instead of being sent.",
            hint="Set CANOPY_SMTP_HOST (and _PORT, _USER, _PASSWORD), and CANOPY_MAIL_FROM.",
            id="canopy.W005",
        )
    ]


@register(Tags.security)
def check_webhooks(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not settings.WEBHOOK_PRIVATE or not settings.OPEN_SIGN_UP or not _public_hosts():
        return []
    return [
        Warning(
            "Anybody can sign up, and webhooks may call private addresses: strangers can reach servers inside.",
            hint="Unset CANOPY_WEBHOOK_PRIVATE, or set CANOPY_OPEN_SIGN_UP=false.",
            id="canopy.W009",
        )
    ]


@register(Tags.caches, deploy=True)
def check_broker(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The one check that opens a connection, so it runs on request only."""
    try:
        url = settings.CACHES["default"]["LOCATION"]
        redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2).ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return [
            Error(
                f"The Redis or Valkey server does not answer: {error}",
                hint="Check REDIS_URL and that the server runs; without REDIS_URL, `manage.py serve` starts its own.",
                id="canopy.E006",
            )
        ]
    return []


@register(Tags.database, deploy=True)
def check_database(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if "sqlite3" not in settings.DATABASES["default"]["ENGINE"] or not settings.REDIS_URL:
        return []
    return [
        Warning(
            "Several hosts share a broker, but the database is a SQLite file, which only one host can use.",
            hint="Set DATABASE_URL to a PostgreSQL server.",
            id="canopy.W007",
        )
    ]


@register(Tags.files)
def check_prices(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        load_prices(settings.PRICES_FILE)
    except PriceError as error:
        return [
            Error(
                f"The price table cannot be used: {error}.",
                hint="Correct the file that CANOPY_PRICES names. Until then pages use the shipped prices.",
                id="canopy.E008",
            )
        ]
    return []
