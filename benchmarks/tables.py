"""Makes docs/benchmarks.md from docs/benchmarks/*.json: python -m benchmarks.tables"""

from __future__ import annotations

import json
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
    return "\n".join([f"## {report['title']}", "", *notes, table(report), "", facts, ""])


def main() -> None:
    files: list[Path] = sorted(RESULTS.glob("*.json"))
    PAGE.write_text(page([json.loads(file.read_text()) for file in files]))
    print(f"{PAGE.relative_to(ROOT)} made from {len(files)} files")


if __name__ == "__main__":
    main()
