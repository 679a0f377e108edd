"""What experiments cost: prices found by name, lines of the cost axes, the panel, small models against big ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from engine.cost import ModelSize, decode_flops, prompt_flops
from engine.models import ModelShape
from jobs.models import Experiment, Shard, ShardStatus, Status, Worker
from tests.webapp.test_compare import address, series, set_counts, words
from webapp.accounts.models import Team, User
from webapp.checks import check_prices
from webapp.experiments.sampling.amounts import write_dollars, write_flops, write_seconds
from webapp.experiments.sampling.costs import costs_of
from webapp.experiments.sampling.measured import Measured
from webapp.prices.lookup import gpu_price, token_price
from webapp.prices.table import installation_prices

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]
SHAPE = ModelShape(1_000_000, 4, 8, 8, 16, 128, 1000, 512)
OWN = """
[models."lab-model"]
input = 2.0
output = 8.0
as_of = 2026-10-01
source = "a contract"
[gpus."T4 16GB"]
per_hour = 0.36
as_of = 2026-10-01
source = "a bill"
"""


@pytest.fixture
def own_prices(tmp_path: Path, settings: Any) -> Path:
    settings.PRICES_FILE = tmp_path / "prices.toml"
    settings.PRICES_FILE.write_text(OWN)
    return settings.PRICES_FILE


def measured(**known: Any) -> Measured:
    nothing = {"model": "", "shape": None, "prompt_tokens": None, "output_tokens": None, "worker_seconds": None}
    return Measured(**(nothing | {"device": ""} | known))


@pytest.mark.parametrize(
    ("name", "found"),
    [("lab-model", True), ("org/Lab-Model", True), ("openai:lab-model@lab", True), ("openai:org/lab-model@a@b", False),
     ("lab-model-2", False), ("openai:lab-model", False), ("", False)],
)  # fmt: skip
def test_token_prices_are_found_by_name(name: str, found: bool, own_prices: Path) -> None:
    assert (token_price(name, installation_prices()) is not None) == found


@pytest.mark.parametrize(
    ("device", "count", "per_hour"),
    [("Tesla T4 16GB", 1, 0.36), ("4 x Tesla T4 16GB", 4, 0.36), ("NVIDIA A100-SXM4-80GB", 1, 1.89),
     ("NVIDIA A100-SXM4-40GB", 1, None), ("CPU, 2 cores", 1, None), ("", 1, None)],
)  # fmt: skip
def test_gpu_prices_fit_by_model_and_memory(device: str, count: int, per_hour: float | None, own_prices: Path) -> None:
    found_count, price = gpu_price(device, installation_prices())
    assert (found_count, price and price.per_hour) == (count, per_hour)


def test_an_edited_price_counts_at_once(own_prices: Path) -> None:
    before = token_price("lab-model", installation_prices())
    assert before is not None and before.input == 2
    own_prices.write_text(OWN.replace("input = 2.0", "input = 3.5"))
    after = token_price("lab-model", installation_prices())
    assert after is not None and after.input == 3.5


def test_a_broken_table_is_said_and_the_shipped_one_used(own_prices: Path) -> None:
    assert check_prices(None) == []
    own_prices.write_text(OWN.replace("output = 8.0", "output = -8.0"))
    (error,) = check_prices(None)
    assert error.id == "canopy.E008" and "lab-model" in error.msg
    assert token_price("gpt-4o-mini", installation_prices()) is not None
    assert token_price("lab-model", installation_prices()) is None


def test_lines_are_the_papers_formula() -> None:
    costs = costs_of(measured(shape=SHAPE, prompt_tokens=100, output_tokens=20), installation_prices())
    size = ModelSize(SHAPE.n_params, SHAPE.layers, SHAPE.hidden_size)
    once, each = costs.lines["flops_once"], costs.lines["flops_each"]
    assert (once.fixed, once.per_sample) == (float(prompt_flops(size, 100)), float(decode_flops(size, 100, 20)))
    assert (each.fixed, each.per_sample) == (0, once.fixed + once.per_sample)
    # By hand: 2 (10^6 + 2 * 4 * 128 * t) summed over the tokens t = 101..120 of an answer.
    assert once.per_sample == sum(2 * (1_000_000 + 2 * 4 * 128 * t) for t in range(101, 121))
    assert set(costs.why) == {"gpu", "dollars"}


def test_dollars_come_from_tokens_or_from_hours(own_prices: Path) -> None:
    by_token = costs_of(
        measured(model="lab-model", prompt_tokens=1000, output_tokens=500, worker_seconds=2), installation_prices()
    ).lines
    assert (by_token["dollars_once"].fixed, by_token["dollars_once"].per_sample) == pytest.approx((0.002, 0.004))
    assert by_token["dollars_each"].per_sample == pytest.approx(0.006)
    by_hour = costs_of(measured(worker_seconds=2, device="2 x Tesla T4 16GB"), installation_prices()).lines
    assert by_hour["dollars_once"].per_sample == pytest.approx(2 * 2 / 3600 * 0.36)
    unknown = costs_of(measured(worker_seconds=2, device="CPU, 2 cores"), installation_prices())
    assert "dollars_once" not in unknown.lines
    assert unknown.why["dollars"] == "no hourly price for CPU, 2 cores"


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [(write_dollars, 0.0000123, "$0.0000123"), (write_dollars, 1234.5, "$1,234"), (write_dollars, 0.5, "$0.5"),
     (write_dollars, 0, "$0"), (write_dollars, 1e-9, "$0.000000001"), (write_seconds, 0.012, "12 ms"),
     (write_seconds, 90, "90 s"), (write_seconds, 1800, "30 min"), (write_seconds, 36_000, "10 h"),
     (write_flops, 3.14e15, "3.14 P"), (write_flops, 12, "12")],
)  # fmt: skip
def test_amounts_are_readable(write: Callable[[float], str], value: float, text: str) -> None:
    assert write(value) == text


@pytest.fixture
def timed_pair(make_experiment: Make, own_prices: Path) -> list[Experiment]:
    """Small, 1 s a sample, and large, 10 s a sample, on the same priced GPU."""
    Worker.objects.create(name="w", queue="gpu", host="h", device="Tesla T4 16GB", pid=1)
    made = []
    for name, seconds, counts in (
        ("Small", 1, [(8, 0), (8, 1), (8, 2), (8, 8)]),
        ("Large", 10, [(8, 0), (8, 8), (8, 0), (8, 8)]),
    ):
        experiment = make_experiment(name=name, problems=4, status=Status.FINISHED, spec={"samples": 8}, last_seq=1)
        set_counts(experiment, counts)
        begin = timezone.now() - timedelta(hours=1)
        Shard.objects.create(
            experiment=experiment, stage="generate", stage_index=0, index=0, queue="gpu", status=ShardStatus.DONE,
            done=32, total=32, worker="w", started_at=begin, finished_at=begin + timedelta(seconds=32 * seconds),
        )  # fmt: skip
        made.append(experiment)
    return made


def test_small_and_often_against_big_and_once(
    as_user: SignIn, team: Team, vera: User, timed_pair: list[Experiment]
) -> None:
    page = as_user(vera).get(address(team, *timed_pair[::-1])).content.decode()
    text = words(page)
    # Large solves 2 of 4 with one sample. Small: (0 + 1/8 + 1/4 + 1) / 4 at one; (0 + 4/8 + 11/14 + 1) / 4 at four, the
    # first k with at least 1/2: at three it is (3/8 + 9/14 + 1) / 4 = 0.504.
    assert "With 3 samples Small reaches what Large solves with one" in text
    assert re.search(r"GPU time 3 s 10 s 0.3 ×", text)
    assert re.search(r"US\$ \$0.0003 \$0.001 0.3 ×", text)
    turned = address(team, *timed_pair, small=str(timed_pair[1].code), big=str(timed_pair[0].code))
    assert "With one sample Large reaches" in words(as_user(vera).get(turned).content.decode())


def test_costs_and_frontier_for_the_figure(
    as_user: SignIn, team: Team, vera: User, timed_pair: list[Experiment], make_experiment: Make
) -> None:
    data = series(as_user(vera).get(address(team, *timed_pair)).content.decode())
    assert data["runs"][0]["cost"]["gpu"] == [0, 1]
    frontier = data["frontiers"]["gpu"]
    assert frontier["x"] == sorted(frontier["x"]) and frontier["y"] == sorted(frontier["y"])
    other = make_experiment(name="Others", problems=9, n=8, c=1, status=Status.FINISHED)
    mixed = series(as_user(vera).get(address(team, *timed_pair, other)).content.decode())
    assert mixed["frontiers"] == {}, "costs of different problems are not compared"
    assert mixed["runs"][2]["cost"]["why"]["gpu"] == "no worker's time was measured"


def test_the_cost_panel(as_user: SignIn, vera: User, timed_pair: list[Experiment]) -> None:
    page = as_user(vera).get(reverse("experiment-tab", args=[timed_pair[0].code, "analysis"])).content.decode()
    text = words(page)
    assert re.search(r"GPU time Tesla T4 16GB 1 s 32 s 10.7 s", text)  # 3 of 4 solved
    assert re.search(r"US\$ \$0.0001 \$0.0032 \$0.00107", text)
    assert "a bill, 2026-10-01" in text


def test_a_hosted_models_own_count(make_experiment: Make, as_user: SignIn, vera: User, own_prices: Path) -> None:
    experiment = make_experiment(n=10, c=5, spec={"model": "openai:lab-model@lab"}, status=Status.FINISHED)
    experiment.problems.update(drawn=10, tokens=1000, prompt_tokens=500)
    page = as_user(vera).get(reverse("experiment-tab", args=[experiment.code, "analysis"])).content.decode()
    # 3 problems: 1,500 tokens read at $2 and 3,000 written at $8 a million.
    assert re.search(r"tokens as the service counted them \$0.0009 \$0.027 \$0.009", words(page))
    assert "Worker time: a hosted model's service does not tell it." in words(page)
