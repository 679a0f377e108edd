"""The list of experiments: filters, order, pages, all in the address; a constant number of queries."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs.devices import Processor
from jobs.models import Experiment, Shard, Worker
from webapp.accounts.models import Team, User
from webapp.experiments.listing import PAGE_SIZE, ListQuery

SignIn = Callable[[User], Client]
MakeExperiment = Callable[..., Experiment]
NOW = timezone.now()


@pytest.fixture
def some(make_experiment: MakeExperiment, bob: User) -> list[Experiment]:
    """Five experiments, oldest first."""
    rows: list[dict[str, Any]] = [
        {"name": "Early", "status": "finished", "value": 0.2, "minutes": 50, "spec": {"model": "org/tiny"}},
        {"name": "Middle", "status": "failed", "value": None, "minutes": 5, "reason": "Out of memory in shard 3"},
        {"name": "Bobs", "status": "finished", "value": 0.9, "minutes": 20, "owner": bob},
        {"name": "Late 100%", "status": "queued", "value": None, "minutes": None},
        {"name": "Now", "status": "running", "value": 0.5, "minutes": None},
    ]
    made = []
    for i, row in enumerate(rows):
        value, minutes = row.pop("value"), row.pop("minutes")
        row["created_at"] = NOW - timedelta(hours=10 - i)
        if minutes:
            row |= {"started_at": row["created_at"], "finished_at": row["created_at"] + timedelta(minutes=minutes)}
        if value is not None:
            row["summary"] = {"label": "Coverage at 64", "value": value, "text": f"{value:.0%}", "spark": [0, value]}
        made.append(make_experiment(problems=0, **row))
    return made


def names(client: Client, team: Team, query: str) -> list[str]:
    page = client.get(reverse("experiments", args=[team.code]) + query)
    assert page.status_code == 200
    return re.findall(r'<th scope="row".*?<a href="[^"]+">([^<]+)</a>', page.content.decode())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?tab=all", ["Now", "Late 100%", "Bobs", "Middle", "Early"]),
        ("?tab=mine", ["Now", "Late 100%", "Middle", "Early"]),
        ("?tab=sampling&status=finished", ["Bobs", "Early"]),
        ("?tab=all&q=100%25", ["Late 100%"]),
        ("?tab=all&q=TINY", ["Early"]),
        ("?tab=all&sort=name", ["Bobs", "Early", "Late 100%", "Middle", "Now"]),
        ("?tab=all&sort=created", ["Early", "Middle", "Bobs", "Late 100%", "Now"]),
        ("?tab=all&status=finished&sort=-result", ["Bobs", "Early"]),
        ("?tab=all&status=finished&sort=time", ["Bobs", "Early"]),
        ("?tab=nonsense&status=x&owner=y&sort=z&page=-1", ["Now", "Late 100%", "Bobs", "Middle", "Early"]),
        ("?tab=all&q=%00", ["Now", "Late 100%", "Bobs", "Middle", "Early"]),
    ],
)
def test_filters_and_order(
    as_user: SignIn, team: Team, alice: User, some: list[Experiment], query: str, expected: list[str]
) -> None:
    assert names(as_user(alice), team, query) == expected


def test_filter_by_owner(as_user: SignIn, team: Team, alice: User, bob: User, some: list[Experiment]) -> None:
    assert names(as_user(alice), team, f"?owner={bob.code}") == ["Bobs"]


def test_results_without_a_value_come_last_both_ways(
    as_user: SignIn, team: Team, alice: User, some: list[Experiment]
) -> None:
    assert names(as_user(alice), team, "?sort=result")[:3] == ["Early", "Now", "Bobs"]
    assert names(as_user(alice), team, "?sort=-result")[:3] == ["Bobs", "Now", "Early"]


def test_what_a_row_says(as_user: SignIn, team: Team, alice: User, some: list[Experiment]) -> None:
    running = some[-1]
    Shard.objects.create(experiment=running, stage="generate", stage_index=0, index=0, queue="gpu", total=200, done=90)
    page = as_user(alice).get(reverse("experiments", args=[team.code])).content.decode()
    assert "Running 45%" in page
    assert "Out of memory in shard 3" in page
    assert '<b class="strong">90%</b>' in page
    assert "50 min" in page
    assert "1 running" in page and "1 queued" in page


def test_the_sorted_column_says_so(as_user: SignIn, team: Team, alice: User, some: list[Experiment]) -> None:
    page = as_user(alice).get(reverse("experiments", args=[team.code]) + "?sort=name").content.decode()
    assert re.findall(r'aria-sort="(\w+)"><a[^>]*>(\w+)', page) == [("ascending", "Name")]


def test_the_list_opens_as_it_was_left(as_user: SignIn, team: Team, alice: User, some: list[Experiment]) -> None:
    client, plain = as_user(alice), reverse("experiments", args=[team.code])
    client.get(plain + "?status=failed")
    assert client.get(plain, follow=True).redirect_chain == [(f"{plain}?tab=all&status=failed", 302)]
    client.get(plain + "?clear")
    assert client.get(plain).status_code == 200


def test_pages(as_user: SignIn, team: Team, alice: User, make_experiment: MakeExperiment) -> None:
    for i in range(PAGE_SIZE + 1):
        make_experiment(problems=0, name=f"Run {i}")
    client = as_user(alice)
    assert len(names(client, team, "?tab=all")) == PAGE_SIZE
    assert names(client, team, "?tab=all&page=2") == ["Run 0"]
    assert names(client, team, "?tab=all&page=99") == ["Run 0"]


def test_other_teams_experiments_are_not_listed(
    as_user: SignIn, team: Team, alice: User, charlie: User, make_experiment: MakeExperiment
) -> None:
    make_experiment(problems=0, team=Team.objects.get(name="Elsewhere"), owner=charlie, name="Theirs")
    make_experiment(problems=0, name="Ours")
    client = as_user(alice)
    assert names(client, team, "?tab=all") == ["Ours"]
    assert names(client, team, f"?tab=all&owner={charlie.code}") == []
    assert client.get(reverse("experiment-search", args=[team.code]) + "?q=Theirs").json() == {"experiments": []}


@pytest.mark.parametrize("page", ["experiments", "workers", "share-links", "team-people"])
def test_the_number_of_queries_is_constant(
    as_user: SignIn, team: Team, alice: User, bob: User, make_experiment: MakeExperiment, page: str
) -> None:
    client, url = as_user(alice), reverse(page, args=[team.code])

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        return len(captured)

    first = make_experiment(problems=1, status="running")
    first.share_links.create(token_prefix="t", token_hash="first", created_by=bob)
    client.get(url)  # the first visit remembers the team in the session
    few = queries()
    for i in range(20):
        running = make_experiment(problems=1, status="running", owner=bob, summary={"spark": [1, 2]})
        shard = Shard.objects.create(experiment=running, stage="generate", stage_index=0, index=0, queue="gpu")
        Worker.objects.create(name=f"gpu@{i}", queue="gpu", host="h", device="CPU", pid=i, shard=shard)
        running.share_links.create(token_prefix="t", token_hash=str(i), created_by=bob)
    assert queries() == few <= 14


def test_a_worker_does_not_tell_what_other_teams_run(
    as_user: SignIn, team: Team, alice: User, charlie: User, make_experiment: MakeExperiment
) -> None:
    theirs = make_experiment(problems=0, team=Team.objects.get(name="Elsewhere"), owner=charlie, name="Secret plan")
    shard = Shard.objects.create(experiment=theirs, stage="generate", stage_index=0, index=0, queue="gpu")
    Worker.objects.create(name="gpu@aspen", queue="gpu", host="aspen", device="CPU, 2 cores", pid=1, shard=shard)
    page = as_user(alice).get(reverse("workers", args=[team.code])).content.decode()
    assert "gpu@aspen" in page and "another team" in page and "Secret plan" not in page


def test_the_workers_page_shows_each_gpu(
    as_user: SignIn, team: Team, alice: User, make_experiment: MakeExperiment
) -> None:
    experiment = make_experiment(problems=0, name="Mine")
    shard = Shard.objects.create(experiment=experiment, stage="generate", stage_index=0, index=3, queue="gpu")

    def worker(name: str, queue: str, *processors: Processor, **more: Any) -> None:
        told = [asdict(each) for each in processors]
        device = processors[0].name if processors else "CPU, 2 cores"
        Worker.objects.create(name=name, queue=queue, host="h", device=device, pid=1, processors=told, **more)

    gib = 2**30
    worker(
        "gpu@pair",
        "gpu",
        Processor("NVIDIA H200", True, 61 * gib, 140 * gib, 97, 64),
        Processor("NVIDIA H100", True, 2 * gib, 80 * gib),
        shard=shard,
    )
    worker("gpu@mute", "gpu", Processor("NVIDIA A100", True))
    worker("gpu@laptop", "gpu", Processor("CPU, 8 cores", False, 4 * gib, 16 * gib))
    worker("cpu@old", "cpu")  # from before workers told more than a name
    gone = timezone.now() - timedelta(seconds=40)
    worker("gpu@gone", "gpu", Processor("NVIDIA L4", True, gib, 24 * gib, 50, 50), heartbeat_at=gone)
    page = as_user(alice).get(reverse("workers", args=[team.code])).content.decode()
    rows = {re.search(r"(\w+@\w+)<", row)[1]: re.sub(r"\s+", " ", row) for row in page.split("<tr ")[1:]}  # type: ignore[index]

    assert "97% busy, 64 °C" in rows["gpu@pair"] and "65.5 GB of 150.3 GB in use" in rows["gpu@pair"]
    assert "NVIDIA H100" in rows["gpu@pair"] and "2.1 GB of 85.9 GB in use" in rows["gpu@pair"]
    assert ">Mine</a>, generate 3" in rows["gpu@pair"] and "Busy" in rows["gpu@pair"]
    assert "nvidia-smi does not answer" in rows["gpu@mute"]
    assert "No NVIDIA GPU was found, so the CPU stands in." in rows["gpu@laptop"]
    assert "does not tell" in rows["cpu@old"] and "stands in" not in rows["cpu@old"]
    assert "Silent" in rows["gpu@gone"] and "Nothing is known" in rows["gpu@gone"] and "busy" not in rows["gpu@gone"]


def test_search_finds_by_name(as_user: SignIn, team: Team, vera: User, some: list[Experiment]) -> None:
    found = as_user(vera).get(reverse("experiment-search", args=[team.code]) + "?q=earl").json()["experiments"]
    early = some[0]
    assert found == [
        {
            "code": str(early.code),
            "name": "Early",
            "url": reverse("experiment", args=[early.code]),
            "status": "Finished",
            "colour": early.colour_slot,
        }
    ]


@given(
    st.dictionaries(
        st.sampled_from(["tab", "q", "status", "owner", "sort", "page"]),
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.sampled_from(["mine", "sampling", "failed", "-name", "2", "\0", "²"]),
        ),
    )
)
def test_an_address_is_read_back_as_it_was_written(parameters: dict[str, str]) -> None:
    query = ListQuery.parse(parameters)
    again = ListQuery.parse(QueryDict(query.url(page=query.page)[1:], encoding="utf-8"))
    assert again == query
