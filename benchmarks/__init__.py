"""Benchmarks. Each prints a table and writes docs/benchmarks/<name>.json; `python -m benchmarks.tables` makes the page."""
