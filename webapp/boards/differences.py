"""What one version of a board changed, in words."""

from __future__ import annotations

from webapp.boards.content import AnyTile, Content

MOST = 6  # changes that are named one by one


def differences(old: Content, new: Content) -> str:
    """``added Coverage, moved Cost, wrote a text anew``; "no change" for none."""
    before = {tile.id: tile for tile in old.tiles}
    after = {tile.id: tile for tile in new.tiles}
    said = [f"renamed the board from “{old.title}”"] if old.title != new.title else []
    said += [f"added {called(tile)}" for id, tile in after.items() if id not in before]
    said += [f"removed {called(tile)}" for id, tile in before.items() if id not in after]
    for id, tile in after.items():
        if id in before:
            said += _of_tile(before[id], tile)
    said += _order(old, new)
    if len(said) > MOST:
        said = [*said[: MOST - 1], f"{len(said) - MOST + 1} changes more"]
    return ", ".join(said) or "no change"


def _of_tile(old: AnyTile, new: AnyTile) -> list[str]:
    said = []
    name = called(old)
    if old.title != new.title:
        said.append(f"called {name} {called(new)}" if new.title else f"took the title off {name}")
    if (old.w, old.h) != (new.w, new.h):
        said.append(f"resized {name} from {old.w} × {old.h} to {new.w} × {new.h}")
    places = {"id", "x", "y", "w", "h", "title"}
    if old.model_dump(exclude=places) != new.model_dump(exclude=places):
        said.append(f"rewrote {name}" if old.type == new.type == "text" else f"changed what {name} shows")
    return said


def _order(old: Content, new: Content) -> list[str]:
    """Tiles that others pushed aside did not move by themselves: those whose neighbours in reading order differ did."""
    kept = {tile.id for tile in old.tiles} & {tile.id for tile in new.tiles}
    before = [tile for tile in old.tiles if tile.id in kept]
    after = [tile for tile in new.tiles if tile.id in kept]
    columns = {tile.id: tile.x for tile in before}
    stay = _longest_common([tile.id for tile in before], [tile.id for tile in after])
    return [f"moved {called(tile)}" for tile in after if tile.id not in stay or columns[tile.id] != tile.x]


def _longest_common(before: list[str], after: list[str]) -> set[str]:
    """The largest set of tiles whose order is the same in both: the longest rising run of places."""
    place = {id: i for i, id in enumerate(before)}
    best: list[list[str]] = []
    for i, id in enumerate(after):
        runs = [best[j] for j in range(i) if place[after[j]] < place[id]]
        best.append([*_longest(runs), id])
    return set(_longest(best))


def _longest(runs: list[list[str]]) -> list[str]:
    return max(runs, key=lambda run: len(run), default=[])


def called(tile: AnyTile) -> str:
    """How sentences name a tile."""
    if tile.title:
        return f"“{tile.title}”"
    if tile.type == "text":
        first = next((line.strip("# ").strip() for line in tile.text.splitlines() if line.strip("# ").strip()), "")
        return f"the text “{first[:40]}”" if first else "an empty text"
    return tile.name.removeprefix("kpi-").replace("-", " ")
