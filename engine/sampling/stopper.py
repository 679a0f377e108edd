"""Finds stop strings in a stream of tokens."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class Stopper:
    """Watches one sample. Matches in generated text only, across token borders, never inside half a character.

    Bytes that do not yet form a character are held back by the stream until they do, so a stop string is seen
    with the token that completes it.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._longest = max((len(text) for text in stop), default=0)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._text = ""

    def feed(self, token: int) -> str | None:
        """Add a token. Returns the text before the earliest stop string once there is one, else None."""
        if not self._stop:
            return None
        piece = self._stream.step(self._tokenizer, token)
        if not piece:
            return None
        # Only text that the new piece can have completed needs a search.
        begin = max(0, len(self._text) - self._longest + 1)
        self._text += piece
        found = [at for text in self._stop if (at := self._text.find(text, begin)) >= 0]
        return self._text[: min(found)] if found else None
