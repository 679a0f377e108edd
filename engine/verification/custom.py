"""Verifiers of your own: a Python function from a folder that the operator set aside, or an HTTP endpoint.

Both get the model's text and the problem, and answer true, false, or an object with ``outcome`` ("correct", "wrong",
"error", "timeout") and optionally ``answer``, ``canonical`` and ``reason``.
"""

from __future__ import annotations

import json
import re
import sysconfig
from pathlib import Path
from typing import Any, get_args

from engine.sandbox.process import python
from engine.sandbox.types import Task
from engine.verification.codestdio import describe_end
from engine.verification.post import PostError, PostTimeout, post_json
from engine.verification.types import Bench, Gold, Outcome, Unfit, Verdict

_TARGET = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")
_CALL = """
import importlib, json, os, sys
request = json.loads(os.read(3, os.fstat(3).st_size))
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the function prints is no answer
sys.path[:0] = request["path"]
function = getattr(importlib.import_module(request["module"]), request["function"])
json.dump(function(request["text"], request["problem"]), answers)
answers.flush()
os._exit(0)
"""


class CustomVerifier:
    name = "function"
    title = "Your own Python function"
    help = "Calls module:function from the operator's verifier folder in the sandbox, with the text and the problem."
    requires: tuple[str, ...] = ()
    isolated = False

    def essence(self, text: str) -> None:
        return None  # it may be random, or look at the clock

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        folder = Path(bench.settings.functions) if bench.settings.functions else None
        if folder is None or not folder.is_dir():
            raise Unfit("This worker has no folder of verifier functions: the operator sets CANOPY_VERIFIER_DIR.")
        target = _TARGET.fullmatch(bench.settings.target)
        if target is None:
            raise Unfit(f'Write the verifier as "module:function", not {bench.settings.target!r}.')
        packages = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")]
        request = {
            "path": [str(folder.resolve()), *dict.fromkeys(map(str, packages))],
            "module": target.group(1),
            "function": target.group(2),
            "text": text,
            "problem": problem_of(gold),
        }
        task = Task(
            python("-c", _CALL),
            payload=json.dumps(request).encode(),
            read=(folder, *packages),
            limits=bench.limits(),
        )
        result = bench.run(task)
        level = result.level.label
        if result.ending == "timeout":
            return Verdict("timeout", reason=f"No answer within {bench.settings.seconds:g} s.", level=level)
        if not result.ok:
            return Verdict("error", reason=f"The verifier failed: {describe_end(result)}", level=level)
        try:
            return verdict_of(json.loads(result.stdout), level)
        except ValueError:
            return Verdict("error", reason="The verifier's answer is no JSON value.", level=level)


class EndpointVerifier:
    name = "endpoint"
    title = "Your own HTTP endpoint"
    help = "Posts the text and the problem as JSON to an address that the operator allows."
    requires: tuple[str, ...] = ()
    isolated = False

    def essence(self, text: str) -> None:
        return None

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        url = bench.settings.target
        if not allowed(url, bench.settings.endpoints):
            raise Unfit(
                f"{url or 'No address'} is not among the addresses that this worker may ask: the operator adds its "
                "beginning to CANOPY_VERIFIER_URLS."
            )
        try:
            answer = post_json(url, {"text": text, "problem": problem_of(gold)}, bench.settings.seconds)
        except PostTimeout as error:
            return Verdict("timeout", reason=f"The endpoint: {error}.")
        except PostError as error:
            return Verdict("error", reason=f"The endpoint: {error}.")
        return verdict_of(answer)


def allowed(url: str, beginnings: tuple[str, ...]) -> bool:
    """Whether ``url`` begins with one of ``beginnings``, up to the end of it or a "/" or "?".

    >>> allowed("http://grader:80/math", ("http://grader:80",)), allowed("http://grader:8000/", ("http://grader:80",))
    (True, False)
    """
    if "\\" in url or "/.." in url or not url.isprintable() or " " in url:
        return False
    return any(
        url == beginning or url.startswith((f"{beginning.rstrip('/')}/", f"{beginning.rstrip('/')}?"))
        for beginning in beginnings
        if beginning
    )


def problem_of(gold: Gold) -> dict[str, Any]:
    return {**gold.checks, "answer": gold.answer}


def verdict_of(answer: Any, level: str = "") -> Verdict:
    """A verdict from what a function or an endpoint answered; anything unexpected is an error."""
    if isinstance(answer, bool):
        return Verdict("correct" if answer else "wrong", level=level)
    if isinstance(answer, dict) and answer.get("outcome") in get_args(Outcome):
        extracted, canonical, reason = (str(answer.get(name) or "") for name in ("answer", "canonical", "reason"))
        return Verdict(answer["outcome"], extracted, canonical, reason, level=level)
    reason = f'Expected true, false or {{"outcome": "correct" | "wrong" | "error" | "timeout"}}, got {answer!r}'
    return Verdict("error", reason=reason, level=level)
