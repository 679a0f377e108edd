"""Patches against a project's own tests, as in SWE-bench.

``patch`` runs them here: a local git repository at a commit, the model's diff, then the tests' diff, in the sandbox.
``patch-harness`` hands the diff to an SWE-bench harness that the operator installed, which brings its own containers.
Suites can be flaky (34 of SWE-bench Lite's 300 are, Brown et al. 2024, section 4.2), so they may be run several times
and vote; the paper ran them 11 times.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from engine.sandbox.process import python
from engine.sandbox.types import MIB, Limits, Task
from engine.sandbox.view import PROGRAMS, PYTHON
from engine.verification.codestdio import describe_end
from engine.verification.extraction import fenced_block
from engine.verification.inside import suite
from engine.verification.types import Bench, Gold, Unfit, Verdict, needed

_SECONDS = 300.0  # a suite, unless the experiment allows more
_MEMORY_MB = 2048
_DISK = 1024 * MIB
_PROCESSES = 64
_TICK = 0.5
_HARNESS_SECONDS = 3_600.0
# The sandbox's user owns neither the repository nor its commits.
_GIT_CONFIGURATION = (
    b"[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n[user]\n\tname = x\n\temail = x@localhost\n"
)
_PYTEST, _UNITTEST = "{python} -m pytest -q -rA -p no:cacheprovider {tests}", "{python} -m unittest -b -v {tests}"


class PatchVerifier:
    name = "patch"
    title = "Patch, project's tests (SWE-bench style)"
    help = "Applies the diff to a local repository at the problem's commit and runs its tests in the sandbox."
    requires = ("repo",)
    isolated = False

    def essence(self, text: str) -> None:
        return None  # flaky suites are voted on, not remembered

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        patch = diff(text)
        repository, environment = _places(needed(gold, "repo"), bench.settings.repositories)
        if not patch.strip():
            return Verdict("wrong", reason="There is no diff in the text.")
        task = _task(patch, gold.checks, repository, environment, bench)
        votes: list[Verdict] = []
        for _ in range(bench.settings.repeats):
            votes.append(_run(task, bench))
            if votes[-1].outcome == "error":
                return votes[-1]
        return vote(votes)


class HarnessVerifier:
    name = "patch-harness"
    title = "Patch, SWE-bench harness"
    help = "Hands the diff to the operator's SWE-bench harness, which runs the tests in its own containers."
    requires = ("instance_id",)
    isolated = False

    def essence(self, text: str) -> None:
        return None

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        instance = needed(gold, "instance_id")
        if not bench.settings.harness:
            raise Unfit("No SWE-bench harness is set up: the operator sets CANOPY_SWE_HARNESS.")
        patch = diff(text)
        if not patch.strip():
            return Verdict("wrong", reason="There is no diff in the text.")
        with tempfile.TemporaryDirectory(prefix="canopy-harness-") as name:
            folder = Path(name)
            prediction = {"instance_id": instance, "model_name_or_path": "canopy", "model_patch": patch}
            (folder / "predictions.jsonl").write_text(json.dumps(prediction) + "\n", encoding="utf-8")
            known = {
                "predictions": str(folder / "predictions.jsonl"),
                "instance": instance,
                "folder": name,
                "run": folder.name,
            }
            command = [_fill(part, known) for part in shlex.split(bench.settings.harness)]
            log = folder / "log"
            code = _follow(command, folder, log, bench)
            if code is None:
                return Verdict("timeout", reason=f"The harness was not done after {_HARNESS_SECONDS:g} s.")
            tail = log.read_text(encoding="utf-8", errors="replace")[-150:]
            return _read_reports(folder, instance, f"exit status {code}: {' '.join(tail.split())}")


def diff(text: str) -> str:
    """The diff in a model's text: its first fenced block, or what follows the first line that begins one."""
    block = fenced_block(text, ("diff", "patch"))
    if block is not None:
        return block
    lines = text.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if line.startswith(("diff --git ", "--- "))), None)
    return "" if start is None else "".join(lines[start:])


def vote(verdicts: list[Verdict]) -> Verdict:
    """The majority's verdict; a tie is not correct. Runs that disagree are named, because the suite is flaky then."""
    right = [verdict for verdict in verdicts if verdict.outcome == "correct"]
    rest = [verdict for verdict in verdicts if verdict.outcome != "correct"]
    winners = right if len(right) > len(rest) else rest
    chosen = winners[0]
    if not right or not rest:
        return chosen
    reason = f"Flaky: {len(right)} of {len(verdicts)} runs passed. {rest[0].reason}"
    return Verdict(chosen.outcome, chosen.answer, reason=reason, level=chosen.level)


