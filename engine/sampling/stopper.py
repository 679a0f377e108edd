"""Finds stop strings in a stream of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
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


@lru_cache(maxsize=4)  # an engine asks for every call, and looking through a vocabulary takes as long as many steps
def completes_stop(tokenizer: Any, stop: tuple[str, ...], vocabulary: int) -> NDArray[np.bool_]:
    """By token id: whether the token may be the one that completes a stop string; most cannot.

    It must contain the last character of one, or a part of a character. tokenizer: transformers' fast one. Callers
    share the array: it is read-only.
    """
    may = np.zeros(vocabulary, np.bool_)
    if not stop:
        return may
    ends = {text[-1] for text in stop} | {"\ufffd"}
    core = tokenizer.backend_tokenizer
    # After another token: some decoders drop the space before the first one.
    before = next(i for i in range(core.get_vocab_size()) if core.decode([i], skip_special_tokens=True).isalnum())
    skipped = len(core.decode([before]))
    texts = core.decode_batch([[before, i] for i in range(min(vocabulary, core.get_vocab_size()))])
    may[: len(texts)] = [not ends.isdisjoint(text[skipped:]) for text in texts]
    may.flags.writeable = False
    return may
