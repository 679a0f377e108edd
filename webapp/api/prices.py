"""Operations on a team's price table. Everybody in the team reads it; owners change it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest
from ninja import Router, Schema, Status
from pydantic import ConfigDict, Field

from engine.cost import GpuPrice, TokenPrice
from webapp.accounts.models import Team
from webapp.api.auth import reach_team, token_of
from webapp.api.errors import Problem
from webapp.api.schemas import EXAMPLE_CODE, Listing
from webapp.prices import table
from webapp.prices.models import Price
from webapp.prices.table import PriceRow

router = Router(tags=["prices"])


class PriceIn(PriceRow):
    """Amounts in ``currency``, of which one unit is ``dollars`` US$."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"kind": "tokens", "name": "lab-model", "input": 2.5, "output": 10, "as_of": "2026-10-01",
                 "source": "our contract"}
            ]
        },
    )  # fmt: skip


class PriceOut(Schema):
    code: UUID | None = Field(description="Null for a row of the installation's table.", examples=[EXAMPLE_CODE])
    kind: str = Field(examples=["tokens"])
    name: str
    input: float | None
    output: float | None
    cached: float | None
    per_hour: float | None
    currency: str = Field(examples=["USD"])
    dollars: float = Field(description="US$ for one unit of the currency.")
    as_of: date
    source: str
    table: str = Field(description="Where it is from, in words.", examples=["the table of Marsh lab"])
    updated_by: str | None = Field(description="Null for a service account, or a row that is not the team's.")
    updated_at: datetime | None


@router.get("/teams/{uuid:team}/prices", response=Listing[PriceOut], operation_id="list_prices")
def list_prices(request: HttpRequest, team: UUID) -> dict[str, Any]:
    """What the team's experiments are priced with: its own rows, and the installation's where it has none."""
    found, _ = reach_team(request, team)
    rows = table.rows_of(found)
    inherited = table.inherited(found, rows)
    return {
        "items": [*(_own(row, found) for row in rows), *(_inherited(name, price) for name, price in inherited)],
        "next_cursor": None,
    }


@router.post("/teams/{uuid:team}/prices", response={201: PriceOut}, operation_id="add_price")
def add_price(request: HttpRequest, team: UUID, body: PriceIn) -> Status[dict[str, Any]]:
    """Give the team a price of its own. Owners only."""
    found, _ = reach_team(request, team, manage=True)
    return Status(201, _own(_kept(lambda: table.add(team=found, row=body, **_by(request))), found))


@router.put("/teams/{uuid:team}/prices/{uuid:price}", response=PriceOut, operation_id="change_price")
def change_price(request: HttpRequest, team: UUID, price: UUID, body: PriceIn) -> dict[str, Any]:
    """Replace a row of the team's own. Owners only; who changed what is kept."""
    found, _ = reach_team(request, team, manage=True)
    row = _find(found, price)
    return _own(_kept(lambda: table.change(price=row, row=body, **_by(request))), found)


@router.delete("/teams/{uuid:team}/prices/{uuid:price}", response={204: None}, operation_id="remove_price")
def remove_price(request: HttpRequest, team: UUID, price: UUID) -> Status[None]:
    """Remove a row of the team's own; the installation's table holds again. Owners only."""
    found, _ = reach_team(request, team, manage=True)
    table.remove(price=_find(found, price), **_by(request))
    return Status(204, None)


def _by(request: HttpRequest) -> dict[str, Any]:
    return {"by": token_of(request).user, "by_name": token_of(request).actor}


def _kept(write: Any) -> Price:
    try:
        made: Price = write()
    except table.Refused as error:
        raise Problem(409, str(error)) from None
    return made


def _find(team: Team, code: UUID) -> Price:
    row = table.find(team, code)
    if row is None:
        raise Http404("no such price")
    return row


def _own(row: Price, team: Team) -> dict[str, Any]:
    names = (*PriceRow.model_fields, "code", "updated_at")
    by = row.updated_by.name if row.updated_by else None
    return {name: getattr(row, name) for name in names} | {"table": table.title_of(team), "updated_by": by}


def _inherited(name: str, price: TokenPrice | GpuPrice) -> dict[str, Any]:
    amounts: dict[str, Any] = {"input": None, "output": None, "cached": None, "per_hour": None}
    if isinstance(price, TokenPrice):
        amounts |= {"kind": "tokens", "input": price.input, "output": price.output, "cached": price.cached}
    else:
        amounts |= {"kind": "gpu", "per_hour": price.per_hour}
    common = {"as_of": price.as_of, "source": price.source, "table": price.table, "currency": "USD", "dollars": 1.0}
    return amounts | common | {"name": name, "code": None, "updated_by": None, "updated_at": None}
