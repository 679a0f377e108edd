"""Tests of pages need no broker: the cache and the live layer are in memory here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def in_memory(request: pytest.FixtureRequest, settings: Any) -> Iterator[None]:
    """Unless the test asks for the broker."""
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    # No collectstatic before tests: names without a hash.
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    if {"broker", "valkey", "stack"} & set(request.fixturenames):
        yield
        return
    settings.CACHES = {
        "default": settings.CACHES["default"] | {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    }
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    cache.clear()
    yield
    cache.clear()
