from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.endpoint import client
from tests.engine.endpoint.fake_server import FakeServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    with FakeServer().running() as fake:
        yield fake
