from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from engine.cost import TABLE_1, GpuPrice, PriceError, gpu_dollars, load_prices, relative_dollars, token_dollars


def test_table_1_of_the_paper() -> None:
    assert [round(row.dollars, 1) for row in TABLE_1] == [10.8, 39.0, 51.0]
    assert [round(ratio, 1) for ratio in relative_dollars(TABLE_1)] == [1.0, 3.6, 4.7]
    assert max(TABLE_1, key=lambda row: row.solved).model == min(TABLE_1, key=lambda row: row.dollars).model
    assert TABLE_1[0].dollars_per_solved == pytest.approx(10.8 / 88.86)


def test_every_shipped_price_is_dated_and_names_its_source() -> None:
    prices = load_prices()
    assert prices.models and prices.gpus
    for entry in [*prices.models.values(), *prices.gpus.values()]:
        assert date.fromisoformat(entry.as_of) and entry.source
    for model in prices.models.values():
        assert 0 < model.input <= model.output


def test_dollars_by_hand() -> None:
    price = load_prices().models["claude-3-5-sonnet"]
    assert token_dollars(price, 1000, 200, 10) == pytest.approx(10 * (0.003 + 0.003))
    assert token_dollars(price, 1000, 200, 10, "once") == pytest.approx(0.003 + 10 * 0.003)
    assert gpu_dollars(1800, GpuPrice(2.0, "2026-01-01", "test"), gpus=4) == pytest.approx(4.0)


def test_a_team_lays_its_own_prices_over_the_table(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[models."gpt-4o-mini"]\ninput = 1\noutput = 2.5\nas_of = 2026-10-01\nsource = "our contract"\n')
    prices = load_prices(own)
    assert (prices.models["gpt-4o-mini"].input, prices.models["gpt-4o-mini"].as_of) == (1.0, "2026-10-01")
    assert prices.models.keys() == load_prices().models.keys() and prices.gpus == load_prices().gpus


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[models", "not TOML"),
        ("models = 3", "each entry"),
        ('[models."a"]\noutput = 1\nas_of = 2026-10-01\nsource = "x"', r"models\.a needs input"),
        ('[models."a"]\ninput = -1\noutput = 1\nas_of = 2026-10-01\nsource = "x"', "0 or more"),
        ('[models."a"]\ninput = nan\noutput = 1\nas_of = 2026-10-01\nsource = "x"', "0 or more"),
        ('[gpus."a"]\nper_hour = 1\nas_of = "soon"\nsource = "x"', "as_of"),
        ('[gpus."a"]\nper_hour = 1\nas_of = 2026-10-01', "source"),
    ],
)
def test_it_says_what_is_wrong_with_a_table(tmp_path: Path, text: str, complaint: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(text)
    with pytest.raises(PriceError, match=complaint):
        load_prices(own)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PriceError, match="cannot be read"):
        load_prices(tmp_path / "none.toml")
