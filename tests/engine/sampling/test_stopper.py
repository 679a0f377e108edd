"""Stop strings in token streams."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from engine.sampling.stopper import Stopper
from tests.tiny_model import VOCABULARY, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_tokenizer().backend_tokenizer


def feed(tokenizer: Tokenizer, ids: list[int], stop: list[str]) -> tuple[str | None, int]:
    """(text before the stop, tokens fed)."""
    stopper = Stopper(tokenizer, stop)
    for fed, token in enumerate(ids, 1):
        text = stopper.feed(token)
        if text is not None:
            return text, fed
    return None, len(ids)


def bytewise(tokenizer: Tokenizer, text: str) -> list[int]:
    """One token per byte: every border of the text lies between two tokens."""
    return [token for byte in text.encode() for token in [_byte_token(tokenizer, byte)]]


def _byte_token(tokenizer: Tokenizer, byte: int) -> int:
    # GPT-2's byte alphabet: printable bytes stand for themselves, the others follow from U+0100.
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [value for value in range(256) if value not in plain]
    character = chr(byte) if byte in plain else chr(256 + other.index(byte))
    return int(tokenizer.token_to_id(character))


def test_stop_across_token_borders(tokenizer: Tokenizer) -> None:
    for ids in (tokenizer.encode("7.\n\nQuestion: Why").ids, bytewise(tokenizer, "7.\n\nQuestion: Why")):
        text, fed = feed(tokenizer, ids, ["\n\nQuestion"])
        assert text == "7."
        assert tokenizer.decode(ids[:fed]).startswith("7.\n\nQuestion")
        assert fed == len(ids) or "Why" not in tokenizer.decode(ids[:fed])


def test_stop_inside_a_token(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("has apples").ids
    assert len(ids) < len("has apples")
    assert feed(tokenizer, ids, ["pple"])[0] == "has a"


def test_earliest_stop_wins_also_when_listed_last(tokenizer: Tokenizer) -> None:
    assert feed(tokenizer, tokenizer.encode("ab 7 cd").ids, ["cd", "7"])[0] == "ab "


def test_characters_of_several_tokens(tokenizer: Tokenizer) -> None:
    ids = bytewise(tokenizer, "größe 数🙂 end")
    assert feed(tokenizer, ids, ["🙂"])[0] == "größe 数"
    assert feed(tokenizer, ids, ["数"])[0] == "größe "


def test_no_match_in_half_a_character(tokenizer: Tokenizer) -> None:
    half = bytewise(tokenizer, "é")[:1]
    assert feed(tokenizer, [*half, *bytewise(tokenizer, "x")], ["é"])[0] is None


def test_special_tokens_are_no_text(tokenizer: Tokenizer) -> None:
    end = int(tokenizer.token_to_id("<|im_end|>"))
    assert feed(tokenizer, [end, *tokenizer.encode("ab").ids], ["<|im_end|>"])[0] is None
    assert feed(tokenizer, [*tokenizer.encode("a").ids, end, *tokenizer.encode("b").ids], ["ab"])[0] == ""


@given(st.lists(st.integers(0, VOCABULARY - 1), max_size=40), st.text("aeB \n7", min_size=1, max_size=2))
@settings(max_examples=300, deadline=None)
def test_any_tokens_even_broken_bytes_and_unknown_ids(ids: list[int], stop: str) -> None:
    tokenizer = _TOKENIZER
    text, fed = feed(tokenizer, ids, [stop])
    decoded = tokenizer.decode(ids[:fed], skip_special_tokens=True)
    if text is not None:
        assert stop not in text
        assert decoded.startswith(text + stop)
    else:
        # Only text behind a broken character that nothing has completed yet may hide a stop.
        assert stop not in decoded.split("\ufffd")[0]


_TOKENIZER = build_tokenizer().backend_tokenizer
