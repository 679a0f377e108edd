"""Audits on the web: the form and what it takes over, the page, the table as a file, the API."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse

from jobs import services
from jobs.kinds.audit.models import AuditedProblem, State
from jobs.kinds.audit.spec import AuditSpec
from jobs.models import Experiment, Status
from tests.webapp.test_live_page import share
from webapp.accounts.models import Team, User
from webapp.experiments.audit.page import audit_csv

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def audited(team: Team, alice: User, broker: None) -> Experiment:
    spec = AuditSpec(verifier="gsm8k", limit=3, repeats=2)
    experiment = services.submit(team=team, owner=alice, kind="audit", name="Audit", spec=spec)
    rows = AuditedProblem.objects.filter(experiment=experiment)
    rows.update(state=State.AUDITED, right_correct=2, seq=2)
    rows.filter(index=1).update(uid="=cmd", right_correct=1, right_wrong=1, flaky=True, reason="The right answer is")
    Experiment.objects.filter(pk=experiment.pk).update(status=Status.FINISHED, last_seq=9)
    experiment.refresh_from_db()
    return experiment


def form(client: Client, team: Team, of: Experiment) -> dict[str, object]:
    answer = client.get(reverse("experiment-new", args=[team.code, "audit"]), {"from": str(of.code)})
    assert answer.status_code == 200
    return {bound.field.name: bound.value for section in answer.context["form"].sections for bound in section.fields}


def test_the_form_takes_over_an_experiments_problems_verifier_and_limits(
    as_user: SignIn, bob: User, team: Team, make_experiment: Make
) -> None:
    of = make_experiment(spec={"verifier": "gsm8k", "limit": 7, "grade_seconds": 3.5})
    values = form(as_user(bob), team, of)
    assert (values["problems"], values["verifier"], values["limit"], values["grade_seconds"]) == (
        "bundled/arithmetic-60", "gsm8k", "7", "3.5",
    )  # fmt: skip


def test_imported_problems_are_found_with_their_experiment(
    as_user: SignIn, bob: User, team: Team, make_experiment: Make
) -> None:
    of = make_experiment()
    of.spec = {"samples": 4, "imported": {"file": "x.csv"}}
    of.save()
    client = as_user(bob)
    assert form(client, team, of)["problems"] == f"experiment/{of.code}"
    page = client.get(reverse("experiment-new", args=[team.code, "audit"])).content.decode()
    assert f'value="experiment/{of.code}"' in page


def test_an_audit_is_no_start_for_other_kinds(as_user: SignIn, bob: User, team: Team, audited: Experiment) -> None:
    client = as_user(bob)
    assert (
        client.get(reverse("experiment-new", args=[team.code, "sampling"]), {"from": audited.code}).status_code == 404
    )
    assert form(client, team, audited)["limit"] == "3"


def test_the_form_starts_an_audit_and_says_what_is_wrong(as_user: SignIn, bob: User, team: Team, broker: None) -> None:
    client, url = as_user(bob), reverse("experiment-new", args=[team.code, "audit"])
    wrong = client.post(url, {"verifier": "code-stdio", "repeats": "3", "problems": "bundled/arithmetic-60"})
    assert wrong.status_code == 422 and b"has none of tests" in wrong.content
    estimate = client.post(
        reverse("experiment-estimate", args=[team.code, "audit"]), {"verifier": "gsm8k", "repeats": "4", "limit": "5"}
    ).json()
    assert ["Verdicts", "20", ""] in estimate["rows"]
    answer = client.post(url, {"verifier": "gsm8k", "repeats": "4", "limit": "5"})
    made = Experiment.objects.get(kind="audit")
    assert answer.url == reverse("experiment", args=[made.code])  # type: ignore[attr-defined]
    assert made.name == "Audit of gsm8k, arithmetic-60" and made.audited_problems.count() == 5


def test_the_table_is_a_file(as_user: SignIn, vera: User, audited: Experiment) -> None:
    answer = as_user(vera).get(reverse("experiment-download", args=[audited.code, "audit.csv"]))
    assert answer["Content-Disposition"].startswith("attachment")

    async def read() -> str:
        return "".join([piece async for piece in audit_csv(audited)])

    rows = list(csv.DictReader(io.StringIO(async_to_sync(read)())))
    assert [row["flags"] for row in rows] == ["", "flaky; false negative", ""]
    assert (rows[1]["problem"], rows[1]["right_correct"], rows[1]["right_wrong"]) == ("'=cmd", "1", "1")


def test_a_share_link_shows_the_audit(audited: Experiment) -> None:
    link = share(audited)
    client = Client()
    page = client.get(reverse("shared", args=[link]))
    assert page.status_code == 200 and b"What to look at" in page.content
    state = json.loads(client.get(reverse("shared-live", args=[link])).content)
    assert state["kind"]["flags"] == {"flaky": 1, "false negative": 1}
