"""Reads and writes price tables: the team's own rows, laid over those of the installation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from engine.cost import GpuPrice, PriceError, Prices, TokenPrice, lay_over, load_prices
from webapp.accounts.models import Team, User
from webapp.prices.models import Price, PriceChange, PriceKind

MOST_ROWS = 500  # of a team
MOST_MONEY = 1e6
CHANGES_SHOWN = 50
FIRST_DATE = date(2015, 1, 1)


class Refused(Exception):
    """The row cannot be kept; the sentence says what to change."""


def _plain(text: str) -> str:
    return text.replace("\0", "").strip()


def _filled(text: str) -> str:
    if not text:
        raise ValueError("write some text here")
    return text


Words = Annotated[str, StringConstraints(max_length=200), AfterValidator(_plain), AfterValidator(_filled)]
Money = Annotated[float, Field(ge=0, le=MOST_MONEY, allow_inf_nan=False)]


class PriceRow(BaseModel):
    """A row as somebody writes it; the one place where it is checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["tokens", "gpu"] = Field(description="Of a model's tokens, or of GPU hours.")
    name: Annotated[Words, StringConstraints(max_length=120)] = Field(
        description="Of the model, as experiments write it or its last part, or of the GPU, such as H100 SXM 80GB."
    )
    input: Money | None = Field(default=None, description="For a million tokens read. Tokens only.")
    output: Money | None = Field(default=None, description="For a million tokens written. Tokens only.")
    cached: Money | None = Field(
        default=None, description="For a million tokens read that the service still had in its cache; null: none told."
    )
    per_hour: Money | None = Field(default=None, description="For an hour of one GPU. GPUs only.")
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] = Field(
        default="USD", description="ISO 4217, such as EUR."
    )
    dollars: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = Field(
        default=1.0, description="US$ for one unit of the currency: every figure of Canopy is in US$."
    )
    as_of: date = Field(description="When the source showed the price.")
    source: Words = Field(description="Who shows the price: a page, a contract, a bill.")

    @field_validator("as_of")
    @classmethod
    def _possible(cls, value: date) -> date:
        if not FIRST_DATE <= value <= timezone.localdate() + timedelta(days=1):  # a day ahead in the east
            raise ValueError(f"write a date from {FIRST_DATE:%Y} to today")
        return value

    @model_validator(mode="after")
    def _complete(self) -> PriceRow:
        tokens = (self.input, self.output, self.cached)
        if self.kind == "tokens" and (self.input is None or self.output is None or self.per_hour is not None):
            raise ValueError("a price of tokens needs input and output, and no price of an hour")
        if self.kind == "gpu" and (self.per_hour is None or any(each is not None for each in tokens)):
            raise ValueError("a price of GPU hours needs per_hour, and no price of tokens")
        if self.currency == "USD" and self.dollars != 1:
            raise ValueError("one US$ is one US$: leave dollars at 1, or name the other currency")
        return self


def spell(row: Price) -> str:
    """``2.5 and 10 USD a million tokens read and written (contract, 2026-10-01)``."""
    if row.kind == PriceKind.GPU:
        amount = f"{row.per_hour:g} {row.currency} an hour"
    else:
        amount = f"{row.input:g} and {row.output:g} {row.currency} a million tokens read and written"
        amount += f", {row.cached:g} from the cache" if row.cached is not None else ""
    rate = "" if row.currency == "USD" else f", 1 {row.currency} = {row.dollars:g} US$"
    return f"{amount}{rate} ({row.source}, {row.as_of})"


# --- writing ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def add(*, team: Team, row: PriceRow, by: User | None, by_name: str = "") -> Price:
    """``by_name``: who did it, where that is no person."""
    Team.objects.select_for_update().get(pk=team.pk)
    if Price.objects.filter(team=team).count() >= MOST_ROWS:
        raise Refused(f"A team has at most {MOST_ROWS} prices. Remove one that nobody needs.")
    made = _save(Price(team=team), row, by)
    _log(made, by, by_name, before="", after=spell(made))
    return made


@transaction.atomic
def change(*, price: Price, row: PriceRow, by: User | None, by_name: str = "") -> Price:
    current = Price.objects.select_for_update().filter(pk=price.pk).first()
    if current is None:
        raise Refused("Somebody removed this price meanwhile.")
    if current.kind != row.kind:
        raise Refused("A price of tokens cannot become one of GPU hours. Add a new one.")
    before = spell(current)
    changed = _save(current, row, by)
    if (after := spell(changed)) != before:
        _log(changed, by, by_name, before=before, after=after)
    return changed


