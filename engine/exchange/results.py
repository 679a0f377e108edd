"""Records of a file -> numbered problems and samples, all limits checked. The one way in for every format.

source = Source(path, "results.csv")
for sample in read_results(source):
    print(sample.problem, sample.sample, sample.record.outcome)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from engine.exchange.records import ExchangeError, Options, Record, shown
from engine.exchange.registry import AUTO, get_format
from engine.exchange.source import Source

_LONGEST_UID = 100


class Numbered(NamedTuple):
    problem: int  # in the order in which problems first appear
    sample: int  # within its problem, in file order from 0
    is_new: bool  # the problem's first sample
    record: Record


def read_results(source: Source, *, format: str = AUTO, options: Options = Options()) -> Iterator[Numbered]:  # noqa: B008
    """Every sample of the file in its order. Raises ExchangeError, which begins with the file's name, at the first
    thing that is wrong, and for a file without samples.

    The memory it takes grows with the number of problems and, where samples have names of their own, with these.
    """
    try:
        chosen = get_format(format, source)
        yield from _numbered(chosen.read(source, options), source)
    except ExchangeError as error:
        message = str(error)
        raise ExchangeError(message if message.startswith(source.name) else f"{source.name}: {message}") from None


def _numbered(records: Iterator[Record], source: Source) -> Iterator[Numbered]:
    limits = source.limits
    problems: dict[str, int] = {}
    counts: list[int] = []
    named: list[set[int | str]] = []
    total = 0
    for record in records:
        number = problems.get(record.problem)
        is_new = number is None
        if number is None:
            if not record.problem:
                raise ExchangeError(f"{record.place}: the problem has no name; give every problem its own.")
            if len(problems) == limits.problems:
                raise ExchangeError(f"{record.place}: more than {limits.problems:,} problems; split the file.")
            number = problems[record.problem] = len(counts)
            counts.append(0)
            named.append(set())
        index = counts[number]
        total += 1
        if index == limits.samples_per_problem or total > limits.samples:
            raise ExchangeError(
                f"{record.place}: more than {limits.samples_per_problem:,} samples of a problem, or "
                f"{limits.samples:,} in all; split the file."
            )
        if record.sample:
            _check_name(named[number], record)
        if record.text is not None and len(record.text) > limits.text:
            raise ExchangeError(f"{record.place}: an answer of more than {limits.text:,} characters; leave it out.")
        counts[number] = index + 1
        yield Numbered(number, index, is_new, record)
    if not total:
        raise ExchangeError("The file holds no samples.")


def _check_name(names: set[int | str], record: Record) -> None:
    # Numbers take a third of the memory of texts.
    name: int | str = int(record.sample) if record.sample.isdecimal() and len(record.sample) < 19 else record.sample
    if name in names:
        raise ExchangeError(
            f"{record.place}: sample {shown(record.sample)} of problem {shown(record.problem)} is there already; give "
            "every sample of a problem its own number, or leave them out."
        )
    names.add(name)


def uid_of(name: str) -> str:
    """A problem's name cut to the length that is stored, still unique."""
    if len(name) <= _LONGEST_UID:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: _LONGEST_UID - 13]}~{digest}"
