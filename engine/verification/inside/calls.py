"""Function tests in two sandboxes: ``solution()`` holds the model's code, ``tests()`` the problem's tests.

The tests call the model's functions over two pipes. Only plain values cross: what comes back is a new number, text,
list..., never an object of the model's code, so an ``__eq__`` that always says yes, a patched ``assert`` or a rewritten
test runner changes nothing on the side that judges. Objects of other types stay where they are; the tests get a
stand-in that equals only itself and that they may pass back.

A message is one line of JSON. Values: null, true, text, numbers as {"i": hex} or {"f": hex}, lists, and
{"t": tuple, "s": set, "z": frozenset, "d": dict, "b": bytes, "c": complex, "r": range, "o": stand-in}.
"""

from __future__ import annotations

import ast
import builtins
import io
import json
import os
import sys
from typing import Any

LONGEST = 4_000_000  # characters of a message
DEEPEST = 60


class Elsewhere:
    """Stands for an object of the model's code. Equal only to itself."""

    def __init__(self, key: int) -> None:
        self.key = key


class Ended(BaseException):
    """The model's program is gone, or its function ended it: no ``except Exception`` of a test may hide that."""


def pack(value: Any, kept: list[Any], depth: int = 0) -> Any:
    """A value as JSON. What is not plain is put into ``kept`` and stands as its number there."""
    if depth > DEEPEST:
        raise ValueError("the value is nested too deeply")
    if value is None or isinstance(value, bool | str):
        return value if value is None or isinstance(value, bool) else str(value)
    if isinstance(value, int):
        return {"i": hex(value)}
    if isinstance(value, float):
        return {"f": float(value).hex()}
    if isinstance(value, list):
        return [pack(each, kept, depth + 1) for each in value]
    for tag, kind in (("t", tuple), ("s", set), ("z", frozenset)):
        if isinstance(value, kind):
            return {tag: [pack(each, kept, depth + 1) for each in value]}
    if isinstance(value, dict):
        return {"d": [[pack(key, kept, depth + 1), pack(item, kept, depth + 1)] for key, item in value.items()]}
    if isinstance(value, bytes | bytearray):
        return {"b": bytes(value).hex()}
    if isinstance(value, complex):
        return {"c": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, range):
        return {"r": [value.start, value.stop, value.step]}
    if isinstance(value, Elsewhere):
        return {"o": value.key}
    kept.append(value)
    return {"o": len(kept) - 1}


def unpack(message: Any, kept: list[Any] | None) -> Any:
    """The value again. With ``kept``, stand-ins become its objects; without, they stay stand-ins."""
    if isinstance(message, list):
        return [unpack(each, kept) for each in message]
    if not isinstance(message, dict):
        return message
    ((tag, body),) = message.items()
    if tag == "i":
        return int(body, 16)
    if tag == "f":
        return float.fromhex(body)
    if tag in "tsz":
        return {"t": tuple, "s": set, "z": frozenset}[tag](unpack(each, kept) for each in body)
    if tag == "d":
        return {unpack(key, kept): unpack(item, kept) for key, item in body}
    if tag == "b":
        return bytes.fromhex(body)
    if tag == "c":
        return complex(float.fromhex(body[0]), float.fromhex(body[1]))
    if tag == "r":
        return range(*body)
    return Elsewhere(int(body)) if kept is None else kept[body]


# --- the model's side -------------------------------------------------------------------------------------------------


def solution() -> None:
    """Run the model's program (descriptor 3), then answer calls until the tests' side closes the pipe."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the program prints is no reply
    sys.set_int_max_str_digits(0)
    kept: list[Any] = []
    namespace: dict[str, Any] = {"__name__": "solution"}
    reply: dict[str, Any] = {"value": None}
    try:
        exec(compile(os.read(3, os.fstat(3).st_size), "solution.py", "exec"), namespace)
    except BaseException as error:
        reply = _raised(error)
    while True:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        line = requests.readline()
        if not line:
            return
        request = json.loads(line)
        try:
            arguments, named = unpack(request["arguments"], kept), unpack(request["named"], kept)
            reply = {"value": pack(namespace[request["call"]](*arguments, **named), kept)}
        except BaseException as error:
            reply = _raised(error)


def _raised(error: BaseException) -> dict[str, Any]:
    return {"raised": type(error).__name__, "text": str(error)[:500]}


# --- the tests' side --------------------------------------------------------------------------------------------------


class Nowhere(io.TextIOBase):
    """Takes what tests print. A confined program cannot even open /dev/null for writing."""

    def write(self, text: str) -> int:
        return len(text)


class Remote:
    """A function of the model's program."""

    def __init__(self, name: str, line: Line) -> None:
        self.name = name
        self._line = line

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._line.call(self.name, arguments, named)