# --- here, in the sandbox ---------------------------------------------------------------------------------------------


def _places(repo: str, repositories: str) -> tuple[Path, Path | None]:
    """(the repository, its virtual environment or None). Raises Unfit."""
    if shutil.which("git", path=PROGRAMS) is None:
        raise Unfit("git is not installed on this worker: apt-get install git, or use a worker that has it.")
    if not repositories:
        raise Unfit("This worker has no repositories: the operator sets CANOPY_REPOSITORIES.")
    repository = Path(repositories).resolve() / repo.replace("/", "__")
    if not (repository / ".git").exists() and not (repository / "HEAD").exists():
        raise Unfit(f"There is no git repository {repository} on this worker: clone {repo} there.")
    environment = repository.with_name(f"{repository.name}.venv")
    return repository, environment if (environment / "bin" / "python").exists() else None


def _task(patch: str, checks: Any, repository: Path, environment: Path | None, bench: Bench) -> Task:
    tests = [*checks["fail_to_pass"], *checks["pass_to_pass"]]
    default = _PYTEST if any("::" in test for test in tests) else _UNITTEST
    job = {
        "repository": str(repository),
        "commit": checks["base_commit"],
        "patch": patch,
        "test_patch": checks["test_patch"],
        "tests": tests,
        "command": checks.get("test_command") or default,
        "python": str(environment / "bin" / "python") if environment else PYTHON,
    }
    return Task(
        python("-c", _source()),
        payload=json.dumps(job).encode(),
        files={".gitconfig": _GIT_CONFIGURATION},
        read=(repository, *([environment] if environment else [])),
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        limits=Limits(
            seconds=max(_SECONDS, bench.settings.seconds),
            memory=max(_MEMORY_MB, bench.settings.memory_mb) * MIB,
            disk=_DISK,
            processes=_PROCESSES,
        ),
    )


def _run(task: Task, bench: Bench) -> Verdict:
    result = bench.run(task)
    level = result.level.label
    if result.ending == "timeout":
        return Verdict("timeout", reason=f"The tests were not done after {task.limits.seconds:g} s.", level=level)
    try:
        answer = json.loads(result.stdout)
    except ValueError:
        return Verdict("error", reason=f"The tests gave no result: {describe_end(result)}", level=level)
    if answer["is"] != "done":
        return Verdict("wrong" if answer["is"] == "unfit" else "error", reason=answer["why"], level=level)
    total = len(answer["passed"]) + len(answer["failed"])
    counted = f"passed {len(answer['passed'])} of {total} tests"
    if not answer["failed"] and answer["code"] == 0:
        return Verdict("correct", counted, level=level)
    failed = ", ".join(answer["failed"][:3]) or f"none, yet the runner ended with {answer['code']}"
    return Verdict("wrong", counted, reason=f"Failed: {failed}.", level=level)


@cache
def _source() -> str:
    return f"{Path(suite.__file__).read_text(encoding='utf-8')}\nrun()\n"


# --- an operator's harness --------------------------------------------------------------------------------------------


def _fill(part: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        part = part.replace(f"{{{name}}}", value)
    return part


def _follow(command: list[str], folder: Path, log: Path, bench: Bench) -> int | None:
    """Run the harness to its end; its exit status, or None when it took too long. It is trusted: the operator's."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + _HARNESS_SECONDS
        try:
            while time.monotonic() < deadline:
                try:
                    return process.wait(_TICK)
                except subprocess.TimeoutExpired:
                    bench.alive()
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _read_reports(folder: Path, instance: str, ending: str) -> Verdict:
    """The harness's summary, a JSON file: ``resolved_ids``, ``unresolved_ids`` or ``error_ids`` has the instance."""
    for file in sorted(folder.rglob("*.json")):
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if not isinstance(report, dict) or "resolved_ids" not in report:
            continue
        if instance in report["resolved_ids"]:
            return Verdict("correct", "resolved")
        if instance in report.get("error_ids", []):
            return Verdict("error", reason="The harness could not run the instance.")
        if instance in report.get("unresolved_ids", []) or instance in report.get("empty_patch_ids", []):
            return Verdict("wrong", reason="Not resolved.")
    return Verdict("error", reason=f"The harness left no report about {instance} ({ending}).")
