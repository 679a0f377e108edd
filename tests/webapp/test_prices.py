"""A team's price table: who changes it, what it refuses, what it is used for, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pydantic import ValidationError

from engine.problems import bundled
from jobs import metrics
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.models import Experiment, Worker
from tests.webapp.test_compare import words
from tests.webapp.test_costs import OWN, measured
from tests.webapp.test_extra import finished, timed
from webapp.accounts.models import Team, User
from webapp.api.models import make_token
from webapp.experiments.sampling.analysis import forecast_data
from webapp.experiments.sampling.costs import costs_of
from webapp.experiments.sampling.estimate import estimate, hosted_estimate
from webapp.experiments.sampling.extra import preview
from webapp.prices import table
from webapp.prices.lookup import gpu_price, token_price
from webapp.prices.models import Price, PriceChange
from webapp.prices.table import PriceRow, installation_prices, prices_of

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]
__all__ = ["finished"]
TOKENS = {
    "kind": "tokens", "name": "lab-model", "input": 3, "output": 9, "cached": 0.3, "as_of": "2026-10-02",
    "source": "our contract",
}  # fmt: skip
GPU = {"kind": "gpu", "name": "CPU, 2 cores", "per_hour": 0.9, "as_of": "2026-10-02", "source": "the data centre"}


@pytest.fixture(autouse=True)
def own_prices(tmp_path: Path, settings: Any) -> None:
    """The installation's table has lab-model and a T4."""
    settings.PRICES_FILE = tmp_path / "prices.toml"
    settings.PRICES_FILE.write_text(OWN)


def keep(team: Team, by: User, **row: Any) -> Price:
    return table.add(team=team, row=PriceRow.model_validate(row), by=by)


def test_the_teams_rows_lie_over_the_installations(team: Team, alice: User, charlie: User) -> None:
    assert token_price("lab-model", prices_of(team)) == token_price("lab-model", installation_prices())
    keep(team, alice, **TOKENS | {"name": "Lab-Model"})
    keep(team, alice, **GPU | {"name": "T4"})
    own = prices_of(team)
    price = token_price("org/lab-model", own)
    assert price is not None
    assert (price.input, price.output, price.cached, price.as_of) == (3, 9, 0.3, "2026-10-02")
    assert price.table == "the table of Marsh lab"
    _, gpu = gpu_price("Tesla T4 16GB", own)
    assert gpu is not None and gpu.per_hour == 0.9  # the team's offer comes before the installation's
    assert token_price("gpt-4o-mini", own) == token_price("gpt-4o-mini", installation_prices())
    other = token_price("lab-model", prices_of(charlie.teams.get()))
    assert other is not None and (other.input, other.table) == (2, "the installation's table")


def test_other_currencies_become_dollars_and_say_so(team: Team, alice: User) -> None:
    row = keep(team, alice, **TOKENS | {"currency": "EUR", "dollars": 1.1})
    price = token_price("lab-model", prices_of(team))
    assert price is not None
    assert (price.input, price.output, price.cached) == pytest.approx((3.3, 9.9, 0.33))
    assert price.source == "our contract, 1 EUR = 1.1 US$"
    assert "3 and 9 EUR a million" in table.spell(row) and "1 EUR = 1.1 US$" in table.spell(row)


