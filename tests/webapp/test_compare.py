"""The compare page: what its address chooses, what it says is not comparable, and a fixed number of queries."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from engine.coverage import coverage_curve
from jobs.kinds.sampling.models import Problem
from jobs.models import Experiment, Status
from webapp.accounts.models import Team, User
from webapp.experiments.compare.query import GREY, MOST, CompareQuery, lines_of
from webapp.experiments.compare.settings import setting_rows

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]


def address(team: Team, *experiments: Experiment, **more: str) -> str:
    query = [f"e={each.code}" for each in experiments] + [f"{key}={value}" for key, value in more.items()]
    return f"{reverse('compare', args=[team.code])}?{'&'.join(query)}"


def set_counts(experiment: Experiment, counts: list[tuple[int, int]]) -> None:
    """(n, c) of the experiment's problems, in their order."""
    for index, (n, c) in enumerate(counts):
        experiment.problems.filter(index=index).update(n=n, c=c, drawn=n, tokens=10 * n)


def series(page: str) -> dict[str, Any]:
    found = re.search(r'<script id="series" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    value: dict[str, Any] = json.loads(found.group(1))
    return value


def words(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


@pytest.fixture
def pair(make_experiment: Make) -> list[Experiment]:
    first = make_experiment(name="Small", status=Status.FINISHED, spec={"samples": 20, "model": "org/small"})
    second = make_experiment(name="Large", status=Status.FINISHED, spec={"samples": 20, "model": "org/large"})
    set_counts(first, [(20, 0), (20, 5), (20, 10)])
    set_counts(second, [(20, 4), (20, 5), (20, 20)])
    return [first, second]


def test_curves_are_the_estimators(as_user: SignIn, team: Team, vera: User, pair: list[Experiment]) -> None:
    page = as_user(vera).get(address(team, *pair))
    runs = series(page.content.decode())["runs"]
    assert [run["name"] for run in runs] == ["Small", "Large"]
    curve = coverage_curve([20, 20, 20], [0, 5, 10])
    assert runs[0]["curve"]["k"] == curve.k.tolist()
    assert runs[0]["curve"]["coverage"] == pytest.approx(curve.coverage, abs=1e-5)
    assert runs[0]["curve"]["lo"] == pytest.approx(curve.lo, abs=1e-5)
    assert len({run["slot"] for run in runs}) == 2


def test_side_by_side_shows_differences_to_the_first(
    as_user: SignIn, team: Team, alice: User, pair: list[Experiment]
) -> None:
    text = words(as_user(alice).get(address(team, *pair)).content.decode())
    assert "Pass at 1 25.0%" in text
    assert re.search(r"Pass at 1 25.0% [\d.]+ to [\d.]+% 48.3% [\d.]+ to [\d.]+% \+23.3", text)
    assert re.search(r"Problems solved 2 3", text)
    # By hand: (1 - 455/1140 + 1 - 120/1140) / 3 < 1/2 at k = 3 and more at 4; (1 - 120/190 + 1 - 105/190 + 1) / 3 at 2.
    assert re.search(r"Samples to solve half 4 2 −2", text)


def test_only_experiments_of_the_team(
    as_user: SignIn, team: Team, alice: User, charlie: User, pair: list[Experiment], make_experiment: Make
) -> None:
    foreign = make_experiment(name="Foreign secret", team=charlie.teams.get())
    page = as_user(alice).get(address(team, pair[0], foreign)).content.decode()
    assert "Foreign secret" not in page
    assert "1 of the experiments in this address is not in this team" in page
    assert as_user(charlie).get(address(team, pair[0])).status_code == 404


def test_nothing_chosen_offers_the_newest(as_user: SignIn, team: Team, vera: User, pair: list[Experiment]) -> None:
    page = as_user(vera).get(reverse("compare", args=[team.code])).content.decode()
    assert "Choose what to compare" in page
    assert [str(each.code) in page for each in pair] == [True, True]


def test_the_published_example(as_user: SignIn, team: Team, vera: User, pair: list[Experiment]) -> None:
    page = words(as_user(vera).get(reverse("compare", args=[team.code])).content.decode())
    # Brown et al. 2024, Table 1.
    assert re.search(r"DeepSeek-Coder-V2-Instruct 5 29.6% \$0.0072 \$10.8 \$[\d.]+ 1.0 ×", page)
    assert re.search(r"GPT-4o 1 24.0% \$0.13 \$39 \$[\d.]+ 3.6 ×", page)
    assert re.search(r"Claude 3.5 Sonnet 1 26.7% \$0.17 \$51 \$[\d.]+ 4.7 ×", page)


def test_a_team_without_experiments(as_user: SignIn, team: Team, vera: User) -> None:
    page = as_user(vera).get(reverse("compare", args=[team.code])).content.decode()
    assert "There is no experiment in Marsh lab yet." in page


@pytest.mark.parametrize("query", ["e=nonsense&a=x&b=%00&small=-1", f"e={uuid4()}", "e=&e=&problems=shared&settings=x"])
def test_nonsense_in_the_address_shows_something(as_user: SignIn, team: Team, alice: User, query: str) -> None:
    assert as_user(alice).get(f"{reverse('compare', args=[team.code])}?{query}").status_code == 200


def test_one_experiment_and_one_without_samples(
    as_user: SignIn, team: Team, alice: User, pair: list[Experiment], make_experiment: Make
) -> None:
    alone = as_user(alice).get(address(team, pair[0])).content.decode()
    assert "Compare 1 experiment<" in alone and "Problem by problem" not in alone
    queued = make_experiment(name="Queued one")
    page = as_user(alice).get(address(team, pair[0], queued)).content.decode()
    assert "Queued one is still running: 0 of 64." in page
    assert "have no problem that both have graded samples of" in page


def test_more_than_twenty_are_left_out(as_user: SignIn, team: Team, alice: User, make_experiment: Make) -> None:
    many = [make_experiment(name=f"Run {i}", problems=1, n=4, c=1) for i in range(MOST + 1)]
    page = as_user(alice).get(address(team, *many)).content.decode()
    assert f"Compare {MOST} experiments" in page
    assert "the 1 after them are left out" in page
    assert len(series(page)["runs"]) == MOST


def test_queries_do_not_grow_with_experiments(as_user: SignIn, team: Team, alice: User, make_experiment: Make) -> None:
    many = [make_experiment(name=f"Run {i}", problems=4, n=4, c=1, status=Status.FINISHED) for i in range(12)]
    client = as_user(alice)
    client.get(address(team, *many[:2]))

    def count(experiments: list[Experiment]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(address(team, *experiments))
        assert not [query["sql"] for query in queries if "sampling_sample" in query["sql"]]
        return len(queries)

    assert count(many) <= count(many[:2])


def test_different_problem_sets(
    as_user: SignIn, team: Team, alice: User, pair: list[Experiment], make_experiment: Make
) -> None:
    other = make_experiment(name="More problems", problems=5, n=20, c=4, status=Status.FINISHED)
    page = as_user(alice).get(address(team, pair[0], other)).content.decode()
    assert "More problems shares 3 of its 5 problems with Small, which has 3" in page
    assert "Use the 3 problems all share" in page
    shared = as_user(alice).get(address(team, pair[0], other, problems="shared")).content.decode()
    assert [run["problems"] for run in series(shared)["runs"]] == [3, 3]
    assert "Only the 3 problems that all of them have." in shared


def test_no_common_problem(
    as_user: SignIn, team: Team, alice: User, pair: list[Experiment], make_experiment: Make
) -> None:
    other = make_experiment(name="Other set", n=20, c=4, status=Status.FINISHED)
    for problem in other.problems.all():
        Problem.objects.filter(pk=problem.pk).update(uid=f"other-{problem.index}")
    page = as_user(alice).get(address(team, pair[0], other)).content.decode()
    assert "Other set has no problem in common with Small: not comparable." in page
    assert "The two have no problem in common." in page
    # Asked for anyway, "shared" leaves every experiment its own problems instead of an empty page.
    assert as_user(alice).get(address(team, pair[0], other, problems="shared")).status_code == 200


def test_same_id_but_another_question_is_another_problem(
    as_user: SignIn, team: Team, alice: User, pair: list[Experiment]
) -> None:
    pair[1].problems.filter(index=0).update(question="Something else?")
    page = as_user(alice).get(address(team, *pair)).content.decode()
    assert "2 problems in both, 2 in one only and left out" in words(page)


def test_unequal_samples_and_verifiers_are_said(
    as_user: SignIn, team: Team, alice: User, pair: list[Experiment], make_experiment: Make
) -> None:
    uneven = make_experiment(name="Uneven", status=Status.FINISHED, spec={"verifier": "gsm8k"})
    set_counts(uneven, [(20, 1), (7, 2), (30, 3)])
    page = as_user(alice).get(address(team, pair[0], uneven)).content.decode()
    assert "Uneven has 7 to 30 samples per problem; its curve ends at 7." in page
    assert "Graded by different verifiers: math-verify, gsm8k." in page


def test_problems_that_differ_most_come_first(as_user: SignIn, team: Team, alice: User, pair: list[Experiment]) -> None:
    page = as_user(alice).get(address(team, *pair)).content.decode()
    rows = re.findall(r'<th scope="row" class="question"[^>]*>([^<]+)</th>', page)
    assert rows == ["What is 2 + 2?", "What is 0 + 0?"]  # 50 and 20 points; problem 1 does not differ
    assert f"/experiments/{pair[0].code}/samples/?problem=2" in page
    assert "−50.0" in page


def test_the_pair_can_be_chosen_and_turned_around(
    as_user: SignIn, team: Team, alice: User, pair: list[Experiment]
) -> None:
    ahead = series(as_user(alice).get(address(team, *pair)).content.decode())["pair"]
    turned = address(team, *pair, a=str(pair[1].code), b=str(pair[0].code))
    behind = series(as_user(alice).get(turned).content.decode())["pair"]
    assert behind["first"] == str(pair[1].code)
    assert behind["difference"] == pytest.approx([-value for value in ahead["difference"]])


def test_series_alone_for_pages_that_follow(as_user: SignIn, team: Team, alice: User, pair: list[Experiment]) -> None:
    answer = as_user(alice).get(address(team, *pair), headers={"X-Part": "series"})
    assert answer["Content-Type"] == "application/json"
    assert [run["name"] for run in answer.json()["runs"]] == ["Small", "Large"]
    empty = as_user(alice).get(address(team), headers={"X-Part": "series"})
    assert empty.json() == {}


def test_a_changed_experiment_is_computed_again(
    as_user: SignIn, team: Team, alice: User, pair: list[Experiment]
) -> None:
    client, url = as_user(alice), address(team, *pair)
    before = series(client.get(url).content.decode())["runs"][0]["curve"]["coverage"][0]
    set_counts(pair[0], [(20, 20), (20, 20), (20, 20)])
    Experiment.objects.filter(pk=pair[0].pk).update(last_seq=9)
    after = series(client.get(url).content.decode())["runs"][0]["curve"]["coverage"][0]
    assert (before, after) == (0.25, 1.0)


def test_hostile_names_are_escaped(as_user: SignIn, team: Team, alice: User, make_experiment: Make) -> None:
    hostile = make_experiment(name="</script><script>alert(1)</script>", n=4, c=1, status=Status.FINISHED)
    page = as_user(alice).get(address(team, hostile)).content.decode()
    assert "<script>alert(1)" not in page


def test_settings_that_differ(as_user: SignIn, team: Team, alice: User, pair: list[Experiment]) -> None:
    rows = {row.name: row for row in setting_rows(pair)}
    assert [value.text for value in rows["model"].values] == ["org/small", "org/large"]
    assert {name for name, row in rows.items() if row.differs} == {"model"}
    page = words(as_user(alice).get(address(team, *pair)).content.decode())
    assert "Model org/small org/large" in page and "Temperature" not in page
    everything = words(as_user(alice).get(address(team, *pair, settings="all")).content.decode())
    assert "Temperature" in everything


def test_a_run_keeps_its_colour_where_it_can() -> None:
    runs = [Experiment(pk=pk) for pk in (3, 10, 4, 8, 21, 5, 6, 100, 101)]  # 3 and 10 want the same slot
    lines = lines_of(runs)
    assert lines[0].slot == runs[0].colour_slot
    assert sorted(line.slot for line in lines[:7]) == [1, 2, 3, 4, 5, 6, 7]
    assert [line.slot for line in lines[7:]] == [GREY, GREY]
    assert lines[7].dash != lines[8].dash


@given(
    codes=st.lists(st.uuids(), max_size=5, unique=True),
    shared=st.booleans(),
    settings=st.sampled_from(["", "all"]),
)
def test_addresses_round_trip(codes: list[Any], shared: bool, settings: str) -> None:
    pair = (codes[0], codes[-1]) if codes else (None, None)
    query = CompareQuery(tuple(codes), pair, pair[::-1], shared, settings, (("x", "flops"),))
    assert CompareQuery.parse(QueryDict(query.url()[1:])) == query
