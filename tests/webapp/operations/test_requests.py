"""Every request has an id, which is in its answer and in each line logged on its way."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.test import Client

from jobs.log_context import ContextFilter, log_context
from webapp.settings import LOGGING


def test_an_id_is_made_and_answered(client: Client) -> None:
    first, second = (client.get("/healthz").headers["X-Request-ID"] for _ in range(2))
    assert len(first) == 16 and first != second


@pytest.mark.parametrize(("given", "kept"), [("proxy-1234.5", True), ("short", False), ("a b\nc d e f", False)])
def test_a_proxys_id_is_kept_when_it_is_plain(client: Client, given: str, kept: bool) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert (answer.headers["X-Request-ID"] == given) is kept


def test_the_line_of_a_request_has_its_id_and_its_route_but_no_token(
    client: Client, caplog: pytest.LogCaptureFixture, db: None
) -> None:
    caplog.handler.addFilter(ContextFilter())
    with caplog.at_level(logging.INFO, "webapp.requests"):
        answer = client.get("/s/a-secret-token/")
    line = next(record for record in caplog.records if record.name == "webapp.requests")
    assert line.request == answer.headers["X-Request-ID"]  # type: ignore[attr-defined]
    assert "/s/<" in line.getMessage()
    assert "a-secret-token" not in caplog.text


def test_json_lines_hold_the_ids_as_fields() -> None:
    formatter: Any = logging.config.DictConfigurator(LOGGING).configure_formatter(dict(LOGGING["formatters"]["json"]))  # type: ignore[attr-defined]
    record = logging.LogRecord("jobs.worker", logging.WARNING, __file__, 1, "lost %d", (3,), None)
    with log_context(worker="gpu@a"), log_context(shard=12):
        ContextFilter().filter(record)
    line = json.loads(formatter.format(record))
    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "jobs.worker", "lost 3")
    assert (line["worker"], line["shard"]) == ("gpu@a", "12")
    assert "context" not in line


def test_ids_end_with_their_context() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "x", (), None)
    with log_context(shard=1):
        pass
    ContextFilter().filter(record)
    assert not record.context  # type: ignore[attr-defined]