@pytest.mark.parametrize(
    ("change", "field", "why"),
    [
        ({"input": -1}, "input", "greater"),
        ({"input": "nan"}, "input", "finite"),
        ({"output": None}, "", "needs input and output"),
        ({"per_hour": 1}, "", "no price of an hour"),
        ({"kind": "gpu"}, "", "needs per_hour"),
        ({"kind": "water"}, "kind", "tokens"),
        ({"currency": "euro"}, "currency", "Three capital letters"),
        ({"currency": "USD", "dollars": 2}, "", "one US"),
        ({"currency": "EUR", "dollars": 0}, "dollars", "greater than 0"),
        ({"as_of": "2999-01-01"}, "as_of", "today"),
        ({"as_of": "1999-01-01"}, "as_of", "2015"),
        ({"as_of": "soon"}, "as_of", "2026-01-31"),
        ({"source": " \0"}, "source", "Write some text"),
        ({"name": "x" * 121}, "name", "120"),
        ({"colour": "red"}, "colour", "not permitted"),
    ],
)
def test_what_a_row_refuses(change: dict[str, Any], field: str, why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PriceRow.model_validate(TOKENS | change)
    said = table.sentences(refused.value.errors(include_url=False))
    assert field in said and why in said[field] and said[field].endswith(".")


def test_a_name_has_one_price_and_changes_are_kept(team: Team, alice: User, bob: User) -> None:
    row = keep(team, alice, **TOKENS)
    with pytest.raises(table.Refused, match="already"):
        keep(team, bob, **TOKENS | {"name": "LAB-model"})
    table.change(price=row, row=PriceRow.model_validate(TOKENS), by=bob)  # nothing changed
    table.change(price=row, row=PriceRow.model_validate(TOKENS | {"input": 4}), by=bob)
    with pytest.raises(table.Refused, match="cannot become"):
        table.change(price=row, row=PriceRow.model_validate(GPU), by=bob)
    row.refresh_from_db()
    assert (row.input, row.updated_by) == (4, bob)
    table.remove(price=row, by=alice)
    bob.delete()
    found = [(each.by_name, bool(each.before), bool(each.after)) for each in table.changes_of(team)]
    assert found == [("Alice", True, False), ("Bob", True, True), ("Alice", False, True)]
    assert PriceChange.objects.filter(by=None).count() == 1
    with pytest.raises(table.Refused, match="removed"):
        table.change(price=row, row=PriceRow.model_validate(TOKENS), by=alice)


def test_cached_prompts_are_a_line_of_their_own(team: Team, alice: User) -> None:
    keep(team, alice, **TOKENS)
    costs = costs_of(measured(model="lab-model", prompt_tokens=1000, output_tokens=500), prices_of(team))
    each, cached = costs.lines["dollars_each"], costs.lines["dollars_cached"]
    assert each.per_sample == pytest.approx(0.003 + 0.0045)
    # Ten samples: the prompt in full once and nine times from the cache.
    assert cached.fixed + 10 * cached.per_sample == pytest.approx(0.003 + 9 * 0.0003 + 10 * 0.0045)
    assert "the table of Marsh lab" in costs.notes["dollars"] and "2026-10-02" in costs.notes["dollars"]


def test_every_figure_follows_the_table_at_once(finished: Experiment, team: Team, alice: User, as_user: SignIn) -> None:
    timed(finished)
    assert forecast_data(finished)["gains"]["per_dollar"] is None
    assert preview(finished, 100, "samples").dollars is None
    row = keep(team, alice, **GPU)
    gains = forecast_data(finished)["gains"]  # from the cache, with today's price
    assert gains["dollars_per_sample"] == pytest.approx(2 * 0.9 / 3600)
    assert gains["per_dollar"][0] == pytest.approx(gains["per_sample"][0] / gains["dollars_per_sample"])
    assert gains["time"] == "CPU time"
    shown = preview(finished, 0.05, "dollars")
    assert shown.dollars == pytest.approx(0.05, abs=0.001)
    client = as_user(alice)
    panel = words(client.get(reverse("experiment-tab", args=[finished.code, "analysis"])).content.decode())
    assert "the data centre, 2026-10-02), from the table of Marsh lab" in panel and "CPU time" in panel
    compare = words(client.get(f"{reverse('compare', args=[team.code])}?e={finished.code}").content.decode())
    assert "CPU time" in compare and "GPU time" not in compare
    table.change(price=row, row=PriceRow.model_validate(GPU | {"per_hour": 1.8}), by=alice)
    assert forecast_data(finished)["gains"]["dollars_per_sample"] == pytest.approx(2 * 1.8 / 3600)


def test_the_forms_estimate_has_a_price(team: Team, alice: User, make_experiment: Make, settings: Any) -> None:
    settings.ENDPOINTS = {"lab": None}
    problems = bundled("arithmetic-60")[:10]
    hosted = SamplingSpec(model="openai:lab-model@lab", samples=4, max_tokens=500)
    rows = {row.label: (row.value, row.known) for row in hosted_estimate(hosted, problems, team).rows}
    value, known = rows["US$"]
    assert value.startswith("at most $0.16") and known.endswith("2026-10-01, the installation's table")  # 20k x $8
    keep(team, alice, **TOKENS)
    rows = {row.label: (row.value, row.known) for row in hosted_estimate(hosted, problems, team).rows}
    assert rows["US$"][0].startswith("at most $0.18") and rows["US$"][1].endswith("the table of Marsh lab")
    # An own model: 100 tokens a second on a worker whose hour has a price.
    earlier = make_experiment(problems=1)
    metrics.write(earlier.pk, 1, [metrics.Report({"tokens_per_second": 100}, 2.0, 1_000_000.0)])
    cpu = {"name": "CPU, 2 cores", "is_gpu": False, "memory_total": 4 * 10**9}
    Worker.objects.create(
        name="w", queue="gpu", host="h", device="CPU, 2 cores", pid=1, started_at=timezone.now(), processors=[cpu]
    )
    own = SamplingSpec(samples=360, max_tokens=100)
    assert "US$" not in {row.label for row in estimate(own, problems, team).rows}
    keep(team, alice, **GPU)
    rows = {row.label: (row.value, row.known) for row in estimate(own, problems, team).rows}
    assert rows["Run time"][0].startswith("at most 1 h")  # 360,000 tokens, and the prompts
    value, known = rows["US$"]
    assert value.startswith("at most $0.9") and known == "$0.9 an hour, 2026-10-02, the table of Marsh lab"


# --- page -------------------------------------------------------------------------------------------------------------


def test_owners_add_change_and_remove(team: Team, alice: User, as_user: SignIn) -> None:
    client = as_user(alice)
    form = {name: str(value) for name, value in TOKENS.items() if name != "kind"} | {
        "currency": "eur",
        "dollars": "1.1",
    }
    assert client.post(reverse("price-add", args=[team.code, "tokens"]), form).status_code == 302
    row = Price.objects.get()
    assert (row.name, row.input, row.currency, row.updated_by) == ("lab-model", 3, "EUR", alice)
    page = words(client.get(reverse("prices", args=[team.code])).content.decode())
    assert "lab-model 3 EUR 9 EUR 0.3 EUR 2 Oct 2026 our contract 1 EUR = 1.1 US$" in page
    assert "gpt-4o-mini $0.15 $0.6" in page and "T4 16GB $0.36" in page and "Who changed what" in page
    address = reverse("price-change", args=[team.code, row.code])
    assert 'value="our contract"' in client.get(address).content.decode()
    assert client.post(address, form | {"output": "12"}).status_code == 302
    row.refresh_from_db()
    assert row.output == 12
    refused = client.post(address, form | {"as_of": str(timezone.localdate() + timedelta(days=9)), "output": ""})
    assert refused.status_code == 422 and "This field is required" in refused.content.decode()
    refused = client.post(address, form | {"currency": "USD"})
    assert refused.status_code == 422 and "One US$ is one US$" in refused.content.decode()
    assert client.post(reverse("price-remove", args=[team.code, row.code])).status_code == 302
    assert not Price.objects.exists() and PriceChange.objects.count() == 3


def test_everybody_reads_and_nobody_else_sees_buttons(team: Team, alice: User, vera: User, as_user: SignIn) -> None:
    keep(team, alice, **GPU)
    page = as_user(vera).get(reverse("prices", args=[team.code])).content.decode()
    assert "CPU, 2 cores" in page and "price-remove" not in page and "/prices/new/" not in page and "Remove" not in page


def test_a_row_is_reached_through_its_own_team_only(team: Team, alice: User, charlie: User, as_user: SignIn) -> None:
    row = keep(team, alice, **GPU)
    other = charlie.teams.get()
    client = as_user(charlie)
    assert client.get(reverse("price-change", args=[other.code, row.code])).status_code == 404
    assert client.post(reverse("price-remove", args=[other.code, row.code])).status_code == 404
    assert client.get(reverse("price-add", args=[other.code, "water"])).status_code == 404
    assert Price.objects.exists()


# --- API --------------------------------------------------------------------------------------------------------------


def test_prices_through_the_api(team: Team, alice: User) -> None:
    token = make_token(name="laptop", scope="write", created_by=alice, user=alice, team=None, days=1)[1]
    client = Client(headers={"Authorization": f"Bearer {token}"})
    address = f"/api/v1/teams/{team.code}/prices"

    def send(method: str, path: str, body: Any) -> Any:
        return getattr(client, method)(path, json.dumps(body), content_type="application/json")

    made = send("post", address, TOKENS)
    assert made.status_code == 201
    row = made.json()
    assert (row["table"], row["updated_by"], row["cached"]) == ("the table of Marsh lab", "Alice", 0.3)
    assert send("post", address, TOKENS).status_code == 409
    refused = send("post", address, TOKENS | {"per_hour": 2})
    assert refused.status_code == 422
    changed = send("put", f"{address}/{row['code']}", TOKENS | {"output": 8})
    assert (changed.status_code, changed.json()["output"]) == (200, 8)
    listed = client.get(address).json()["items"]
    assert listed[0]["code"] == row["code"] and {each["code"] for each in listed[1:]} == {None}
    assert not [each for each in listed[1:] if each["name"] == "lab-model"]
    assert next(each for each in listed if each["name"] == "T4 16GB")["per_hour"] == 0.36
    assert client.delete(f"{address}/{row['code']}").status_code == 204
    assert client.delete(f"{address}/{row['code']}").status_code == 404
    assert date.fromisoformat(row["as_of"]) == date(2026, 10, 2)


def test_a_service_account_may_read_but_not_change(team: Team, alice: User) -> None:
    token = make_token(name="nightly", scope="write", created_by=alice, user=None, team=team, days=1)[1]
    client = Client(headers={"Authorization": f"Bearer {token}"})
    address = f"/api/v1/teams/{team.code}/prices"
    assert client.get(address).status_code == 200
    answer = client.post(address, json.dumps(TOKENS), content_type="application/json")
    assert answer.status_code == 403 and "owner" in answer.json()["detail"]