@transaction.atomic
def remove(*, price: Price, by: User | None, by_name: str = "") -> None:
    """The table of the installation holds again."""
    current = Price.objects.select_for_update().filter(pk=price.pk).first()
    if current is not None:
        _log(current, by, by_name, before=spell(current), after="")
        current.delete()


def _save(price: Price, row: PriceRow, by: User | None) -> Price:
    for name, value in row.model_dump().items():
        setattr(price, name, value)
    price.updated_by, price.updated_at = by, timezone.now()
    try:
        with transaction.atomic():
            price.save()
    except IntegrityError:
        raise Refused(f"The team has a price for {row.name} already. Change that one.") from None
    return price


def _log(price: Price, by: User | None, by_name: str, *, before: str, after: str) -> None:
    PriceChange.objects.create(
        team_id=price.team_id, by=by, by_name=by_name or (by.name if by else ""), name=price.name,
        before=before, after=after,
    )  # fmt: skip


# --- reading ----------------------------------------------------------------------------------------------------------


def rows_of(team: Team) -> Sequence[Price]:
    return list(Price.objects.filter(team=team).select_related("updated_by").order_by("kind", "name"))


def changes_of(team: Team) -> Sequence[PriceChange]:
    """The latest first."""
    return list(PriceChange.objects.filter(team=team).order_by("-at", "-pk")[:CHANGES_SHOWN])


def find(team: Team, code: UUID) -> Price | None:
    return Price.objects.filter(team=team, code=code).first()


def title_of(team: Team) -> str:
    return f"the table of {team.name}"


def inherited(team: Team, rows: Sequence[Price]) -> list[tuple[str, TokenPrice | GpuPrice]]:
    """What holds where the team has no row of its own, by name; ``rows``: its own."""
    own = {(row.kind, row.name.lower()) for row in rows}
    prices = installation_prices()
    tokens = [(name, price) for name, price in prices.models.items() if ("tokens", name.lower()) not in own]
    gpus = [(name, price) for name, price in prices.gpus.items() if ("gpu", name.lower()) not in own]
    return [*sorted(tokens, key=lambda each: each[0]), *sorted(gpus, key=lambda each: each[0])]


def prices_of(team: Team) -> Prices:
    """What the team pays: its own rows, and the installation's where it has none. In US$."""
    rows = Price.objects.filter(team=team)
    table = title_of(team)
    own = Prices(
        {row.name: _token_price(row, table) for row in rows if row.kind == PriceKind.TOKENS},
        {row.name: _gpu_price(row, table) for row in rows if row.kind == PriceKind.GPU},
    )
    return lay_over(installation_prices(), own)


def _token_price(row: Price, table: str) -> TokenPrice:
    assert row.input is not None and row.output is not None
    cached = None if row.cached is None else row.cached * row.dollars
    return TokenPrice(
        row.input * row.dollars, row.output * row.dollars, str(row.as_of), _source(row), cached, table
    )  # fmt: skip


def _gpu_price(row: Price, table: str) -> GpuPrice:
    assert row.per_hour is not None
    return GpuPrice(row.per_hour * row.dollars, str(row.as_of), _source(row), table)


def _source(row: Price) -> str:
    return row.source if row.currency == "USD" else f"{row.source}, 1 {row.currency} = {row.dollars:g} US$"


def installation_prices() -> Prices:
    """The shipped table with the operator's own over it; the shipped one alone when theirs is broken (see checks)."""
    own: Path | None = settings.PRICES_FILE
    try:
        return _load(own, own.stat().st_mtime_ns if own else 0)
    except (OSError, PriceError):
        return _load(None, 0)


@lru_cache(maxsize=4)
def _load(own: Path | None, modified: int) -> Prices:
    """``modified`` is part of the cache key only: an edited table counts at once."""
    return load_prices(own)


_MESSAGES = {
    "date": "Write a date such as 2026-01-31.",
    "float": "Write a number.",
    "missing": "Write something here.",
    "string_pattern": "Three capital letters, such as EUR.",
}


def sentences(errors: Sequence[Any]) -> dict[str, str]:
    """pydantic's errors of a PriceRow as sentences by field; "" is the row as a whole."""
    found: dict[str, str] = {}
    for error in errors:
        kind = str(error["type"])
        known = next((text for start, text in _MESSAGES.items() if kind.startswith(start)), None)
        text = known or str(error.get("ctx", {}).get("error") or error["msg"])
        text = re.sub(r"^Input should be", "Must be", text)
        found.setdefault(str(error["loc"][0]) if error["loc"] else "", text[:1].upper() + text[1:].rstrip(".") + ".")
    return found
