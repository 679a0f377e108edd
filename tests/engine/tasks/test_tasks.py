from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.problems import ProblemFormatError
from engine.tasks import TASKS, HubError, Task, get_task, problems_of_file, problems_of_hub
from engine.tasks.convert import code_contests, human_eval, last_boxed, math, mbpp, minif2f, swe_bench
from engine.tasks.examples import ROCQ
from jobs.kinds.sampling.presets import PRESETS
from jobs.kinds.sampling.spec import QUESTION, SamplingSpec

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"

# (samples, temperature, top-p, most tokens, stop strings) as the papers give them.
PUBLISHED = {
    "gsm8k": (10_000, 0.6, 1.0, 512, ["Q:", "Question:"]),
    "math": (10_000, 0.6, 1.0, 512, ["Problem:"]),
    "minif2f-lean": (10_000, 0.5, 1.0, 200, ["Write a lean4", "\n)"]),
    "code-contests": (10_000, 0.6, 0.95, 1024, None),
    "swe-bench-lite": (250, 1.6, 1.0, None, None),
    "humaneval": (200, 0.8, 0.95, None, ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]),
    "mbpp": (80, 0.5, 1.0, None, ["[DONE]"]),
}
FEW_SHOT = {
    "gsm8k": 5,
    "math": 4,
    "minif2f-lean": 5,
    "code-contests": 2,
    "swe-bench-lite": 0,
    "humaneval": 0,
    "mbpp": 3,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_settings_are_the_published_ones(name: str) -> None:
    settings = get_task(name).settings()
    samples, temperature, top_p, max_tokens, stop = PUBLISHED[name]
    assert (settings["samples"], settings["temperature"], settings["top_p"]) == (samples, temperature, top_p)
    assert max_tokens in (None, settings["max_tokens"])
    assert stop is None or settings["stop"] == stop
    assert len(settings["few_shot"]) == FEW_SHOT[name]
    assert settings["chat"] is False


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_every_task_fills_the_form(task: Task) -> None:
    settings = task.settings() | {"verifier": "gsm8k"}  # its own may not be installed
    assert SamplingSpec.model_validate(settings).template.count(QUESTION) == 1


def test_presets_offer_no_verifier_that_is_not_there() -> None:
    for preset in PRESETS:
        SamplingSpec.model_validate(preset.values)
    assert {"gsm8k", "math"} <= {preset.name for preset in PRESETS}


def test_prompts_begin_and_end_as_published() -> None:
    assert TASKS["gsm8k"].template == "Question: {question}\nAnswer:"
    assert TASKS["math"].template == "Problem:\n{question}\n\nSolution:"
    assert TASKS["minif2f-lean"].template.endswith("{question} by (\n")
    assert TASKS["code-contests"].template.startswith("Q: Write python code to solve")
    assert TASKS["code-contests"].template.endswith("wrap your code answer using ```:\n{question}\nA:")


def test_unknown_tasks_list_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no task is called 'x'; there are: gsm8k"):
        get_task("x")


# --- converters


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\\boxed{1} then \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("none", None),
        ("\\boxed{open", None),
        ("\\boxed 7", None),
    ],
)
def test_last_boxed(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


def test_math_rows_of_both_kinds() -> None:
    assert math({"problem": "P", "solution": "so \\boxed{x^{2}}", "level": "5"}) == {"question": "P", "answer": "x^{2}"}
    assert math({"unique_id": "a/1", "problem": "P", "answer": "7"}) == {"id": "a/1", "question": "P", "answer": "7"}


def test_code_contests_rows_of_the_hub() -> None:
    row = {
        "name": "1_A",
        "description": "Add.",
        "public_tests": {"input": ["1 2\n"], "output": ["3\n"]},
        "private_tests": {"input": [], "output": []},
        "generated_tests": {"input": ["2 2\n"], "output": ["4\n"]},
        "time_limit": {"seconds": 2, "nanos": 0},
        "solutions": {"language": [2, 3], "solution": ["int main", "print(sum(map(int, input().split())))"]},
    }
    line = code_contests(row)
    assert line == {
        "id": "1_A",
        "question": "Add.",
        "tests": [{"input": "1 2\n", "output": "3\n"}, {"input": "2 2\n", "output": "4\n"}],
        "time_limit": {"seconds": 2, "nanos": 0},
        "solution": "print(sum(map(int, input().split())))",
    }
    assert code_contests(row | {"description": "See <image>."}) is None


def test_mbpp_shows_its_tests() -> None:
    row = {
        "task_id": 11,
        "text": "Add.",
        "code": "def add(): ...",
        "test_list": ["assert add(1) == 2"],
        "test_setup_code": "",
    }
    line = mbpp(row)
    assert (line["id"], line["question"]) == ("MBPP/11", "Add.\n\nassert add(1) == 2")
    assert line["test_list"] == ["assert add(1) == 2"] and line["solution"] == "def add(): ..."


def test_human_eval_keeps_what_its_tests_need() -> None:
    row = {
        "task_id": "HumanEval/0",
        "prompt": "def f():\n",
        "entry_point": "f",
        "test": "def check(c): ...",
        "canonical_solution": "  pass",
    }
    line = human_eval(row)
    assert line["question"] == line["prompt"] == "def f():\n"
    assert (line["entry_point"], line["solution"]) == ("f", "  pass")


def test_minif2f_in_lean_and_in_rocq() -> None:
    lean = minif2f({"name": "a", "formal_statement": "theorem a : 1 = 1 := sorry", "header": "import Mathlib"})
    assert lean["question"] == "theorem a : 1 = 1 :="
    rocq = minif2f({"name": "b", "thm": "b", "split": "test", "statement": "Theorem b : True.\nProof.\n"})
    assert (rocq["id"], rocq["question"]) == ("test/b", "Theorem b : True.")


def test_swe_bench_lists_may_be_json_text() -> None:
    row = {
        "Instance_id": "a__b-1", "Problem_statement": "Broken.", "Repo": "a/b", "Base_commit": "0" * 40,
        "Test_patch": "diff", "FAIL_TO_PASS": '["t1"]', "PASS_TO_PASS": "[]", "Patch": "diff --git",
    }  # fmt: skip
    line = swe_bench(row)
    assert (line["FAIL_TO_PASS"], line["PASS_TO_PASS"], line["solution"]) == (["t1"], [], "diff --git")


# --- files


def test_files_may_be_packed_and_may_be_arrays() -> None:
    rows = [{"question": f"{i}?", "answer": f"so\n#### {i}"} for i in range(3)]
    lines = "\n".join(map(json.dumps, rows)).encode()
    for content in (lines, gzip.compress(lines), json.dumps(rows).encode()):
        assert [one.answer for one in problems_of_file(TASKS["gsm8k"], content)] == ["0", "1", "2"]
    assert len(problems_of_file(TASKS["gsm8k"], lines, limit=2)) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"question": "q"}', "Row 1 is none of GSM8K: there is no text 'answer' \\(the row has 'question'\\)"),
        (b"{", "Line 1: not valid JSON"),
        (b"[1]", "Row 1 is no object"),
        (b"\x1f\x8b", "no whole gzip file"),
        (gzip.compress(b" " * 30 * 2**20), "larger than 20 MB"),
        (b"\xff", "Line 1: not UTF-8"),
        (b"", "holds no problems"),
    ],
)
def test_wrong_files_are_refused_in_words(content: bytes, message: str) -> None:
    with pytest.raises(ProblemFormatError, match=message):
        problems_of_file(TASKS["gsm8k"], content)


