"""Files that somebody made to hurt the reader."""

from __future__ import annotations

import gzip
import io
import stat
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from engine.exchange import ExchangeError, Limits, Source, read_results
from engine.exchange.jsonstream import JsonReader
from tests.engine.exchange.samples import dump, monkeys, zipped

KB = 1024


def refused(path: Path, content: bytes, name: str = "x.zip", limits: Limits | None = None) -> str:
    path.write_bytes(content)
    with pytest.raises(ExchangeError) as error:
        list(read_results(Source(path, name, limits or Limits())))
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "..\\evil.json", "C:/evil.json"]
)
def test_paths_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    assert "leads out of its folder" in refused(tmp_path / "f", zipped({name: dump(monkeys()[0])}))


def test_links_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("problem.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert "has a link" in refused(tmp_path / "f", buffer.getvalue())


def test_a_bomb_is_seen_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = zipped({"a.json": b" " * 64 * KB * KB})
    assert len(bomb) < 100 * KB
    tracemalloc.start()
    assert "as only a zip bomb does" in refused(tmp_path / "f", bomb)
    assert tracemalloc.get_traced_memory()[1] < KB * KB
    tracemalloc.stop()


def test_the_sum_of_sizes_counts_and_the_number_of_files(tmp_path: Path) -> None:
    many = zipped({f"{i}.json": dump(monkeys()[0]) for i in range(20)})
    assert "unpacks to more than" in refused(tmp_path / "f", many, limits=Limits(unpacked_bytes=2 * KB))
    assert "more than 10 files" in refused(tmp_path / "f", many, limits=Limits(members=10))
    assert "unpacks to more than 0 MB" in refused(tmp_path / "f", many, limits=Limits(value_bytes=100))


def test_a_size_that_lies_is_found_out(tmp_path: Path) -> None:
    """The directory says 10 bytes; the packed data holds more."""
    content = bytearray(zipped({"a.jsonl": dump(monkeys()[0]) * 50}))
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    assert refused(tmp_path / "f", bytes(content))


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.json": b"{}"}))
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 8] |= 1
    assert "is encrypted" in refused(tmp_path / "f", bytes(content))


def test_a_packing_that_python_cannot_read_is_named(tmp_path: Path) -> None:
    """Some tools write zstandard (method 93)."""
    content = bytearray(zipped({"a.json": dump(monkeys()[0])}))
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 10] = content[8] = 93
    assert "pack the file again with the usual one" in refused(tmp_path / "f", bytes(content))


def test_a_gzip_bomb_ends_at_the_limit(tmp_path: Path) -> None:
    bomb = gzip.compress(b"problem,correct\n" + b"p,1" + b" " * 4 * KB * KB)
    assert "unpacks to more than is allowed" in refused(
        tmp_path / "f", bomb, "x.csv.gz", Limits(unpacked_bytes=KB * KB)
    )


def test_limits_on_problems_samples_and_texts(tmp_path: Path) -> None:
    two = b"problem,correct,text\np,1,abcdef\np,1,\nq,1,\n"
    assert "line 4: more than 1 problems" in refused(tmp_path / "f", two, "x.csv", Limits(problems=1))
    assert "line 3: more than 1 samples" in refused(tmp_path / "f", two, "x.csv", Limits(samples_per_problem=1))
    assert "line 4: more than" in refused(tmp_path / "f", two, "x.csv", Limits(samples=2))
    assert "line 2: an answer of more than 5" in refused(tmp_path / "f", two, "x.csv", Limits(text=5))


def test_a_long_line_and_deep_nesting_are_refused(tmp_path: Path) -> None:
    long = b'{"task_id": "x", "completion": "' + b"y" * 5 * KB
    assert "longer than" in refused(tmp_path / "f", long, "x.jsonl", Limits(value_bytes=KB))
    deep = b'[{"samples": ' + b"[" * 200_000
    assert "nested too deeply" in refused(tmp_path / "f", deep, "x.json")
    deep_line = b'{"task_id": "x", "completion": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    assert "line 1: not valid JSON" in refused(tmp_path / "f", deep_line, "x.jsonl")


def test_a_yaml_bomb_costs_nothing(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)), "samples: *a59"]
    assert "YAML aliases" in refused(tmp_path / "f", "\n".join(lines).encode(), "x.yaml")


def test_json_is_read_a_value_at_a_time(tmp_path: Path) -> None:
    """25 MB of array in a few MB of memory."""
    path = tmp_path / "long.json"
    path.write_bytes(b"[" + b",".join([b'{"text": "' + b"x" * 50_000 + b'"}'] * 500) + b"]")
    tracemalloc.start()
    with path.open("rb") as file:
        reader = JsonReader(file, Limits())
        assert sum(1 for _ in reader.elements() if reader.value()) == 500
    assert tracemalloc.get_traced_memory()[1] < 4 * KB * KB
    tracemalloc.stop()
