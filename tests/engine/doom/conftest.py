from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.doom import DoomScene, GameMap, Recipe, collect_scenes
from engine.doom.game import Game

MAP01, E1M1 = GameMap("freedoom2", "MAP01"), GameMap("freedoom1", "E1M1")


@pytest.fixture(scope="session")
def scenes() -> list[DoomScene]:
    """Two scenes of an indoor map and two of one with much sky."""
    pytest.importorskip("vizdoom")
    return list(collect_scenes([MAP01, E1M1], Recipe(scenes=2, stands=2, headings=8), processes=2))


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Game]]:
    """Starts games in this process, in an empty folder."""
    pytest.importorskip("vizdoom")
    monkeypatch.chdir(tmp_path)
    games: list[Game] = []

    def start(game_map: GameMap = MAP01, **recipe: object) -> Game:
        games.append(Game(game_map, Recipe(**recipe)))  # type: ignore[arg-type]
        return games[-1]

    yield start
    for game in games:
        game.close()
