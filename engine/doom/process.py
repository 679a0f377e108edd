"""The parent's side of a game's process: starts it, reads ahead, and ends it whatever happens."""

from __future__ import annotations

import io
import json
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy.typing as npt

from engine.doom.frames import DoomScene, Frame, frame_of, scene_of
from engine.doom.maps import GameMap
from engine.doom.recipe import Recipe
from engine.doom.wire import receive

_QUEUED_BYTES = 96 * 2**20  # that a game may be ahead of whoever reads
_FAREWELL_S = 10
_LOG_BYTES = 2_000  # of the engine's last words, for the message


class GameError(RuntimeError):
    """A game that ended before its map was collected. The message holds the engine's last words."""

    def __init__(self, game_map: GameMap, message: str) -> None:
        super().__init__(f"{game_map}: {message}")
        self.game_map = game_map


class GameProcess:
    """The parent's side of one game's process, read ahead by a thread."""

    def __init__(self, game_map: GameMap, recipe: Recipe, timeout_s: float) -> None:
        self._map, self._recipe = game_map, recipe
        scene_bytes = recipe.views * recipe.width * recipe.height * 5
        self._ready: queue.Queue[DoomScene | GameError | None] = queue.Queue(max(1, _QUEUED_BYTES // scene_bytes))
        self._closed = threading.Event()
        self._folder = tempfile.TemporaryDirectory(prefix="canopy-doom-", ignore_cleanup_errors=True)
        self._log_path = Path(self._folder.name) / "log"
        cwd = Path(self._folder.name) / "empty"  # the engine reads and rewrites settings where it runs
        cwd.mkdir()
        reading, writing = os.pipe()
        task = {"map": [game_map.wad, game_map.name], "recipe": asdict(recipe), "out": writing}
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engine.doom.worker"],
                cwd=cwd,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(cwd), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(writing,),
                start_new_session=True,  # the engine is a child of the child: they end together
            )
        os.close(writing)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stdin:  # it may have died already
            stdin.write(json.dumps(task).encode() + b"\n")
        self._stream = io.BufferedReader(_Watched(reading, timeout_s), 2**20)
        self._thread = threading.Thread(target=self._read, name=f"doom {game_map}", daemon=True)
        self._thread.start()

    def scenes(self) -> Iterator[DoomScene]:
        while (item := self._ready.get()) is not None:
            if isinstance(item, GameError):
                raise item
            yield item
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL_S)  # it ends its engine itself

    def close(self) -> None:
        self._closed.set()
        self._kill()
        self._process.wait()
        self._thread.join()
        self._stream.close()
        self._folder.cleanup()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):  # the group is empty
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self) -> None:
        try:
            for scene in self._messages():
                self._put(scene)
            self._put(None)
        except GameError as error:
            self._put(error)
        except TimeoutError as error:
            self._put(GameError(self._map, f"the game {error}; {self._last_words()}"))
        except Exception as error:  # a message that cannot be read
            self._put(GameError(self._map, f"the game's process sent what cannot be read ({error})"))

    def _put(self, item: DoomScene | GameError | None) -> None:
        while not self._closed.is_set():
            try:
                return self._ready.put(item, timeout=0.2)
            except queue.Full:
                continue
        return None

    def _messages(self) -> Iterator[DoomScene]:
        scene: dict[str, Any] | None = None
        arrays: dict[str, npt.NDArray[Any]] = {}
        frames: list[Frame] = []
        while (message := receive(self._stream)) is not None:
            kind, fields, given = message
            if kind == "end":
                return
            if kind == "scene":
                scene, arrays, frames = fields, given, []
                continue
            frames.append(frame_of(self._map, fields, given))
            if scene is not None and len(frames) == self._recipe.views:
                yield scene_of(self._map, scene, arrays, frames)
        code = self._process.wait()
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        raise GameError(self._map, f"the game {ended}; {self._last_words()}")

    def _last_words(self) -> str:
        text = self._log_path.read_bytes()[-_LOG_BYTES:].decode(errors="replace").strip()
        return f"its last output:\n{text}" if text else "it printed nothing"


class _Watched(io.RawIOBase):
    """The reading end of a pipe that raises TimeoutError when nothing comes for `timeout_s` seconds."""

    def __init__(self, descriptor: int, timeout_s: float) -> None:
        self._descriptor, self._timeout = descriptor, timeout_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not select.select([self._descriptor], [], [], self._timeout)[0]:
            raise TimeoutError(f"said nothing for {self._timeout:g} s")
        return os.readv(self._descriptor, [buffer])

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
