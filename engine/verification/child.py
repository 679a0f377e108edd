"""The grader's child process: reads a JSON line, grades under limits, writes a JSON line. Ends when its input does.

It runs in the sandbox where there is one. The parent's clock decides; the limits here hold even if the parent is gone:
a hung child then dies by its CPU limit.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
from dataclasses import asdict
from typing import Any

from engine.verification.registry import get_verifier
from engine.verification.types import Bench, Gold, Verdict

# sympy with its parser takes about 0.2 GB.
MEMORY_BYTES = 2 * 2**30


def main() -> None:
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        # Whatever a library prints must not end up among the answers; standard error goes nowhere.
        os.dup2(2, 1)
        import math_verify  # noqa: F401  slow: before "ready", so that it counts against no answer

        _write(answers, {"ready": True})
        for line in sys.stdin:
            item = json.loads(line)
            _allow_cpu(item["seconds"])
            _write(answers, asdict(_grade(item)))


def _grade(item: dict[str, Any]) -> Verdict:
    try:
        return get_verifier(item["verifier"]).grade(item["text"], Gold(item["gold"]), Bench())
    except MemoryError:
        return Verdict("error", reason="The grader ran out of memory.")
    except Exception as error:  # sympy raises anything; none of it says that the answer is wrong
        return Verdict("error", reason=f"{type(error).__name__}: {error}"[:1_000])


def _write(answers: Any, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _limit(kind: int, value: int) -> None:
    """Lower a limit; never above what the operator already set."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _allow_cpu(seconds: float) -> None:
    """From now on so many seconds of CPU time and a little more, then SIGXCPU ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime + seconds) + 1, hard))


if __name__ == "__main__":
    main()
