"""One generate() call: grow -> decode -> admit -> read -> finish, step after step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.models.model import Model
from engine.sampling.runner import Output, Runner, Start
from engine.sampling.sampler import sample_key
from engine.sampling.scheduler import Limits, Scheduler, Seat
from engine.sampling.stopper import Stopper, completes_stop
from engine.sampling.types import Finish, Request, Sample, SamplingParams, StepStats


@dataclass(slots=True, eq=False)
class _Drawing:
    """A sample being drawn."""

    seat: Seat
    key: int
    begin: int  # step of its first token
    stopper: Stopper
    fed: int = 0  # tokens the stopper has seen

    def start(self) -> Start:
        seat, request = self.seat, self.seat.request
        return Start(seat.row, request.problem, self.key, seat.limit, alone=len(request.indices) == 1)


@dataclass(slots=True)
class _Flight:
    """A step whose tokens have not been read. `drawings` is by row; None where nothing was drawn that counts."""

    step: int
    output: Output
    drawings: list[_Drawing | None]
    counted: NDArray[np.bool_]
    last: NDArray[np.bool_]  # rows that reached their limit


class Run:
    """State of one call. The runner and the root in it belong to the engine.

    A row draws in every step from a sample's first token to its last, so the tokens of a step are kept as they
    come, one line a step, and a sample is a stretch of one column: no work per sample per step.
    """

    def __init__(
        self,
        model: Model,
        runner: Runner,
        requests: Sequence[Request],
        params: SamplingParams,
        limits: Limits,
        solved: Callable[[], Mapping[int, int]],
    ) -> None:
        self._model, self._runner, self._params, self._solved = model, runner, params, solved
        self.scheduler = Scheduler(requests, limits)
        self._known: dict[int, int] = {}  # what solved() said last
        self._limits = limits
        self._drawings: list[_Drawing | None] = [None] * limits.batch
        self._flights: deque[_Flight] = deque()
        self._step = 0
        self._depth = limits.sample_tokens + runner.lag + 1
        self._tokens = np.zeros((self._depth, limits.batch), np.int32)
        self._logprobs = np.zeros((self._depth, limits.batch), np.float32)
        self._certainties = np.zeros((self._depth, limits.batch), np.float32)
        self._prefixes = np.zeros(limits.batch, np.int64)  # tokens before each row's own; 0 for a free row
        self._node_tokens: dict[int, int] = {}  # by open problem
        self._ends = np.zeros(model.shape.vocabulary, np.bool_)
        self._ends[list(model.eos_ids)] = True
        self._candidates = self._ends | completes_stop(model.tokenizer, params.stop, model.shape.vocabulary)
        self._prefilled = 0

    @property
    def done(self) -> bool:
        return self.scheduler.done and not self._flights

    def step(self) -> tuple[list[Sample], StepStats]:
        """One token for every running sample, first tokens for new ones; returns the samples that ended.

        They may have ended with the step before: a step is queued before the last one's tokens are read.
        """
        self._stop_solved()
        leaving = self._decode()
        started = self._admit()
        leaving += [seat for seat in started if seat.limit == 1]
        new, batch, finished = 0, self.scheduler.running, []
        if batch:
            self._take_off(leaving)
        while self._flights and (len(self._flights) > self._runner.lag or not batch or self._has_needless_gaps()):
            tokens, samples = self._land(self._flights.popleft())
            new += tokens
            finished += samples
        if self._has_needless_gaps():
            self._close_gaps()
        return finished, self._stats(new, batch)

    # -- one token for all

    def _decode(self) -> list[Seat]:
        """Queue a step; returns the seats for which it is the last."""
        for seat in self.scheduler.grow():
            self._discard(seat)
        self._close_nodes()
        rows = self.scheduler.rows
        if not rows:
            return []
        self._runner.decode(self.scheduler.drawn[:rows].copy())
        return self.scheduler.advance()

    def _admit(self) -> list[Seat]:
        seats = self.scheduler.admit()
        self._close_nodes()
        if not seats:
            return []
        prompts = {seat.request.problem: seat.request.prompt for seat in seats if seat.opens}
        self._runner.open(prompts)
        self._node_tokens |= {problem: len(prompt) for problem, prompt in prompts.items()}
        self._prefilled += sum(len(prompt) for prompt in prompts.values())
        drawings = [self._begin(seat) for seat in seats]
        self._runner.start([drawing.start() for drawing in drawings])
        return seats

    def _begin(self, seat: Seat) -> _Drawing:
        key = sample_key(self._params.seed, seat.request.problem, seat.index)
        stopper = Stopper(self._model.tokenizer.backend_tokenizer, self._params.stop)
        drawing = self._drawings[seat.row] = _Drawing(seat, key, self._step, stopper)
        self._prefixes[seat.row] = self._limits.root_tokens + len(seat.request.prompt)
        return drawing

    def _take_off(self, leaving: Sequence[Seat]) -> None:
        rows = self.scheduler.rows
        last = np.zeros(rows, np.bool_)
        last[[seat.row for seat in leaving]] = True
        counted = self.scheduler.drawn[:rows] > 0
        output = self._runner.collect(rows)
        self._flights.append(_Flight(self._step, output, self._drawings[:rows], counted, last))
        self._step += 1
        # A sample whose last token is on its way leaves its row at once.
        for seat in leaving:
            self.scheduler.finish(seat, seat.limit)
            self._leave(seat)
        self._close_nodes()

    # -- reading

    def _land(self, flight: _Flight) -> tuple[int, list[Sample]]:
        """Read a step's tokens: (how many count, samples that ended with it)."""
        tokens, logprobs, certainties = flight.output.read()
        rows, line = len(tokens), flight.step % self._depth
        self._tokens[line, :rows], self._logprobs[line, :rows] = tokens, logprobs
        self._certainties[line, :rows] = certainties
        # Ids beyond the tokenizer end nothing.
        ending = flight.counted & (flight.last | self._candidates[tokens * flight.counted])
        samples = []
        for row in np.flatnonzero(ending).tolist():
            drawing = flight.drawings[row]
            assert drawing is not None
            sample = self._end(drawing, row, flight.step, last=bool(flight.last[row]))
            if sample is not None:
                samples.append(sample)
                self._release(drawing, len(sample.token_ids))
        self._close_nodes()
        return int(flight.counted.sum()), samples

    def _end(self, drawing: _Drawing, row: int, step: int, *, last: bool) -> Sample | None:
        """The sample, if it ends with this step."""
        lines = np.arange(drawing.begin, step + 1) % self._depth
        tokens = self._tokens[lines, row].tolist()
        ended = self._ending(drawing, tokens, last=last)
        if ended is None:
            return None
        text, finish = ended
        request = drawing.seat.request
        return Sample(
            problem=request.problem,
            index=drawing.seat.index,
            text=text,
            token_ids=tuple(tokens),
            logprob=float(self._logprobs[lines, row].sum(dtype=np.float64)),
            self_certainty=float(self._certainties[lines, row].mean(dtype=np.float64)),
            finish=finish,
            seed=drawing.key,
        )

    def _ending(self, drawing: _Drawing, tokens: list[int], *, last: bool) -> tuple[str, Finish] | None:
        """(text, reason) when the sample ends with its last token here."""
        if self._ends[tokens[-1]]:
            return self._text(tokens), "eos"
        for token in tokens[drawing.fed :] if self._params.stop else ():
            before_stop = drawing.stopper.feed(token)
            if before_stop is not None:
                return before_stop, "stop"
        drawing.fed = len(tokens)
        return (self._text(tokens), "length") if last else None

    def _text(self, tokens: list[int]) -> str:
        return str(self._model.tokenizer.backend_tokenizer.decode(tokens, skip_special_tokens=True))

    def _release(self, drawing: _Drawing, tokens: int) -> None:
        """The sample ended; what is still to be read of it does not count."""
        seat = drawing.seat
        self._ignore(drawing)
        if self.scheduler.seats[seat.row] is seat:
            self.scheduler.finish(seat, tokens)
            self._leave(seat)

    def _ignore(self, drawing: _Drawing) -> None:
        row = drawing.seat.row
        for flight in self._flights:
            if row < len(flight.drawings) and flight.drawings[row] is drawing:
                flight.counted[row] = False

    # -- leaving

    def _discard(self, seat: Seat) -> None:
        """The scheduler has dropped the sample before its end."""
        drawing = self._drawings[seat.row]
        assert drawing is not None
        self._ignore(drawing)
        self._leave(seat)

    def _leave(self, seat: Seat) -> None:
        """The scheduler has freed the seat's row."""
        self._runner.leave(seat.row)
        drawing, self._drawings[seat.row] = self._drawings[seat.row], None
        self._prefixes[seat.row] = 0
        assert drawing is not None and drawing.seat is seat

    def _close_nodes(self) -> None:
        for problem in self.scheduler.closed:
            del self._node_tokens[problem]
            self._runner.close(problem)
        self.scheduler.closed.clear()

    def _stop_solved(self) -> None:
        solved = self._solved()
        if solved == self._known:
            return
        for problem, sample in solved.items() - self._known.items():
            if self.scheduler.is_unfinished(problem):
                for seat in self.scheduler.solve(problem, sample):
                    self._discard(seat)
        self._close_nodes()
        self._known = dict(solved)

    def _has_needless_gaps(self) -> bool:
        """Whether moving samples into free rows below them makes a step smaller."""
        scheduler, runner = self.scheduler, self._runner
        if runner.dense:
            return scheduler.running < scheduler.rows
        # Waiting samples fill the gaps.
        return not scheduler.waiting and runner.bucket(scheduler.running) < runner.bucket(scheduler.rows)

    def _close_gaps(self) -> None:
        moves = self.scheduler.gaps()
        self._runner.move(moves)
        for source, target in moves:
            self.scheduler.move(source, target)
            self._drawings[target], self._prefixes[target] = self._drawings[source], self._prefixes[source]
            self._drawings[source], self._prefixes[source] = None, 0
            for kept in (self._tokens, self._logprobs, self._certainties):
                kept[:, target] = kept[:, source]

    def _stats(self, new: int, batch: int) -> StepStats:
        prefilled, self._prefilled = self._prefilled, 0
        own = int(np.maximum(self.scheduler.drawn - 1, 0).sum())
        return StepStats(
            new_tokens=new,
            prefill_tokens=prefilled,
            batch=batch,
            kv_tokens=self._limits.root_tokens + sum(self._node_tokens.values()) + own,
            path_tokens=int(self._prefixes.sum()) + own,
            kv_budget=self._limits.kv_tokens,
            waiting=self.scheduler.waiting,
        )
