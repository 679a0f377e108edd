"""Benchmarks: each prints a table and writes docs/benchmarks/<name>.json, benchmarks.tables makes the page."""

import engine  # noqa: F401  sets how torch's threads wait, before a benchmark imports torch
