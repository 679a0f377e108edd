"""One process for each GPU of a worker, by torch.distributed: gloo on a CPU, NCCL on GPUs. No Django.

The runner itself takes no part: it passes on what the first process says, and when any of them dies it ends the
others, which would wait for it for ever.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed
import torch.multiprocessing

from engine.detection import EpochStats, ModelConfig, NonFiniteLoss, StepStats, TrainConfig, TrainResult, train
from engine.detection.data import Dataset
from jobs.kinds.accelerators import peak_memory

if TYPE_CHECKING:
    from jobs.kinds.detection.train import RunHooks

_POLL_SECONDS = 0.5
_ALIVE_SECONDS = 0.5
_PATIENCE = timedelta(hours=2)  # of the other processes while the first one validates
_PR_SET_PDEATHSIG = 1


def train_in_processes(
    model: ModelConfig,
    config: TrainConfig,
    train_set: Dataset,
    val_set: Dataset,
    *,
    folder: Path,
    processes: int,
    hooks: RunHooks,
) -> TrainResult:
    """`engine.detection.train` in so many processes; ``config.batch_size`` is that of one. Raises what one of them
    raised, and RuntimeError when one dies."""
    context = torch.multiprocessing.get_context("spawn")
    messages: Any = context.Queue()
    stop: Any = context.Event()
    with tempfile.TemporaryDirectory() as meeting:
        arguments = (processes, Path(meeting) / "meeting", os.getpid(), messages, stop)
        work = (asdict(model), asdict(config), train_set, val_set, folder)
        started = [
            context.Process(target=_rank, args=(rank, *arguments, work), daemon=True) for rank in range(processes)
        ]
        for process in started:
            process.start()
        try:
            return _follow(started, messages, stop, hooks)
        finally:
            for process in started:
                process.kill()
            for process in started:
                process.join()


def _follow(started: list[Any], messages: Any, stop: Any, hooks: RunHooks) -> TrainResult:
    while True:
        try:
            kind, value = messages.get(timeout=_POLL_SECONDS)
        except Empty:
            dead = next((rank for rank, each in enumerate(started) if each.exitcode not in (None, 0)), None)
            if dead is not None:
                raise RuntimeError(f"process {dead + 1} of {len(started)} that train together died") from None
            continue
        if hooks.cancelled():  # only after a sign of life: what hangs must not look alive
            stop.set()
        match kind:
            case "alive":
                pass
            case "step":
                hooks.step(value)
            case "epoch":
                hooks.epoch(value)
            case "memory":
                hooks.memory = value
            case "result":
                return value  # type: ignore[no-any-return]
            case "not finite":
                raise _NotFinite(*value)
            case _:
                raise value


class _NotFinite(NonFiniteLoss):
    """What another process raised, in its words."""

    def __init__(self, message: str, path: Path) -> None:
        RuntimeError.__init__(self, message)
        self.path = path


class _Speaker:
    """The hooks of a process: says everything to the runner."""

    def __init__(self, messages: Any, stop: Any) -> None:
        self._messages, self._stop = messages, stop
        self._said_alive = 0.0

    def step(self, stats: StepStats) -> None:
        self._messages.put(("step", stats))

    def epoch(self, stats: EpochStats) -> None:
        self._messages.put(("memory", peak_memory()))
        self._messages.put(("epoch", stats))

    def cancelled(self) -> bool:
        if time.monotonic() - self._said_alive > _ALIVE_SECONDS:
            self._said_alive = time.monotonic()
            self._messages.put(("alive", None))
        return bool(self._stop.is_set())


def _rank(
    rank: int, processes: int, meeting: Path, parent: int, messages: Any, stop: Any, work: tuple[Any, ...]
) -> None:
    _die_with(parent)
    model, config, train_set, val_set, folder = work
    is_gpu = torch.cuda.is_available()
    device = torch.device("cuda", rank) if is_gpu else torch.device("cpu")
    try:
        if is_gpu:
            torch.cuda.set_device(device)
        else:
            torch.set_num_threads(1)
        torch.distributed.init_process_group(
            "nccl" if is_gpu else "gloo",
            init_method=f"file://{meeting}",
            rank=rank,
            world_size=processes,
            timeout=_PATIENCE,
        )
        result = train(
            ModelConfig(**model),
            TrainConfig(**config),
            train_set,
            val_set,
            folder=folder,
            device=device,
            hooks=_Speaker(messages, stop),
        )
        if rank == 0:
            messages.put(("result", result))
    except NonFiniteLoss as error:
        messages.put(("not finite", (str(error), error.path)))
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        messages.put(("error", _portable(error)))
    messages.close()
    messages.join_thread()  # what was said is on its way
    # No farewell between the processes: one that failed would keep the others waiting for it.
    os._exit(0)


def _portable(error: Exception) -> Exception:
    """The error as the other process can read it: one that takes more than its message cannot be sent."""
    try:
        type(error)(str(error))
    except TypeError:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return type(error)(str(error))


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
