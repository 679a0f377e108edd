"""Makes docs/benchmarks.md, and tables inside other pages, from docs/benchmarks/*.json: python -m benchmarks.tables

A page asks for a table with a comment, <!-- table NAME -->, and one that ends it, <!-- end of table -->.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks._report import RESULTS, ROOT, table

PAGE = ROOT / "docs" / "benchmarks.md"
HEADER = """# Benchmarks

Made by `python -m benchmarks.tables` from the files in docs/benchmarks/, which the benchmarks write. Do not edit.
"""


def page(reports: list[dict[str, Any]]) -> str:
    return "\n".join([HEADER, *(section(report) for report in reports)])


def section(report: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    notes = [report["notes"], ""] if report.get("notes") else []
    facts = (
        f"{report['machine']}. {versions}. {report['date']}, commit {report['commit']}. Again: `{report['command']}`"
    )
    rows = by_angle(report) if report["name"] == "detection-rotation" else table(report)
    return "\n".join([f"## {report['title']}", "", *notes, rows, "", facts, ""])


def by_angle(report: dict[str, Any]) -> str:
    """One line for each method with AP / AP50 / AP75 by test angle, and how far AP75 spreads over the seeds."""
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for row in report["rows"]:
        metric, angle = row["metric"].removesuffix(" degrees").split(" at ")
        cells.setdefault(row["case"], {}).setdefault(angle, {})[metric] = row
    angles = list(dict.fromkeys(angle for case in cells.values() for angle in case))
    lines = [["data, detector, method", "seeds", *angles], ["---"] * (len(angles) + 2)]
    for case, found in cells.items():
        values = []
        for angle in angles:
            three = [f"{found[angle][metric]['value']:.1f}" for metric in ("AP", "AP50", "AP75")]
            spread = found[angle]["AP75"]["peers"].get("standard deviation")
            values.append(" / ".join(three) + (f" ± {spread:.1f}" if spread is not None else ""))
        lines.append([case, str(found[angles[0]]["AP"]["peers"]["seeds"]), *values])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fill(text: str, reports: dict[str, dict[str, Any]]) -> str:
    """A page with the tables it asks for."""

    def made(match: re.Match[str]) -> str:
        report = reports[match[1]]
        rows = by_angle(report) if match[1] == "detection-rotation" else table(report)
        return f"<!-- table {match[1]} -->\n{rows}\n<!-- end of table -->"

    return re.sub(r"<!-- table ([\w-]+) -->.*?<!-- end of table -->", made, text, flags=re.DOTALL)


def main() -> None:
    files: list[Path] = sorted(RESULTS.glob("*.json"))
    reports = [json.loads(file.read_text()) for file in files]
    PAGE.write_text(page(reports))
    for other in (ROOT / "docs").glob("*.md"):
        before = other.read_text()
        if (after := fill(before, {report["name"]: report for report in reports})) != before:
            other.write_text(after)
    print(f"{PAGE.relative_to(ROOT)} made from {len(files)} files")


if __name__ == "__main__":
    main()
