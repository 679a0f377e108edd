"""Benchmarks: each prints a table and writes docs/benchmarks/<name>.json, benchmarks.tables makes the page."""
