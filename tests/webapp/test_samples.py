"""The sample browser: filters, paging, escaping, and queries that read a bounded number of rows."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.sampling.models import Sample, SampleText, Verdict
from jobs.models import Experiment, Status
from webapp.accounts.models import User
from webapp.experiments.sampling import samples
from webapp.experiments.sampling.filters import Filters
from webapp.experiments.sampling.highlight import split_at_answer

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]
HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script> ]]> {{ 7*7 }} {% now %} &amp; \u202e'


def draw(experiment: Experiment, per_problem: int, text: str = "The answer is {answer}.") -> list[Sample]:
    """``per_problem`` samples for each problem; every fourth is correct, every tenth timed out."""
    made = []
    for problem in experiment.problems.order_by("index"):
        for i in range(per_problem):
            verdict = Verdict.CORRECT if i % 4 == 0 else Verdict.TIMEOUT if i % 10 == 9 else Verdict.WRONG
            answer = problem.answer if verdict == Verdict.CORRECT else str(100 + i)
            made.append(
                Sample(
                    experiment=experiment, problem=problem, index=i, seed=i, tokens=5, logprob=-1.5, finish="stop",
                    verdict=verdict, answer=answer, canonical=answer,
                )
            )  # fmt: skip
    Sample.objects.bulk_create(made)
    SampleText.objects.bulk_create(SampleText(sample=s, text=text.format(answer=s.answer)) for s in made)
    return made


def walk(experiment: Experiment, filters: Filters, limit: int) -> list[tuple[int, int]]:
    """(problem, index) of every match, page by page."""
    places: list[tuple[int, int]] = []
    for _ in range(1000):
        found = samples.find_samples(experiment, filters, limit=limit)
        places += [(sample.problem.index, sample.index) for sample in found.samples]
        if found.next_after is None:
            return places
        filters = Filters(filters.problem, filters.verdict, filters.q, after=found.next_after)
    raise AssertionError("paging does not end")


@pytest.mark.parametrize("limit", [1, 3, 50])
@pytest.mark.parametrize(
    "filters",
    [
        Filters(verdict="correct"),
        Filters(problem=1, verdict="wrong"),
        Filters(q="answer is 10"),
        Filters(problem=2, q="IS 1"),
    ],
)
def test_paging_gives_every_match_once(filters: Filters, limit: int, make_experiment: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr(samples, "WINDOW", 7)  # a search needs several windows and several requests
    experiment, other = make_experiment(), make_experiment(name="Other")
    draw(other, 4)
    made = draw(experiment, 12)

    wanted = [
        (sample.problem.index, sample.index)
        for sample in made
        if filters.problem in {None, sample.problem.index}
        and filters.verdict in {"", sample.verdict}
        and filters.q.lower() in f"the answer is {sample.answer}."
    ]
    assert wanted
    assert walk(experiment, filters, limit) == wanted


def test_a_search_reads_a_bounded_number_of_texts(make_experiment: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr(samples, "WINDOW", 5)
    monkeypatch.setattr(samples, "MOST_WINDOWS", 2)
    experiment = make_experiment()
    draw(experiment, 12)
    found = samples.find_samples(experiment, Filters(q="nowhere to be found"))
    assert (list(found.samples), found.searched) == ([], 10)
    assert found.next_after is not None


def test_no_query_skips_or_counts_samples_without_bound(make_experiment: Make, bob: User, as_user: SignIn) -> None:
    experiment = make_experiment()
    draw(experiment, 12)
    client, address = as_user(bob), reverse("experiment-tab", args=[experiment.code, "samples"])
    for query in (
        "",
        "?verdict=wrong",
        "?q=answer",
        "?problem=1&at=1.3",
        "?order=rare&page=7",
        "?verdict=correct&after=3",
    ):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address + query).status_code == 200
        for statement in (captured["sql"] for captured in queries):
            if '"sampling_sample"' not in statement:
                continue
            assert "OFFSET" not in statement
            counted = "COUNT(*)" in statement and "GROUP BY" not in statement
            assert not counted or f"LIMIT {samples.MOST_COUNTED + 1}" in statement


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_model_output_stays_text(make_experiment: Make, bob: User, as_user: SignIn) -> None:
    experiment = make_experiment(problems=1)
    experiment.problems.update(question=HOSTILE, answer=HOSTILE, uid=HOSTILE[:90])
    sample = draw(experiment, 1)[0]
    Sample.objects.filter(pk=sample.pk).update(answer=HOSTILE, canonical=HOSTILE, reason=HOSTILE)
    SampleText.objects.filter(pk=sample.pk).update(text=f"before {HOSTILE} after")
    address = reverse("experiment-tab", args=[experiment.code, "samples"])

    for query in ({}, {"q": "onerror"}, {"verdict": "correct"}, {"q": HOSTILE}):
        page = as_user(bob).get(address, query, headers={"X-Part": "browser"}).content.decode()
        parser = Tags()
        parser.feed(page)
        assert not [tag for tag, _ in parser.seen if tag in {"script", "img", "style", "iframe"}]
        assert not [name for _, attributes in parser.seen for name in attributes if name.startswith("on")]
        assert "{{ 7*7 }}" in page and "&lt;script&gt;alert(2)" in page


def test_the_sample_asked_for_is_shown(make_experiment: Make, bob: User, as_user: SignIn) -> None:
    experiment = make_experiment(spec={"samples": 20})
    draw(experiment, 6)
    address = reverse("experiment-tab", args=[experiment.code, "samples"])
    client = as_user(bob)

    page = client.get(address, {"at": "1.3"}).content.decode()
    assert "Problem 1, sample 3" in page
    assert "?at=1.4" in page and "?at=1.2" in page
    assert "not drawn yet 14" in page
    matches = client.get(address, {"verdict": "correct", "at": "1.0"}).content.decode()
    assert "?verdict=correct&amp;at=0.4" in matches and "?verdict=correct&amp;at=1.4" in matches
    assert "Problem 0, sample 0" in client.get(address, {"at": "99.99"}).content.decode()


def test_another_experiments_samples_are_out_of_reach(make_experiment: Make) -> None:
    mine, other = make_experiment(problems=1), make_experiment(problems=5)
    draw(other, 3)
    assert samples.get_sample(mine, (0, 0)) is None
    assert not samples.find_samples(mine, Filters(verdict="correct")).samples


@given(st.text(), st.text(), st.text(), st.text(), st.text())
def test_any_address_is_read(problem: str, verdict: str, q: str, after: str, at: str) -> None:
    query = QueryDict(mutable=True)
    query.update(
        {"problem": problem, "verdict": verdict, "q": q, "after": after, "at": at, "page": problem, "order": q}
    )
    filters = Filters.read(query)
    assert Filters.read(QueryDict(filters.query().removeprefix("?"))) == filters


@given(st.text(), st.text())
def test_pieces_are_the_text(text: str, answer: str) -> None:
    assert "".join(split_at_answer(text, answer)) == text


@pytest.mark.parametrize(
    ("text", "answer", "match"),
    [
        ("3 + 4 = 7\n#### 7", "7", "#### 7"),
        ("It costs $70,000 altogether.", "70000", "70,000"),
        ("first 12, then 112, then 12 again", "12", "12"),
        ("only 112 here", "12", ""),
        ("about 1.5 here and 15 there", "1.5", "1.5"),
        ("The answer is \\frac{1}{2}.", "\\frac{1}{2}", "\\frac{1}{2}"),
        ("nothing", "", ""),
        ("It is 7.", "7", "7"),
        ("It is 7.25", "7", ""),
        ("#### 42.00", "42", "#### 42.00"),
    ],
)
def test_the_answer_is_found_where_verifiers_find_it(text: str, answer: str, match: str) -> None:
    pieces = split_at_answer(text, answer)
    assert pieces.match == match
    if match == "12":
        assert pieces.after == " again"


def test_problems_with_statements_go_by_their_ids(make_experiment: Make, bob: User, as_user: SignIn) -> None:
    experiment = make_experiment(problems=1, spec={"samples": 2, "verifier": "proof-rocq"})
    experiment.problems.update(uid="mathd_algebra_24", question="Require Import Reals.\n  Theorem", answer="")
    draw(experiment, 2)
    address = reverse("experiment-tab", args=[experiment.code, "samples"])
    page = as_user(bob).get(address, headers={"X-Part": "browser"}).content.decode()
    assert '<span class="name">mathd_algebra_24</span>' in page and "mathd_algebra_24, sample 0" in page
    assert "Gold" not in page and "Extracted" not in page  # nothing was extracted, nothing to compare with


def test_an_experiment_that_ended_promises_no_samples(make_experiment: Make, bob: User, as_user: SignIn) -> None:
    client = as_user(bob)
    for status, words in ((Status.RUNNING, "No samples yet"), (Status.FAILED, "ended before there were any")):
        address = reverse("experiment-tab", args=[make_experiment(status=status).code, "samples"])
        assert words in client.get(address).content.decode()
