"""The page of an audit, and what leads to it, in a browser: figures, twin, address, accessibility."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from jobs.kinds.audit.models import AuditedProblem, State
from jobs.kinds.audit.spec import AuditSpec
from jobs.kinds.sampling.models import Score, Scorer
from jobs.models import Experiment, Status
from tests.browser.conftest import OpenContext, violations
from tests.browser.test_live_page import check
from tests.webapp.test_samples import draw
from webapp.accounts.models import Team, User

Make = Callable[..., Experiment]


@pytest.fixture
def audited(team: Team, alice: User) -> Experiment:
    """A finished audit of 40 problems: some flaky, some misjudged, two without a known answer."""
    spec = AuditSpec(verifier="code-stdio", repeats=4).model_dump(mode="json")
    experiment = Experiment.objects.create(
        team=team, owner=alice, kind="audit", name="Audit of code-stdio, contests", spec=spec, last_seq=1,
        status=Status.FINISHED,
        stages=[{"name": "audit", "queue": "cpu", "unit": "problems"}],
    )  # fmt: skip
    rows = []
    for i in range(40):
        row = AuditedProblem(experiment=experiment, index=i, uid=f"contest/{i}", question="q", state=State.AUDITED)
        row.right_correct, row.wrong_answers, row.wrong_wrong = 4, i % 3, 4 * (i % 3)
        if i == 7:
            row.right_correct, row.right_wrong, row.flaky = 1, 3, True
            row.reason = "The right answer is called wrong: test 3 differs"
        if i in (9, 30):
            row.right_correct, row.right_wrong = 0, 4
            row.reason = "The right answer is called wrong: passed 3 of 4 tests"
        if i == 11:
            row.wrong_correct, row.wrong_wrong = 4, 4
            row.reason = "Wrong answer 1 is called correct: <b>passed</b> 2 of 2 tests"
        if i == 12:
            row.right_correct, row.right_timeout = 1, 3
            row.flaky, row.reason = True, "The right answer is called timeout"
        if i in (20, 21):
            row.state, row.right_correct, row.wrong_answers, row.wrong_wrong = State.UNKNOWN, 0, 0, 0
        rows.append(row)
    AuditedProblem.objects.bulk_create(rows)
    return experiment


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_pages_are_accessible(theme: str, audited: Experiment, alice: User, new_context: OpenContext) -> None:
    code, team = audited.code, audited.team.code
    page = new_context(alice, color_scheme=theme).new_page()
    paths = (f"/experiments/{code}/", f"/experiments/{code}/?audit=table&sort=index", f"/teams/{team}/new/audit/")
    for path in (*paths, f"/teams/{team}/compare/?e={code}", f"/experiments/{code}/files/"):
        page.goto(path, wait_until="networkidle")
        check(page)
    phone = new_context(alice, color_scheme=theme, viewport={"width": 390, "height": 844}).new_page()
    for path in paths:
        phone.goto(path, wait_until="networkidle")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, f"{path} scrolls sideways on a phone"


def test_the_worst_problems_come_first(audited: Experiment, vera: User, new_context: OpenContext) -> None:
    page = new_context(vera).new_page()
    page.goto(f"/experiments/{audited.code}/")
    listed = page.locator("#mistaken [data-list] li b")
    expect(listed).to_have_text(["contest/7", "contest/12", "contest/9", "contest/30", "contest/11"])
    expect(page.locator("#mistaken")).to_contain_text("<b>passed</b> 2 of 2 tests")
    expect(page.locator("[data-kpi=mistaken] .kpi-value")).to_have_text("5of 38")
    confusion = page.locator("#confusion tbody tr")
    expect(confusion.nth(0)).to_have_text("Right answers138110" + "3")
    page.get_by_role("button", name="View as table").click()
    rows = page.locator("#audit [data-table] tbody tr")
    expect(rows.first).to_contain_text("contest/7")
    page.get_by_role("button", name="By problem").click()
    expect(rows.first).to_contain_text("contest/0")
    assert "audit=table" in page.url and "sort=index" in page.url
    page.reload()
    expect(rows.first).to_contain_text("contest/0")
    expect(page.get_by_role("button", name="Draw more")).to_have_count(0)
    assert violations(page) == []


def test_from_an_experiment_to_its_audit_and_its_scores(
    make_experiment: Make, alice: User, new_context: OpenContext
) -> None:
    experiment = make_experiment(problems=3, status=Status.FINISHED, spec={"samples": 12, "verifier": "gsm8k"})
    draw(experiment, 12)
    page = new_context(alice).new_page()
    page.goto(f"/experiments/{experiment.code}/")
    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Score with…").click()
    page.get_by_label("Reward model", exact=True).fill("nowhere")
    check(page)
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.get_by_text("No model is called 'nowhere'")).to_be_visible()
    page.get_by_label("More actions").click()
    page.get_by_role("link", name="Audit this verifier…").click()
    expect(page.get_by_label("Verifier", exact=True)).to_have_value("gsm8k")
    page.get_by_label("Times each answer is graded").fill("5")
    page.get_by_role("button", name="Start experiment").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit of gsm8k, arithmetic-60")
    assert Experiment.objects.get(kind="audit").spec["repeats"] == 5


def test_scores_have_their_curves(make_experiment: Make, alice: User, new_context: OpenContext) -> None:
    experiment = make_experiment(
        problems=3, status=Status.FINISHED, spec={"samples": 12, "scorer": "org/judge"}, last_seq=1
    )
    draw(experiment, 12)
    scorer = Scorer.objects.create(experiment=experiment, name="org/judge", scored=36)
    Score.objects.bulk_create(
        Score(scorer=scorer, sample=sample, value=sample.index % 5) for sample in experiment.samples.all()
    )
    experiment.samples.update(self_certainty=12.5)
    page = new_context(alice).new_page()
    page.goto(f"/experiments/{experiment.code}/analysis/", wait_until="networkidle")
    expect(page.locator("#selection [data-sub]")).to_have_text("3 problems, rewards by org/judge")
    expect(page.locator("#selection [data-legend]")).to_contain_text("Highest reward")
    expect(page.locator("#selection [data-legend]")).to_contain_text("Highest self-certainty")
    check(page)
    page.goto(f"/experiments/{experiment.code}/samples/?at=0.3")
    expect(page.locator(".browser-details")).to_contain_text("Reward3.000")
