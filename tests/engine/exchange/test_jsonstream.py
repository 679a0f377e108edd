from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.exchange import jsonstream
from engine.exchange.jsonstream import JsonReader
from engine.exchange.records import Limits

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def walk(reader: JsonReader) -> Any:
    """The value, stepping into everything that can be stepped into."""
    if reader.peek() == "[":
        return [walk(reader) for _ in reader.elements()]
    if reader.peek() == "{":
        return {key: walk(reader) for key in reader.items()}
    return reader.value()


@given(value=VALUES, indent=st.sampled_from([None, 2]), chunk=st.integers(1, 9))
def test_it_reads_what_json_reads_whatever_the_chunks(value: Any, indent: int | None, chunk: int) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return
    before, jsonstream._CHUNK = jsonstream._CHUNK, chunk
    try:
        reader = JsonReader(io.BytesIO(raw), Limits())
        assert walk(reader) == value
        reader.end()
        assert JsonReader(io.BytesIO(raw), Limits()).value() == value
    finally:
        jsonstream._CHUNK = before


def test_places_are_lines() -> None:
    reader = JsonReader(io.BytesIO(b'[\n{"a":\n1},\n\n{"a": 2}]'), Limits(), "f.json")
    places = []
    for _ in reader.elements():
        reader.peek()
        places.append(reader.place)
        reader.value()
    assert places == ["f.json, line 2", "f.json, line 5"]