class Line:
    """The connection to the model's side."""

    def __init__(self) -> None:
        self._replies = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self._requests = os.fdopen(os.dup(1), "w", encoding="utf-8")

    def call(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        foreign: list[Any] = []
        message = {"call": name, "arguments": pack(list(arguments), foreign), "named": pack(named, foreign)}
        if foreign:
            raise TypeError(f"a test passes a {type(foreign[0]).__name__}, and only plain values can be passed")
        try:
            self._requests.write(json.dumps(message) + "\n")
            self._requests.flush()
        except OSError:
            raise Ended("the program ended") from None
        return self.receive()

    def receive(self) -> Any:
        line = self._replies.readline(LONGEST)
        if not line.endswith("\n"):
            raise Ended("the program ended" if len(line) < LONGEST else "the program returned too large a value")
        try:
            reply = json.loads(line)
            if "raised" not in reply:
                return unpack(reply["value"], None)
            name, text = str(reply["raised"]), str(reply["text"])
        except Exception:
            raise Ended("the program did not keep to the protocol") from None
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            raise _exception(kind, name, text)
        raise Ended(f"{name}: {text}") if name in {"SystemExit", "KeyboardInterrupt"} else Exception(f"{name}: {text}")


def _exception(kind: type[Exception], name: str, text: str) -> Exception:
    try:
        return kind(text)
    except TypeError:  # UnicodeDecodeError and others want more than a text
        return Exception(f"{name}: {text}")


def tests() -> None:
    """Run the problem's tests (descriptor 3) and write the verdict as JSON to what was standard error."""
    verdicts = os.fdopen(os.dup(2), "w", encoding="utf-8")
    problem = json.loads(os.read(3, os.fstat(3).st_size))
    line = Line()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(1, 3)
    sys.stdout = sys.stderr = Nowhere()
    sys.set_int_max_str_digits(0)
    json.dump(_judge(problem, line), verdicts)
    verdicts.flush()
    os._exit(0)


def _judge(problem: dict[str, Any], line: Line) -> dict[str, str]:
    try:
        line.receive()  # the program has been loaded
    except BaseException as error:
        return {"is": "failed", "why": f"The program does not load: {_text(error)}"}
    try:
        steps = _steps(problem, line)
    except BaseException as error:
        return {"is": "broken", "why": f"The problem's tests do not load: {_text(error)}"}
    for source, step in steps:
        try:
            step()
        except AssertionError as error:
            return {"is": "failed", "why": f"Failed: {_where(error, source)}"}
        except BaseException as error:
            return {"is": "failed", "why": f"{_text(error)} in {_where(error, source)}"}
    return {"is": "passed", "why": ""}


def _steps(problem: dict[str, Any], line: Line) -> list[tuple[str, Any]]:
    """(source, what to run) for every step of the tests."""
    namespace: dict[str, Any] = {"__name__": "tests"}
    if "entry_point" in problem:
        # The prompt's helper functions are the problem's own; only the function asked for is the model's.
        exec(compile(problem["prompt"], "prompt.py", "exec"), namespace)
        namespace[problem["entry_point"]] = function = Remote(problem["entry_point"], line)
        exec(compile(problem["test"], "tests.py", "exec"), namespace)
        return [(problem["test"], lambda: namespace["check"](function))]
    exec(compile(problem["setup"], "setup.py", "exec"), namespace)
    steps: list[tuple[str, Any]] = []
    for source in problem["asserts"]:
        tree = ast.parse(source)
        for name in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}:
            if name not in namespace and not hasattr(builtins, name):
                namespace[name] = Remote(name, line)
        code = compile(tree, "tests.py", "exec")
        steps.append((source, lambda code=code: exec(code, namespace)))
    return steps


def _where(error: BaseException, source: str) -> str:
    """The line of the tests that was reached."""
    at, number = error.__traceback__, 0
    while at is not None:
        if at.tb_frame.f_code.co_filename == "tests.py":
            number = at.tb_lineno
        at = at.tb_next
    lines = source.splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else "the tests"


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, Ended) else f"{type(error).__name__}: {text}"
