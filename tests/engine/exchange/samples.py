"""The same eight graded samples as a file of each format: problem a is solved by samples 0 and 2, problem b never."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import Any

SOLVED = {"a": [True, False, True, False], "b": [False] * 4}


def csv() -> bytes:
    rows = [
        f"{problem},{i},{int(right)},{i},{10 + i}" for problem, all_ in SOLVED.items() for i, right in enumerate(all_)
    ]
    return "\n".join(["problem,sample,correct,answer,tokens", *rows, ""]).encode()


def monkeys() -> list[dict[str, Any]]:
    return [
        {
            "prompt": "…",
            "question": f"What is {problem}?",
            "gt_answer": "1",
            "name": problem,
            "samples": [f"{problem} {i}" for i in range(4)],
            "is_corrects": right,
        }
        for problem, right in SOLVED.items()
    ]


def monkeys_yaml_zip() -> bytes:
    import yaml

    return zipped({f"{one['name']}.yaml": yaml.safe_dump(one).encode() for one in monkeys()})


def lm_eval() -> bytes:
    lines = []
    for problem, all_ in SOLVED.items():
        for i, right in enumerate(all_):
            for filter_, score in (("strict-match", right), ("flexible-extract", True)):
                lines.append(
                    {
                        "doc_id": problem,
                        "doc": {"question": f"What is {problem}?"},
                        "target": "1",
                        "resps": [[f"{problem} {i}"]],
                        "filtered_resps": [str(i)],
                        "filter": filter_,
                        "metrics": ["exact_match"],
                        "exact_match": float(score),
                    }
                )
    return jsonl(lines)


def inspect_samples() -> list[dict[str, Any]]:
    return [
        {
            "id": problem,
            "epoch": i + 1,
            "input": [{"role": "user", "content": [{"type": "text", "text": f"What is {problem}?"}]}],
            "target": ["1"],
            "output": {
                "choices": [{"message": {"content": f"{problem} {i}"}, "stop_reason": "stop"}],
                "usage": {"output_tokens": 10 + i},
            },
            "scores": {"match": {"value": "C" if right else "I", "answer": str(i)}, "other": {"value": 1.0}},
        }
        for problem, all_ in SOLVED.items()
        for i, right in enumerate(all_)
    ]


def inspect() -> bytes:
    files = {f"samples/{one['id']}_epoch_{one['epoch']}.json": dump(one) for one in inspect_samples()}
    return zipped({"_journal/start.json": b"{}", **files, "header.json": dump({"eval": {"model": "openai/o9"}})})


def inspect_json() -> bytes:
    log = {"version": 2, "status": "success", "eval": {"model": "openai/o9"}, "samples": inspect_samples(), "stats": {}}
    return json.dumps(log, indent=1).encode()


def evalplus() -> bytes:
    tasks = {
        problem: [
            {
                "task_id": problem,
                "solution": f"{problem} {i}",
                "base_status": "pass",
                "plus_status": "pass" if right else "fail",
            }
            for i, right in enumerate(all_)
        ]
        for problem, all_ in SOLVED.items()
    }
    return dump({"date": "2026-01-01", "hash": "x", "eval": tasks})


def human_eval() -> bytes:
    return jsonl(
        {
            "task_id": problem,
            "completion": f"{problem} {i}",
            "passed": right,
            "result": "passed" if right else "failed: no",
        }
        for problem, all_ in SOLVED.items()
        for i, right in enumerate(all_)
    )


def canopy() -> bytes:
    return jsonl(
        {
            "problem_uid": problem,
            "problem_index": 0,
            "index": i,
            "text": f"{problem} {i}",
            "answer": str(i),
            "verdict": "correct" if right else "wrong",
            "tokens": 10 + i,
            "logprob": -1.5,
            "finish": "eos",
        }
        for problem, all_ in SOLVED.items()
        for i, right in enumerate(all_)
    )


FILES = {
    ("csv", "results.csv"): csv,
    ("csv", "results.csv.gz"): lambda: gzip.compress(csv()),
    ("monkeys", "problems.jsonl"): lambda: jsonl(monkeys()),
    ("monkeys", "problems.json"): lambda: json.dumps(monkeys(), indent=2).encode(),
    ("monkeys", "out.zip"): monkeys_yaml_zip,
    ("lm-eval", "samples_gsm8k.jsonl"): lm_eval,
    ("inspect", "log.eval"): inspect,
    ("inspect", "log.json"): inspect_json,
    ("evalplus", "samples_eval_results.json"): evalplus,
    ("evalplus", "samples.jsonl_results.jsonl"): human_eval,
    ("canopy", "samples.jsonl"): canopy,
}


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def jsonl(lines: Any) -> bytes:
    return b"".join(dump(line) + b"\n" for line in lines)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
