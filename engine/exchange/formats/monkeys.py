"""The files of "Large Language Monkeys" (Brown et al. 2024): for each problem its question, samples and verdicts.

The released code writes one YAML file a problem: ``prompt``, ``question``, ``samples`` and, after its evaluation,
``is_corrects``; with ``gt_answer``, ``test_cases`` or ``theorem_name``. The released data has the same keys as rows.
Read are: one YAML or JSON file (a problem, or a list of problems), JSONL (a problem a line), and a .zip of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any

import yaml

from engine.exchange.jsonstream import JsonReader, json_lines
from engine.exchange.records import ExchangeError, Limits, Options, Record, clean, outcome_of, shown
from engine.exchange.source import Source

_SUFFIXES = (".yaml", ".yml", ".json", ".jsonl")
_VERDICTS = ("is_corrects", "is_correct")
_QUESTIONS = ("question", "problem", "prompt")
_NAMES = ("theorem_name", "orig_dset_idx", "problem_id", "id", "uid", "name")


def detect(source: Source) -> bool:
    if source.packing == "zip":
        with source.archive() as archive:
            return any(name.lower().endswith(_SUFFIXES) for name in archive.namelist()[:1000])
    head = source.head
    if head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"["):
        return b'"samples"' in head or b'"is_corrects"' in head
    # YAML: the keys stand at the start of a line.
    return head.startswith((b"samples:", b"is_correct")) or b"\nsamples:" in head or b"\nis_correct" in head


def read(source: Source, options: Options) -> Iterator[Record]:
    if source.packing == "zip":
        yield from _read_zip(source)
        return
    name = source.name.lower().removesuffix(".gz")
    with source.open() as file:
        for place, problem in _problems(file, name, source.head, source.limits, ""):
            yield from _records(problem, place, fallback=place)


def _read_zip(source: Source) -> Iterator[Record]:
    with source.archive() as archive:
        entries = [
            one for one in archive.infolist() if one.filename.lower().endswith(_SUFFIXES) and _is_data(one.filename)
        ]
        # In the order people count in: 2.yaml before 10.yaml.
        for entry in sorted(entries, key=lambda one: (len(one.filename), one.filename)):
            with source.open_member(archive, entry) as file:
                head = file.peek(64)  # type: ignore[attr-defined]
                stem = PurePosixPath(entry.filename).stem
                for place, problem in _problems(file, entry.filename.lower(), head, source.limits, entry.filename):
                    yield from _records(problem, place, fallback=stem)


def _is_data(name: str) -> bool:
    """Not a configuration that lies beside the problems, nor what macOS adds."""
    path = PurePosixPath(name)
    return "__MACOSX" not in path.parts and path.stem not in {"config", "metadata"} and not path.name.startswith(".")


def _problems(
    file: IO[bytes], name: str, head: bytes, limits: Limits, what: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
    if name.endswith(".jsonl") or (start == b"{" and not name.endswith((".json", ".yaml", ".yml"))):
        yield from json_lines(file, limits, what)
    elif start in (b"{", b"["):
        reader = JsonReader(file, limits, what)
        if start == b"[":
            for _ in reader.elements():
                yield reader.place, _mapping(reader.value(), reader.place)
            reader.end()
        else:
            # One object, or several one after the other (JSONL under another name).
            while reader.peek():
                yield reader.place, _mapping(reader.value(), reader.place)
    else:
        yield from _yaml_problems(file, limits, what)


def _yaml_problems(file: IO[bytes], limits: Limits, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    text = file.read(limits.value_bytes + 1)
    if len(text) > limits.value_bytes:
        raise ExchangeError(f"{what or 'The YAML file'}: more than {limits.value_bytes // 2**20} MB; use JSONL.")
    try:
        # A few aliases (*name) can grow to gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.CSafeLoader)):
            raise ExchangeError(f"{what or 'The file'}: YAML aliases (*name) are not read; write the values out.")
        documents = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    except ExchangeError:
        raise
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else "the file"
        raise ExchangeError(f"{f'{what}, ' if what else ''}{line}: not valid YAML ({error.problem}).") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ExchangeError(f"{what or 'The file'}: not valid YAML ({shown(error)}).") from None
    number = 0
    for document in documents:
        for problem in document if isinstance(document, list) else [document]:
            number += 1
            place = what or f"problem {number}"
            yield place, _mapping(problem, place)


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ExchangeError(f"{place}: expected a problem with samples and is_corrects, got {shown(value)}.")
    return value


def _records(problem: dict[str, Any], place: str, fallback: str) -> Iterator[Record]:
    samples, verdicts = problem.get("samples"), next((problem[key] for key in _VERDICTS if key in problem), None)
    if not isinstance(verdicts, list):
        raise ExchangeError(f"{place}: add the verdicts: a list is_corrects with true or false for each sample.")
    texts: list[Any] = samples if isinstance(samples, list) else [None] * len(verdicts)
    if len(texts) != len(verdicts):
        raise ExchangeError(f"{place}: {len(texts):,} samples, but {len(verdicts):,} verdicts; they belong together.")
    name = next((str(problem[key]) for key in _NAMES if isinstance(problem.get(key), str | int)), fallback)
    question = next((problem[key] for key in _QUESTIONS if isinstance(problem.get(key), str)), "")
    gold = problem.get("gt_answer")
    for number, (text, verdict) in enumerate(zip(texts, verdicts, strict=True)):
        outcome = outcome_of(verdict)
        if outcome is None:
            raise ExchangeError(f"{place}: verdict {number + 1} is {shown(verdict)}; write true or false.")
        yield Record(
            clean(name),
            outcome,
            place,
            question=clean(question),
            gold=clean(str(gold)) if isinstance(gold, str | int | float) else "",
            text=clean(text) if isinstance(text, str) else None,
        )
