"""One HTML file that tells a whole experiment and opens offline: no script, no address outside itself.

Everything that people or models wrote is escaped, and the file's own content security policy allows styles alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from engine.exchange.figure import Line, coverage_svg

_QUESTION = 160  # characters of a question in the table
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --text: light-dark(#1c211d, #e4e8e3); --muted: light-dark(#5c665e, #98a199);
  --line: light-dark(#dfe3dd, #2c322d); --page: light-dark(#fbfcfa, #121512); --data: light-dark(#1f77b4, #5ab0f0); }}
body {{ font: 14px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 24px; margin: 0; }} h2 {{ font-size: 16px; margin: 2.5rem 0 .5rem; }}
.muted {{ color: var(--muted); }} .num {{ text-align: right; font-variant-numeric: tabular-nums; }}
table {{ border-collapse: collapse; width: 100%; }}
caption {{ text-align: left; color: var(--muted); padding-bottom: .25rem; }}
th, td {{ text-align: left; padding: .3rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; }}
th.num {{ text-align: right; }} pre {{ white-space: pre-wrap; margin: 0; font: 12px/1.5 ui-monospace, monospace; }}
figure {{ margin: 0; }} svg {{ width: 100%; height: auto; }}
progress {{ width: 6rem; accent-color: var(--data); }}
.grid {{ stroke: var(--line); }} .axis {{ stroke: var(--muted); }} .tick {{ fill: var(--muted); font-size: 12px; }}
.band {{ fill: var(--data); opacity: .18; }} .line {{ fill: none; stroke: var(--data); stroke-width: 2; }}
.dot {{ fill: var(--data); }} .end {{ fill: var(--data); font-size: 12px; font-weight: 600; }}
</style>
</head>
<body>
<main>
"""


@dataclass(frozen=True, slots=True)
class ProblemRow:
    uid: str
    question: str
    n: int  # graded samples
    c: int  # correct ones
    errors: int  # that the grader could not judge
    first_correct: int | None = None  # index of the first correct sample, where drawing stopped at it


@dataclass(frozen=True, slots=True)
class Report:
    """What the file tells. ``verdicts`` and ``facts``: (label, value); ``settings``: sections of (title, value)."""

    title: str
    made: str  # when, in words
    facts: Sequence[tuple[str, str]]
    curve: Line
    verdicts: Sequence[tuple[str, int]]
    problems: Sequence[ProblemRow]
    settings: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    stops: bool = False  # drawing a problem stopped at its first correct sample: then shares would be biased


def html_report(report: Report) -> Iterator[str]:
    """The file in pieces."""
    yield _HEAD.format(title=escape(report.title))
    yield f'<h1>{escape(report.title)}</h1>\n<p class="muted">Canopy report, {escape(report.made)}</p>\n'
    yield _pairs("Key figures", report.facts)
    yield "<h2>Coverage against samples</h2>\n"
    yield from _curve(report.curve)
    yield "<h2>Verdicts</h2>\n"
    yield _verdicts(report.verdicts)
    yield "<h2>Problems</h2>\n"
    yield from _problems(report.problems, stops=report.stops)
    yield "<h2>Settings</h2>\n"
    for section, rows in report.settings:
        yield _pairs(section, rows)
    yield "</main>\n</body>\n</html>\n"


def _curve(curve: Line) -> Iterator[str]:
    if not curve.k:
        yield "<p>No problem has a graded sample yet, so there is no curve.</p>\n"
        return
    last = curve.k[-1]
    words = (
        f"Coverage rises from {curve.coverage[0]:.1%} with one sample to {curve.coverage[-1]:.1%} with {last:,} "
        "samples per problem."
    )
    yield f"<figure>{coverage_svg(curve, words)}<figcaption>{words} The band is the 95% interval for new problems of "
    yield "the same kind.</figcaption></figure>\n<details><summary>As a table</summary>\n"
    rows = zip(curve.k, curve.coverage, curve.lo, curve.hi, strict=True)
    cells = [(f"{k:,}", f"{value:.2%}", f"{lo:.2%}", f"{hi:.2%}") for k, value, lo, hi in rows]
    yield _table(("k", "Coverage", "Band from", "Band to"), cells)
    yield "</details>\n"


def _verdicts(verdicts: Sequence[tuple[str, int]]) -> str:
    total = sum(count for _, count in verdicts) or 1
    return _table(
        ("Verdict", "Samples", "Share"), [(escape(label), f"{n:,}", f"{n / total:.1%}") for label, n in verdicts]
    )


def _problems(problems: Sequence[ProblemRow], *, stops: bool) -> Iterator[str]:
    caption, last = "Share of graded samples that are correct", "Share"
    if stops:
        caption, last = "Each problem was drawn until one of its samples was correct", "First correct"
    yield f'<table><caption>{caption}</caption><thead><tr><th scope="col">Problem</th>'
    yield '<th scope="col">Question</th><th scope="col" class="num">Correct</th><th scope="col" class="num">Graded</th>'
    yield '<th scope="col" class="num">Not judged</th>'
    yield f'<th scope="col">{last}</th></tr></thead><tbody>\n'
    for one in problems:
        question = one.question if len(one.question) <= _QUESTION else one.question[: _QUESTION - 1] + "…"
        share = f"{one.c / one.n:.1%}" if one.n else "–"
        shown = f'<progress value="{one.c}" max="{max(1, one.n)}"></progress> {share}'
        if stops:
            shown = "–" if one.first_correct is None else f"sample {one.first_correct:,}"
        yield (
            f'<tr><th scope="row">{escape(one.uid)}</th><td>{escape(question)}</td><td class="num">{one.c:,}</td>'
            f'<td class="num">{one.n:,}</td><td class="num">{one.errors:,}</td>'
            f"<td>{shown}</td></tr>\n"
        )
    yield "</tbody></table>\n"


def _pairs(caption: str, rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f'<tr><th scope="row">{escape(title)}</th><td>{_value(value)}</td></tr>\n' for title, value in rows)
    return f"<table><caption>{escape(caption)}</caption><tbody>\n{cells}</tbody></table>\n"


def _value(value: str) -> str:
    return f"<pre>{escape(value)}</pre>" if "\n" in value else escape(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already; all columns but the first are numbers."""
    names = "".join(f'<th scope="col"{_number(place)}>{name}</th>' for place, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td{_number(place)}>{cell}</td>" for place, cell in enumerate(row)) + "</tr>\n"
        for row in rows
    )
    return f"<table><thead><tr>{names}</tr></thead><tbody>\n{body}</tbody></table>\n"


def _number(place: int) -> str:
    return ' class="num"' if place else ""
