"""What the engine's steps say about its speed and memory, as metrics about once a second. No Django here."""

from __future__ import annotations

import time

from engine.sampling import StepStats
from jobs.kinds.base import Context

TOKENS_PER_SECOND = "tokens_per_second"
_GAUGES = ("batch", "kv_tokens", "path_tokens", "kv_budget")  # fields of StepStats
ENGINE_METRICS = (TOKENS_PER_SECOND, *_GAUGES)
_REPORT_SECONDS = 1.0


class Speedometer:
    """Adds up steps and reports their means over time. Each value is additive over workers: a page shows the sum, and
    the quotient of two sums for the memory in use (kv_tokens / kv_budget) and the gain of sharing
    (path_tokens / kv_tokens)."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reported = self._stepped = time.monotonic()
        self._sums = self._nothing()

    @staticmethod
    def _nothing() -> dict[str, float]:
        return dict.fromkeys(ENGINE_METRICS, 0.0)

    def step(self, stats: StepStats) -> None:
        """Count a step that has just ended."""
        self._context.alive()
        now = time.monotonic()
        seconds, self._stepped = now - self._stepped, now
        self._sums[TOKENS_PER_SECOND] += stats.new_tokens
        for name in _GAUGES:
            self._sums[name] += getattr(stats, name) * seconds
        if now - self._reported >= _REPORT_SECONDS:
            self.report()

    def report(self) -> None:
        """Report the steps since the last report; call it once more at the end."""
        seconds = self._stepped - self._reported
        if seconds > 0:
            self._context.metrics({name: total / seconds for name, total in self._sums.items()}, seconds)
        self._reported, self._sums = self._stepped, self._nothing()