def test_values_of_an_unknown_form_are_no_crash() -> None:
    row = json.dumps({"description": "x", "public_tests": {"input": ["1"], "output": []}}).encode()
    with pytest.raises(ProblemFormatError, match="Row 1 is none of CodeContests: its values have an unknown form"):
        problems_of_file(TASKS["code-contests"], row)


def test_without_the_package_or_the_network_the_hub_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(HubError, match="pip install datasets"):
        problems_of_hub(TASKS["gsm8k"])

    class Offline:
        @staticmethod
        def load_dataset(*args: Any, **more: Any) -> Any:
            raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "datasets", Offline)
    with pytest.raises(HubError, match=r"openai/gsm8k is not in the hub's local cache .*no route"):
        problems_of_hub(TASKS["gsm8k"])
    with pytest.raises(HubError, match="no data set on the hub that we know of"):
        problems_of_hub(TASKS["minif2f-rocq"])


def test_the_hubs_configs_are_read_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hub:
        @staticmethod
        def load_dataset(path: str, config: str, split: str) -> list[dict[str, Any]]:
            return [{"problem": f"{path} {config} {split}", "answer": "1"}]

    monkeypatch.setitem(sys.modules, "datasets", Hub)
    problems = problems_of_hub(TASKS["math"])
    assert len(problems) == 7
    assert problems[0].question == "EleutherAI/hendrycks_math algebra test"


