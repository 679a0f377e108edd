from __future__ import annotations

import json
from typing import Any

import pytest

from engine.endpoint import EndpointError, find_endpoint, is_hosted, parse_endpoints, parse_model


def test_endpoints_are_read_and_their_keys_are_not_printed() -> None:
    found = parse_endpoints('{"lab": {"url": "https://h.example/v1", "key": "sk-1", "concurrency": 2}}')
    assert (found["lab"].url, found["lab"].key, found["lab"].concurrency) == ("https://h.example/v1", "sk-1", 2)
    assert "sk-1" not in repr(found)
    assert parse_endpoints("") == parse_endpoints(" \n") == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{sk-secret", "no valid JSON"),
        ([], "must be an object"),
        ({"a": "sk-secret"}, "must be an object"),
        ({"a b": {"url": "https://h/v1"}}, "name 'a b' must be letters"),
        ({"a": {}}, "needs a url"),
        ({"a": {"url": "ftp://h"}}, "must look like https://host/v1"),
        ({"a": {"url": "https://user:sk-secret@h/v1"}}, "must look like https://host/v1"),
        (
            {"a": {"url": "https://h/v1", "keys": "sk-secret"}},
            "no setting 'keys'; there are: attempts, concurrency, key",
        ),
        ({"a": {"url": "https://h/v1", "concurrency": 0}}, "whole number from 1 to 256"),
        ({"a": {"url": "https://h/v1", "timeout": "long"}}, "number of seconds"),
        ({"a": {"url": "https://h/v1", "key": "sk-secret\n"}}, "one line of text"),
    ],
)
def test_wrong_settings_are_refused_without_quoting_a_key(value: Any, message: str) -> None:
    with pytest.raises(EndpointError, match=message) as error:
        parse_endpoints(value if isinstance(value, str) else json.dumps(value))
    assert "sk-secret" not in str(error.value)


def test_models_are_written_with_their_endpoint() -> None:
    assert parse_model("openai:org/gpt@4@lab") == ("org/gpt@4", "lab")
    assert is_hosted("openai:x") and not is_hosted("org/model")
    for wrong in ("openai:gpt", "openai:@lab", "openai:gpt@", "gpt@lab"):
        with pytest.raises(EndpointError, match="openai:MODEL@ENDPOINT"):
            parse_model(wrong)


def test_unknown_endpoints_list_the_known_ones() -> None:
    with pytest.raises(EndpointError, match=r"no endpoint called 'x'\. There are: lab, other"):
        find_endpoint("openai:m@x", {"lab": 1, "other": 2})
    with pytest.raises(EndpointError, match="CANOPY_ENDPOINTS"):
        find_endpoint("openai:m@x", {})
