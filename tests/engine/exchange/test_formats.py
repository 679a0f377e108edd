from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.exchange import ExchangeError, Numbered, Options, Source, detect_format, read_results
from engine.exchange.formats.inspect_log import model_of
from tests.engine.exchange import samples
from tests.engine.exchange.samples import FILES, SOLVED, dump, jsonl, zipped

Make = Callable[[str, bytes], Source]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(name: str, content: bytes) -> Source:
        path = tmp_path / "upload"
        path.write_bytes(content)
        return Source(path, name)

    return write


def read(source: Source, **more: Any) -> list[Numbered]:
    return list(read_results(source, **more))


@pytest.mark.parametrize(("format", "name"), FILES)
def test_every_format_gives_the_same_verdicts(format: str, name: str, make: Make) -> None:
    source = make(name, FILES[format, name]())
    assert detect_format(source).name == format
    found = read(source)
    by_problem = {problem: [one for one in found if one.record.problem == problem] for problem in SOLVED}
    for number, (problem, right) in enumerate(SOLVED.items()):
        ours = by_problem[problem]
        assert [one.record.outcome == "correct" for one in ours] == right
        assert [(one.problem, one.sample) for one in ours] == [(number, i) for i in range(4)]
        assert [one.is_new for one in ours] == [True, False, False, False]
    texts = {one.record.text for one in found}
    assert texts == ({None} if format == "csv" else {f"{p} {i}" for p in SOLVED for i in range(4)})
    assert source.share_read in (0.0, 1.0)


def test_a_csv_may_have_other_names_separators_and_words(make: Make) -> None:
    text = '﻿Task_ID;Passed;Output;reward;logprob\nx;true;"two\nlines; here";0.5;-3.25\ny;timeout;;;\n'
    first, second = read(make("a.csv", text.encode()))
    assert first.record[:3] == ("x", "correct", "line 3")
    assert (first.record.text, first.record.score, first.record.logprob) == ("two\nlines; here", 0.5, -3.25)
    assert (second.record.outcome, second.record.score) == ("timeout", None)


def test_lm_eval_takes_one_filter_and_the_metric_that_was_asked_for(make: Make) -> None:
    source = make("s.jsonl", samples.lm_eval())
    assert len(read(source)) == 8
    assert {one.record.outcome for one in read(source, options=Options(filter="flexible-extract"))} == {"correct"}
    with pytest.raises(ExchangeError, match=r"s\.jsonl: line 1: no score is called 'acc'; the line has 'exact_match'"):
        read(source, options=Options(score="acc"))


def test_lm_eval_with_repeats_gives_a_sample_for_each_score(make: Make) -> None:
    line = {
        "doc_id": 7,
        "doc": {},
        "resps": [["x", "y"]],
        "filtered_resps": [["x", "y"]],
        "metrics": ["em"],
        "em": [0, 1],
    }
    found = read(make("s.jsonl", dump(line)), format="lm-eval")
    assert [(one.record.problem, one.record.text, one.record.outcome) for one in found] == [
        ("7", "x", "wrong"),
        ("7", "y", "correct"),
    ]


def test_inspect_tells_model_tokens_and_what_failed(make: Make) -> None:
    one, *_ = samples.inspect_samples()
    failed = one | {"epoch": 2, "scores": {}, "error": {"message": "sandbox gone"}}
    partial = one | {"epoch": 3, "scores": {"match": {"value": "P", "explanation": "half right"}}}
    files = {f"samples/{i}.json": dump(sample) for i, sample in enumerate((one, failed, partial))}
    source = make("x.eval", zipped({"header.json": dump({"eval": {"model": "openai/o9"}}), **files}))
    assert model_of(source) == "openai/o9"
    first, second, third = (found.record for found in read(source))
    assert (first.tokens, first.answer, first.gold, first.question) == (10, "0", "1", "What is a?")
    assert (second.outcome, second.reason) == ("error", "sandbox gone")
    assert (third.outcome, third.reason) == ("wrong", "half right")
    assert {found.record.outcome for found in read(source, options=Options(score="match"))} == {
        "correct",
        "error",
        "wrong",
    }
    with pytest.raises(ExchangeError, match="no scorer is called 'judge'; there are 'match, other'"):
        read(source, options=Options(score="judge"))


