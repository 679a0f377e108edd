"""What a board holds: its title and tiles on a grid. One form for the database, pages and the API.

A tile covers ``w`` x ``h`` cells of a grid of 12 columns. Tiles never overlap and never hang in the air: ``settled``
moves each up as far as it goes, as the page's script does while somebody drags.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

COLUMNS = 12
LEAST_WIDTH, LEAST_HEIGHT, MOST_HEIGHT = 2, 2, 40
MOST_TILES = 40
MOST_ROWS = MOST_TILES * MOST_HEIGHT  # all tiles below each other


def _plain(text: str) -> str:
    return text.replace("\0", "").strip()


def _some(text: str) -> str:
    if not text:
        raise ValueError("give the board a title of at most 120 characters")
    return text


Title = Annotated[str, StringConstraints(max_length=120), AfterValidator(_plain)]
BoardTitle = Annotated[str, StringConstraints(max_length=120), AfterValidator(_plain), AfterValidator(_some)]


class Placed(BaseModel):
    """Where a tile is. ``id`` names it from version to version."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    x: int = Field(default=0, ge=0, lt=COLUMNS, description="The first of its columns, from 0.")
    y: int = Field(default=0, ge=0, lt=MOST_ROWS, description="The first of its rows, from 0.")
    w: int = Field(default=6, ge=LEAST_WIDTH, le=COLUMNS, description="Columns.")
    h: int = Field(default=9, ge=LEAST_HEIGHT, le=MOST_HEIGHT, description="Rows.")
    title: Title = Field(default="", description="Empty: the tile's own title.")


class TextTile(Placed):
    type: Literal["text"]
    text: str = Field(max_length=10_000, description="Markdown (CommonMark and tables); HTML and images are not shown.")

    @field_validator("text")
    @classmethod
    def _no_nul(cls, text: str) -> str:
        return text.replace("\0", "")


class ExperimentTile(Placed):
    type: Literal["experiment"]
    experiment: UUID
    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$", description="Which of the kind's tiles.", examples=["coverage"])
    view: str = Field(default="", max_length=300, description="What is chosen in it, as a query string.")


class ComparisonTile(Placed):
    type: Literal["comparison"]
    query: str = Field(
        max_length=2000, description="The query of the compare page: e= for each experiment.", examples=["e=5f0c2b5e"]
    )
    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$", description="Which of the comparison's tiles.")
    view: str = Field(default="", max_length=300, description="What is chosen in it, as a query string.")


AnyTile = Annotated[TextTile | ExperimentTile | ComparisonTile, Field(discriminator="type")]


class Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: BoardTitle
    tiles: list[AnyTile] = Field(default_factory=list, max_length=MOST_TILES)

    @field_validator("tiles")
    @classmethod
    def _settle(cls, tiles: list[AnyTile]) -> list[AnyTile]:
        if len({tile.id for tile in tiles}) < len(tiles):
            raise ValueError("two tiles have the same id")
        return settled(tiles)

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def settled(tiles: Sequence[AnyTile]) -> list[AnyTile]:
    """The tiles in reading order, each moved left until it fits the grid and then up until it meets another."""
    floor = [0] * COLUMNS  # the first free row of each column
    placed: list[AnyTile] = []
    for tile in sorted(tiles, key=lambda each: (each.y, each.x)):
        x = min(tile.x, COLUMNS - tile.w)
        y = max(floor[x : x + tile.w])
        floor[x : x + tile.w] = [y + tile.h] * tile.w
        placed.append(tile.model_copy(update={"x": x, "y": y}))
    return sorted(placed, key=lambda each: (each.y, each.x))


def fresh_id(name: str, taken: Sequence[str]) -> str:
    """``coverage``, ``coverage-2`` ..."""
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:30] or "tile"
    number = 1
    while (made := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    return made
