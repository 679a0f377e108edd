"""The runner side of an audit: grades known answers. No Django here."""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine.problems import Problem
from engine.verification import Grader, Settings, Verdict
from engine.verification.audit import ProblemAudit, audit
from jobs.kinds.base import Context

# Its child process stays warm between shards; no verdict is used twice, which would hide flaky ones.
_grader = Grader(cache=0)
_NOTHING = {"wrong_answers": 0, "flaky": False, "reason": "", "seconds": 0.0}


def run(stage: str, job: dict[str, Any], context: Context) -> None:
    """Audit the shard's problems that are still missing, a row for each."""
    assert stage == "audit"
    done = job["done"]
    context.progress(done)
    settings = Settings.of_job(job["settings"])
    for problem in job["problems"]:
        if context.cancelled:
            return
        text = Problem(problem["uid"], problem["question"], problem["answer"], problem["checks"])
        found = list(audit(job["verifier"], [text], settings, job["repeats"], _grader, context.alive))
        context.row({"problem": problem["index"], **_row(found[0] if found else None)})
        done += 1
        context.progress(done)


def _row(found: ProblemAudit | None) -> dict[str, Any]:
    if found is None:
        return {"state": "unknown", "right": {}, "wrong": {}, **_NOTHING}
    wrong = [verdict for verdicts in found.wrong for verdict in verdicts]
    return {
        "state": "audited",
        "right": _counts(found.right),
        "wrong": _counts(wrong),
        "wrong_answers": len(found.wrong),
        "flaky": found.flaky,
        "reason": found.reason,
        "seconds": sum(verdict.seconds for verdict in (*found.right, *wrong)),
    }


def _counts(verdicts: list[Verdict] | tuple[Verdict, ...]) -> dict[str, int]:
    return dict(Counter(verdict.outcome for verdict in verdicts))