@pytest.mark.parametrize(
    ("name", "file", "count"),
    [("gsm8k", "gsm8k/test.jsonl", 1319), ("math", "math500/math250.jsonl", 250)],
)
def test_the_real_files_are_read(name: str, file: str, count: int) -> None:
    path = SHARED / file
    if not path.exists():
        pytest.skip("the real data is not here")
    assert len(problems_of_file(TASKS[name], path.read_bytes())) == count


@pytest.mark.parametrize(
    ("convert", "file"),
    [
        (code_contests, "codecontests/problems-100.jsonl"),
        (minif2f, "minif2f-rocq/minif2f_rocq.json"),
        (swe_bench, "swe-bench-lite/swe-bench-lite.json"),
    ],
)
def test_the_real_rows_are_converted(convert: Callable[[Any], Any], file: str) -> None:
    path = SHARED / file
    if not path.exists():
        pytest.skip("the real data is not here")
    text = path.read_text()
    rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    lines = [convert(row) for row in rows]
    assert all(line["question"].strip() for line in lines if line)
    assert len({line["id"] for line in lines if line}) == len([line for line in lines if line])


@pytest.mark.skipif(shutil.which("coqc") is None, reason="coqc is not installed")
def test_the_rocq_examples_are_proofs(tmp_path: Path) -> None:
    file = tmp_path / "examples.v"
    for example in ROCQ:
        file.write_text(f"{example.question}\nProof.\n{example.answer}\n")
        done = subprocess.run(["coqc", "-q", str(file)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


ROWS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "humaneval": (
        {"task_id": "H/0", "prompt": "def f(x):\n", "entry_point": "f", "test": "def check(c):\n    assert c(1)\n"},
        {"entry_point", "test", "prompt"},
    ),
    "mbpp": ({"task_id": 1, "text": "Add.", "test_list": ["assert add(1) == 2"]}, {"asserts", "setup"}),
    "code-contests": (
        {"name": "A", "description": "Add.", "public_tests": {"input": ["1"], "output": ["2"]}},
        {"tests"},
    ),
    "minif2f-rocq": ({"name": "t", "thm": "t", "statement": "Theorem t : True."}, {"statement", "theorem"}),
    "minif2f-lean": ({"name": "t", "formal_statement": "theorem t : True := sorry"}, {"statement", "theorem"}),
    "swe-bench-lite": (
        {
            "instance_id": "a__b-1", "problem_statement": "Broken.", "repo": "a/b", "base_commit": "0" * 40,
            "test_patch": "diff", "FAIL_TO_PASS": ["t1"], "PASS_TO_PASS": [],
        },
        {"repo", "base_commit", "test_patch", "fail_to_pass", "pass_to_pass", "instance_id"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_converted_rows_carry_what_the_verifier_needs(name: str) -> None:
    row, keys = ROWS[name]
    (problem,) = problems_of_file(TASKS[name], json.dumps([row]).encode())
    assert set(problem.checks) == keys
    assert problem.question
