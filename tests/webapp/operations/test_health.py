"""Health, readiness and metrics: what machines that watch over Canopy see."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from jobs.models import Experiment, Shard, ShardStatus, Status, Worker
from webapp.operations import health, probe

pytestmark = pytest.mark.django_db


def test_alive_asks_nothing(client: Client, django_assert_num_queries: Callable[[int], Any]) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "alive"}
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.usefixtures("broker")
def test_ready_when_every_part_works(client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200, answer.json()
    assert answer.json()["parts"] == dict.fromkeys(["database", "migrations", "broker", "storage"], "ok")


@pytest.mark.usefixtures("broker")
def test_a_missing_migration_is_named(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'prices'")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "manage.py migrate" in answer.json()["parts"]["migrations"]


def test_a_broker_that_is_away_is_named_without_its_address(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    away = SimpleNamespace(CACHES={"default": {"LOCATION": "redis://:secret@127.0.0.1:1/0"}})
    monkeypatch.setattr(health, "settings", away)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["broker"] == "does not answer; the server's log says why"
    assert "secret" not in answer.content.decode()


def test_metrics_need_the_token(client: Client, settings: Any) -> None:
    assert client.get("/metrics").status_code == 404
    settings.METRICS_TOKEN = "a token for the scraper"
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer another"}).status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer a token for the scraper"}).status_code == 200


def _scrape(client: Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics", headers={"Authorization": "Bearer scrape"})
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_metrics_tell_work_workers_and_requests(
    client: Client, settings: Any, make_experiment: Callable[..., Experiment]
) -> None:
    settings.METRICS_TOKEN = "scrape"
    experiment = make_experiment(status=Status.RUNNING)
    Shard.objects.create(experiment=experiment, stage="generate", stage_index=0, index=70, queue="gpu")
    shard = Shard.objects.create(
        experiment=experiment, stage="generate", stage_index=0, index=71, queue="gpu", status=ShardStatus.RUNNING
    )
    gpu = {"name": "NVIDIA H200", "is_gpu": True, "memory_used": 5, "memory_total": 9, "temperature": 41}
    Worker.objects.create(name="gpu@a", queue="gpu", host="a", device="x", pid=1, shard=shard, processors=[gpu])
    client.get("/s/a-secret-token/")
    found = _scrape(client)

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    assert value("canopy_experiments", kind="sampling", status="running") == 1
    assert value("canopy_experiments", kind="detection", status="failed") == 0
    assert value("canopy_shards", queue="gpu", status="running") == 1
    assert value("canopy_shards", queue="gpu", status="queued") >= 1
    assert value("canopy_oldest_queued_seconds", queue="gpu") > 0
    assert value("canopy_workers", queue="gpu") == value("canopy_workers_busy", queue="gpu") == 1
    assert value("canopy_workers", queue="cpu") == 0
    assert value("canopy_gpu_memory_used_bytes", worker="gpu@a", gpu="0") == 5
    assert value("canopy_gpu_temperature_celsius", worker="gpu@a", gpu="0") == 41
    routes = {dict(labels)["route"] for name, labels in found if name == "canopy_request_seconds_count"}
    assert any(route.startswith("s/<") for route in routes)
    assert not any("a-secret-token" in str(key) for key in found)


def test_the_number_of_queries_does_not_grow(
    client: Client,
    settings: Any,
    make_experiment: Callable[..., Experiment],
    django_assert_max_num_queries: Callable[[int], Any],
) -> None:
    settings.METRICS_TOKEN = "scrape"
    for name in "abcdef":
        make_experiment(name=name)
        Worker.objects.create(name=name, queue="cpu", host=name, device="CPU", pid=1)
    with django_assert_max_num_queries(6):
        _scrape(client)


def test_the_dashboard_asks_for_metrics_that_there_are(
    client: Client, settings: Any, make_experiment: Callable[..., Experiment]
) -> None:
    settings.METRICS_TOKEN = "scrape"
    gpu = dict.fromkeys(["memory_used", "memory_total", "temperature", "utilisation"], 1) | {"is_gpu": True}
    Worker.objects.create(name="gpu@a", queue="gpu", host="a", device="x", pid=1, processors=[gpu])
    client.get("/healthz")
    told = {(name, label) for name, labels in _scrape(client) for label in ["", *dict(labels)]}
    dashboard = json.loads((Path(__file__).parents[3] / "docs" / "grafana-dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for expression in asked:
        names = re.findall(r"canopy_\w+", expression)
        assert names
        by = re.search(r"by \(([^)]*)\)", expression)
        labels = [each.strip() for each in by.group(1).split(",")] if by else []
        assert {(name, label) for name in names for label in ["", *labels]} <= told, expression


def test_the_containers_probe(live_server: Any, monkeypatch: pytest.MonkeyPatch, broker: None) -> None:
    monkeypatch.setenv("CANOPY_PORT", live_server.url.rpartition(":")[2])
    monkeypatch.setenv("CANOPY_HOSTS", "localhost,other")
    assert probe.main() == 0
    monkeypatch.setenv("CANOPY_PORT", "1")
    assert probe.main() == 1
