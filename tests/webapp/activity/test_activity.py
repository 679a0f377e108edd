"""Every change leaves an entry that outlives what it is about, and only owners read them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse

from jobs.models import Experiment, Status
from jobs.retention import prune
from tests.conftest import PASSWORD
from tests.webapp.api.test_permissions import OPERATIONS
from tests.webapp.test_permissions import PAGES
from webapp.accounts.models import Team, User
from webapp.activity.models import Entry
from webapp.activity.phrases import NO_CHANGE, PHRASES
from webapp.api.models import make_token

SignIn = Callable[[User], Client]


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.method == "post"])
def test_every_changing_page_has_a_phrase(name: str) -> None:
    assert name in PHRASES or name in NO_CHANGE


@pytest.mark.parametrize("name", [n for n, operation in OPERATIONS.items() if 200 not in operation.expected[:2]])
def test_every_changing_operation_has_a_phrase(name: str) -> None:
    reads = name.startswith(("get_", "list_", "stream_"))
    assert reads or name in PHRASES or name in NO_CHANGE


def last() -> Entry:
    found = Entry.objects.order_by("pk").last()
    assert found is not None
    return found


def test_what_was_deleted_keeps_its_name(
    make_experiment: Callable[..., Experiment], bob: User, as_user: SignIn, team: Team
) -> None:
    experiment = make_experiment(name="Baseline", status=Status.FINISHED)
    as_user(bob).post(reverse("experiment-delete", args=[experiment.code]), {"confirm": "delete"})
    entry = last()
    assert (entry.actor_name, entry.action, entry.target) == ("Bob", "experiment-delete", "Baseline")
    assert (entry.team, entry.team_name, entry.via, entry.address) == (team, "Marsh lab", "", "127.0.0.1")
    bob.delete()
    team.delete()
    entry.refresh_from_db()
    assert (entry.actor, entry.team, entry.actor_name, entry.team_name) == (None, None, "Bob", "Marsh lab")


def test_what_was_refused_is_not_recorded(
    make_experiment: Callable[..., Experiment], bob: User, vera: User, as_user: SignIn
) -> None:
    experiment = make_experiment(status=Status.FINISHED)
    before = Entry.objects.exclude(action="sign-in").count()
    as_user(bob).post(reverse("experiment-cancel", args=[experiment.code]))  # it has ended
    as_user(vera).post(reverse("experiment-rename", args=[experiment.code]), {"name": "x"})  # viewers may not
    as_user(bob).post(reverse("experiment-rename", args=[experiment.code]), {"name": ""})
    as_user(bob).get(reverse("experiment", args=[experiment.code]))
    assert Entry.objects.exclude(action="sign-in").count() == before


def test_a_tokens_changes_name_the_token(
    make_experiment: Callable[..., Experiment], bob: User, client: Client, team: Team
) -> None:
    experiment = make_experiment(name="Baseline")
    _, secret = make_token(name="laptop", scope="write", created_by=bob, user=bob, team=None, days=30)
    answer = client.patch(
        f"/api/v1/experiments/{experiment.code}",
        {"name": "Other"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {secret}"},
    )
    assert answer.status_code == 200
    entry = last()
    assert (entry.actor, entry.via, entry.action, entry.team) == (bob, "laptop", "change_experiment", team)
    assert entry.target == "Baseline"


def test_sign_ins_good_and_bad(alice: User, client: Client) -> None:
    def post(email: str, password: str) -> None:
        client.post(reverse("sign-in"), {"username": email, "password": password})

    post(alice.email, "wrong")
    assert (last().action, last().actor) == ("sign-in-failed", alice)
    count = Entry.objects.count()
    post("stranger@example.org", "hunter2")
    assert Entry.objects.count() == count
    post(alice.email, PASSWORD)
    assert (last().action, last().actor, last().team) == ("sign-in", alice, None)
    client.post(reverse("sign-out"))
    assert last().action == "sign-out"


@pytest.fixture
def entries(team: Team, alice: User) -> None:
    for day, (name, action) in enumerate(
        (("Alice", "team-rename"), ("Bob", "experiment-cancel"), ("=1+1", "sign-in")), 1
    ):
        at = datetime(2026, 11, day, 23, 59, tzinfo=UTC)
        Entry.objects.create(
            team=team, team_name=team.name, actor_name=name, action=action, at=at, target=f"thing {day}"
        )
    Entry.objects.create(team=None, team_name="Elsewhere", actor_name="Charlie", action="team-rename", target="secret")


@pytest.mark.usefixtures("entries")
@pytest.mark.parametrize(
    ("query", "things"),
    [
        ("", {1, 2, 3}),
        ("who=Bob", {2}),
        ("action=team-rename", {1}),
        ("from=2026-11-02", {2, 3}),
        ("to=2026-11-02", {1, 2}),
        ("from=2026-11-02&to=2026-11-02", {2}),
        ("from=nonsense&to=2026-99-99&action=none&page=99", {1, 2, 3}),
        ("who=Nobody", set()),
    ],
)
def test_filters(query: str, things: set[int], alice: User, team: Team, as_user: SignIn) -> None:
    client = as_user(alice)
    page = client.get(reverse("activity", args=[team.code]) + f"?{query}").content.decode()
    assert {number for number in range(1, 4) if f"thing {number}" in page} == things
    assert "secret" not in page
    file = client.get(reverse("activity-file", args=[team.code]) + f"?{query}")
    rows = list(csv.DictReader(io.StringIO(b"".join(file.streaming_content).decode())))  # type: ignore[attr-defined]
    assert {int(row["target"][-1]) for row in rows} == things


@pytest.mark.usefixtures("entries")
def test_the_file_holds_no_formula(alice: User, team: Team, as_user: SignIn) -> None:
    file = as_user(alice).get(reverse("activity-file", args=[team.code]))
    text = b"".join(file.streaming_content).decode()  # type: ignore[attr-defined]
    assert "'=1+1" in text and ",=1+1" not in text


@pytest.mark.usefixtures("entries")
def test_the_operator_sees_deleted_teams_too(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("activity", about="elsewhere")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["who"], row["target"]) for row in rows] == [("Charlie", "secret")]


def test_a_log_that_cannot_be_written_undoes_nothing(
    make_experiment: Callable[..., Experiment], bob: User, as_user: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_experiment()
    client = as_user(bob)

    def refuse(**_: object) -> None:
        raise DatabaseError("full")

    monkeypatch.setattr(Entry.objects, "create", refuse)
    client.post(reverse("experiment-rename", args=[experiment.code]), {"name": "Renamed"})
    experiment.refresh_from_db()
    assert experiment.name == "Renamed"


def test_old_entries_stay(entries: None, settings: object) -> None:

    prune(datetime.now(UTC) + timedelta(days=10_000))
    assert Entry.objects.count() == 4
