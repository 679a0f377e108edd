"""JSON read piece by piece: one value at a time is in memory, however long the file is.

reader = JsonReader(file, limits)
for _ in reader.elements():       # the file is an array
    record = reader.value()
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import IO, Any

from engine.exchange.records import ExchangeError, Limits

_DECODER = json.JSONDecoder()
_CHUNK = 2**16
_SPACE = " \t\r\n"


class JsonReader:
    """A cursor in a JSON text. ``elements`` and ``items`` step into an array or an object; at each step the caller
    takes the whole value with ``value``, or steps into it. Raises ExchangeError with the line."""

    def __init__(self, file: IO[bytes], limits: Limits, what: str = "") -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="strict", newline="")
        self._limit = limits.value_bytes
        self._what = f"{what}, " if what else ""
        self._buffer, self._at, self._ended = "", 0, False
        self._lines = 1  # before the buffer

    @property
    def place(self) -> str:
        return f"{self._what}line {self._lines + self._buffer.count(chr(10), 0, self._at)}"

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in _SPACE:
                    return self._buffer[self._at]
                self._at += 1
            if not self._more():
                return ""

    def elements(self) -> Iterator[None]:
        """Step through the array that comes next."""
        self._expect("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield
            if not self._goes_on("]"):
                return

    def items(self) -> Iterator[str]:
        """Step through the object that comes next: its keys."""
        self._expect("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self._wrong("a key in quotes")
            self._expect(":")
            yield key
            if not self._goes_on("}"):
                return

    def value(self) -> Any:
        """The next value as a whole."""
        if not self.peek():
            raise self._wrong("a value")
        self._forget()
        size = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except RecursionError:
                raise ExchangeError(f"{self.place}: nested too deeply.") from None
            except ValueError as error:
                # The value may go on beyond the buffer; a mistake near its start shows before more is read.
                if self._is_hopeless(error) or not self._more(size):
                    raise self._wrong("valid JSON", error) from None
            else:
                if end < len(self._buffer) or not self._more():  # a number may go on
                    self._at = end
                    return value
            size *= 2
            if len(self._buffer) - self._at > self._limit:
                raise ExchangeError(f"{self.place}: a value of more than {self._limit // 2**20} MB; split the file.")

    def end(self) -> None:
        """Raise ExchangeError unless the text ends here."""
        if self.peek():
            raise self._wrong("the end of the file")

    def _goes_on(self, closing: str) -> bool:
        found = self.peek()
        if found not in (",", closing) or not found:
            raise self._wrong(f'"," or "{closing}"')
        self._at += 1
        return found == ","

    def _expect(self, character: str) -> None:
        if self.peek() != character:
            raise self._wrong(f'"{character}"')
        self._at += 1

    def _is_hopeless(self, error: ValueError) -> bool:
        return (
            isinstance(error, json.JSONDecodeError)
            and error.pos < len(self._buffer) - 16
            and not error.msg.startswith("Unterminated")
        )

    def _wrong(self, wanted: str, error: ValueError | None = None) -> ExchangeError:
        detail = f" ({error.msg})" if isinstance(error, json.JSONDecodeError) else ""
        return ExchangeError(f"{self.place}: expected {wanted}{detail}.")

    def _forget(self) -> None:
        """Drop what was read."""
        self._lines += self._buffer.count("\n", 0, self._at)
        self._buffer, self._at = self._buffer[self._at :], 0

    def _more(self, size: int = _CHUNK) -> bool:
        if self._ended:
            return False
        try:
            text = self._text.read(size)
        except UnicodeDecodeError:
            raise ExchangeError(f"{self.place}: not UTF-8 text; save the file as UTF-8.") from None
        if not text:
            self._ended = True
            return False
        if self._at:
            self._forget()
        self._buffer += text
        return True


def json_lines(file: IO[bytes], limits: Limits, what: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) of each line of a JSONL file; blank lines are skipped."""
    prefix = f"{what}, " if what else ""
    number = 0
    while line := file.readline(limits.value_bytes + 1):
        number += 1
        place = f"{prefix}line {number}"
        if len(line) > limits.value_bytes:
            raise ExchangeError(f"{place}: longer than {limits.value_bytes // 2**20} MB; split it.")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        yield place, parse_object(line, place)


def parse_object(raw: bytes, place: str) -> dict[str, Any]:
    """The JSON object in ``raw``; ExchangeError names the place."""
    try:
        value = json.loads(raw)
    except UnicodeDecodeError:
        raise ExchangeError(f"{place}: not UTF-8 text; save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        detail = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise ExchangeError(f"{place}: not valid JSON ({detail}); write one whole object on each line.") from None
    if not isinstance(value, dict):
        raise ExchangeError(f"{place}: expected an object in braces, got a {type(value).__name__}.")
    return value