def test_evalplus_counts_the_plus_tests_unless_told_otherwise(make: Make) -> None:
    source = make("r.json", samples.evalplus())
    assert sum(one.record.outcome == "correct" for one in read(source)) == 2
    assert sum(one.record.outcome == "correct" for one in read(source, options=Options(score="base"))) == 8


def test_yaml_of_one_problem_and_of_several(make: Make) -> None:
    one = "question: Q\nsamples:\n- x\n- y\nis_correct: [true, false]\n"
    assert [found.record.outcome for found in read(make("0.yaml", one.encode()))] == ["correct", "wrong"]
    assert len(read(make("all.yaml", f"---\n{one}id: 1\n---\n{one}id: 2\n".encode()), format="monkeys")) == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.csv", b"", "e.csv: The file is empty"),
        ("e.csv", b"problem,correct\n", "e.csv: The file holds no samples"),
        ("e.txt", b"hello", "e.txt is in none of the formats"),
        (
            "e.csv",
            b"problem,correct\np,1\np,maybe\n",
            "line 3: 'maybe' in the column 'correct' is no verdict; write 1 or 0",
        ),
        ("e.csv", b"problem,correct\np,1,2\n", "line 2: 3 cells, but the first line names 2 columns"),
        ("e.csv", b"problem,correct\n,1\n", "line 2: the problem has no name"),
        ("e.csv", b"problem,correct,sample\np,1,4\np,0,4\n", "line 3: sample '4' of problem 'p' is there already"),
        ("e.csv", b"problem,correct,tokens\np,1,-3\n", "line 2: '-3' tokens; write a whole number"),
        ("e.csv", b"problem,correct,score\np,1,nan\n", "line 2: 'nan' in the column 'score' is no number"),
        ("e.csv", b"problem,correct\n\xff\xfe,1\n", "not UTF-8 text"),
        ("e.csv", b'problem,correct\n"p,1\n', "not valid CSV"),
        ("e.jsonl", b'{"task_id": "x", "solution": "y"}', "line 1: no verdict"),
        ("e.jsonl", b'{"task_id": "x", "completion": "y", "passed": true}\n{"task_id"', "line 2: not valid JSON"),
        (
            "e.jsonl",
            b'{"doc_id": 1, "resps": [], "metrics": ["bleu"], "bleu": 0.4}',
            "the score '0.4' is neither 0 nor 1",
        ),
        ("e.jsonl", b'{"samples": ["a"], "is_corrects": [true, false]}', "line 1: 1 samples, but 2 verdicts"),
        ("e.jsonl", b'{"samples": ["a"]}', "line 1: add the verdicts"),
        ("e.json", b'[{"samples": ["a"], "is_corrects": [true]}, 7]', "line 1: expected a problem"),
        ("e.json", b'[{"samples": ["a"], "is_corrects": [true]}', 'line 1: expected "," or "]"'),
        ("e.json", b'[\n{"samples": ["a"],\n "is_corrects": [true}]', "line 2: expected valid JSON"),
        ("e.yaml", b"samples: [a\nis_correct: [true]", "not valid YAML"),
        ("e.yaml", b"samples: &a [x]\nis_correct: *a", "YAML aliases"),
        ("e.eval", zipped({"header.json": b"{}", "samples/1.json": b'{"id": 1, "scores": {}}'}), "has no score"),
        ("e.zip", zipped({"readme.md": b"hi"}), "in none of the formats"),
        ("e.zip", zipped({"a.json": dump(samples.monkeys()[0])})[:-30], "no whole .zip file"),
        ("e.gz", b"\x1f\x8b broken", "e.gz"),
    ],
)
def test_the_first_mistake_is_named(name: str, content: bytes, message: str, make: Make) -> None:
    with pytest.raises(ExchangeError) as error:
        read(make(name, content))
    assert message in str(error.value)
    assert str(error.value).startswith(name)


def test_an_unknown_format_lists_the_known_ones(make: Make) -> None:
    with pytest.raises(ExchangeError, match="No format is called 'xls'; there are: inspect, canopy"):
        read(make("a.csv", samples.csv()), format="xls")


def test_texts_are_made_storable(make: Make) -> None:
    content = jsonl([{"task_id": "t\0", "completion": "a\0b\ud800c", "passed": True}])
    (found,) = read(make("x.jsonl", content))
    assert (found.record.problem, found.record.text) == ("t", "ab?c")
