from __future__ import annotations

import json
import socket
import time
from collections import Counter
from dataclasses import replace
from email.utils import formatdate
from itertools import islice
from typing import Any

import pytest

from engine.endpoint import Endpoint, EndpointError, HostedSample, Params, Prompt, Request, generate
from engine.endpoint.generate import call_seed
from tests.engine.endpoint.fake_server import KEY, FakeServer

PROMPT = Prompt(system="Be brief.", few_shot=(("1+1", "2"),), template="Q: {question}\nA:", chat=True)
PARAMS = Params(temperature=0.6, top_p=0.95, top_k=0, max_tokens=64, stop=("Q:",), seed=3)


def endpoint(server: FakeServer, **more: Any) -> Endpoint:
    return Endpoint(**{"name": "lab", "url": server.url, "key": KEY, "most_per_call": 4, "attempts": 3, **more})


def draw(server: FakeServer, indices: dict[int, range], prompt: Prompt = PROMPT, **more: Any) -> list[HostedSample]:
    requests = [Request(problem, f"{problem}?", tuple(wanted)) for problem, wanted in indices.items()]
    found = generate(endpoint(server, **more), "gpt-x", prompt, requests, PARAMS)
    return sorted(found, key=lambda one: (one.problem, one.index))


def test_every_sample_is_drawn_once_with_what_the_server_tells(server: FakeServer) -> None:
    found = draw(server, {0: range(6), 5: range(2, 4)})
    assert [(one.problem, one.index) for one in found] == [(0, i) for i in range(6)] + [(5, 2), (5, 3)]
    first = found[0]
    assert first == HostedSample(0, 0, f"{call_seed(3, 0, 0)}.0", 1, -0.5, "stop", call_seed(3, 0, 0), 11)
    assert (found[3].tokens, found[3].logprob, found[3].finish, found[3].prompt_tokens) == (4, -2.0, "length", 0)
    # Each call's prompt is counted once: three calls.
    assert sum(one.prompt_tokens for one in found) == 33
    assert sorted(body["n"] for body in server.bodies) == [2, 2, 4]


def test_no_call_begins_for_samples_above_the_one_that_solves_the_problem(server: FakeServer) -> None:
    requests = [Request(0, "0?", tuple(range(40))), Request(1, "1?", (0, 1))]
    solved: dict[int, int] = {}
    found = []
    for one in generate(
        endpoint(server, concurrency=1), "gpt-x", PROMPT, requests, PARAMS, solved=lambda: dict(solved)
    ):
        found.append((one.problem, one.index))
        solved[0] = 5
    assert {(0, index) for index in range(6)} | {(1, 0), (1, 1)} <= set(found)
    assert len(found) == len(set(found)) < 20, "what a call under way brought is kept, no other call is made"


def test_the_request_says_what_the_experiment_says(server: FakeServer) -> None:
    draw(server, {0: range(1)})
    (body,) = server.bodies
    assert body["model"] == "gpt-x"
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Q: 1+1\nA:"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "Q: 0?\nA:"},
    ]
    wanted = {"temperature": 0.6, "top_p": 0.95, "max_tokens": 64, "stop": ["Q:"], "n": 1, "logprobs": True}
    assert {name: body[name] for name in wanted} == wanted
    assert not {"top_k", "min_p"} & set(body)  # no part of the protocol: only said when they change something
    assert replace(PARAMS, top_k=5, min_p=0.1).body(1, 0, chat=True).items() >= {"top_k": 5, "min_p": 0.1}.items()


def test_plain_prompts_are_completed(server: FakeServer) -> None:
    (one,) = draw(server, {0: range(1)}, replace(PROMPT, chat=False))
    assert server.bodies[0]["prompt"] == "Be brief.\n\nQ: 1+1\nA: 2\n\nQ: 0?\nA:"
    assert (one.tokens, one.logprob) == (1, -0.5)


def test_seeds_depend_on_the_place_alone() -> None:
    assert call_seed(1, 2, 3) == call_seed(1, 2, 3)
    seeds = {call_seed(seed, problem, index) for seed in range(4) for problem in range(20) for index in range(20)}
    assert len(seeds) == 1600
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_fewer_answers_than_asked_for_are_asked_for_again(server: FakeServer) -> None:
    server.most_choices = 1
    assert [one.index for one in draw(server, {0: range(4)})] == [0, 1, 2, 3]
    assert [body["n"] for body in server.bodies] == [4, 3, 2, 1]
    assert len({body["seed"] for body in server.bodies}) == 4  # no call repeats the answers of another


def test_without_logprobs_the_calls_tokens_are_shared_out(server: FakeServer) -> None:
    server.with_logprobs = False
    found = draw(server, {0: range(4)})
    assert [one.tokens for one in found] == [3, 3, 2, 2]  # 10 in all
    assert {one.logprob for one in found} == {None}


def test_a_server_that_counts_nothing_leaves_lengths_unknown(server: FakeServer) -> None:
    server.with_logprobs = server.with_usage = False
    found = draw(server, {0: range(2)})
    assert [(one.tokens, one.logprob, one.prompt_tokens) for one in found] == [(None, None, 0)] * 2


def test_settings_that_a_server_does_not_know_are_left_out(server: FakeServer) -> None:
    server.knows = set()
    found = draw(server, {0: range(8)}, concurrency=1)
    assert len(found) == 8
    last = server.bodies[-1]
    assert not {"logprobs", "seed", "max_tokens"} & set(last)
    assert last["max_completion_tokens"] == 64
    assert len(server.bodies) == 3 + 2  # learnt once


def test_calls_at_once_are_limited(server: FakeServer) -> None:
    server.delay = 0.05
    draw(server, {i: range(4) for i in range(8)}, concurrency=3)
    assert server.most_at_once == 3


# --- trouble


def hang_up(handler: Any) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def half(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')
    handler.close_connection = True


PASSING = {
    "429": (429, {}, b"{}"),
    "500": (500, {}, b"oops"),
    "503": (503, {}, b""),
    "hangs up": hang_up,
    "half an answer": half,
    "no JSON": (200, {}, b"<html>"),
    "no choices": (200, {}, b'{"choices": []}'),
    "no text": (200, {}, b'{"choices": [{"text": 7}]}'),
    "an array": (200, {}, b"[]"),
    "deep": (200, {}, b"[" * 100_000),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again(name: str, server: FakeServer) -> None:
    server.faults.extend([PASSING[name]] * 2)
    assert len(draw(server, {0: range(2)})) == 2
    assert len(server.bodies) == 3


def test_a_silent_server_is_tried_again(server: FakeServer) -> None:
    server.faults.append(lambda handler: time.sleep(0.5))
    assert len(draw(server, {0: range(1)}, timeout=0.1)) == 1


@pytest.mark.parametrize("as_date", [False, True])
def test_the_wait_that_a_server_asks_for_is_kept(as_date: bool, server: FakeServer) -> None:
    value = formatdate(time.time() + 2, usegmt=True) if as_date else "0.3"
    server.faults.append((429, {"Retry-After": value}, b"{}"))
    draw(server, {0: range(1)})
    assert server.times[1] - server.times[0] >= 0.3


def test_waits_grow(server: FakeServer) -> None:
    server.faults.extend([(500, {}, b"")] * 5)
    draw(server, {0: range(1)}, attempts=7)
    waits = [later - earlier for earlier, later in zip(server.times, server.times[1:], strict=False)]
    assert waits[4] > 16 * 0.01 / 2  # at least half of the doubled wait


def test_it_gives_up_with_the_last_reason(server: FakeServer) -> None:
    server.faults.extend([(503, {}, b'{"error": {"message": "overloaded"}}')] * 3)
    with pytest.raises(
        EndpointError, match=r"lab failed 3 times in a row, last with: status 503 \(overloaded\)"
    ) as error:
        draw(server, {0: range(1)})
    assert not error.value.is_final  # an outage ends


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "Check its key"), (403, "Check its key"), (404, "Check its url"), (400, "")]
)
def test_what_cannot_pass_is_not_tried_again(status: int, hint: str, server: FakeServer) -> None:
    server.faults.append((status, {}, json.dumps({"error": {"message": f"no, {KEY}\n!"}}).encode()))
    with pytest.raises(EndpointError, match=f"with status {status}.*{hint}") as error:
        draw(server, {0: range(1)})
    assert error.value.is_final
    assert KEY not in str(error.value) and "***" in str(error.value)
    assert len(server.bodies) == 1


def test_a_wrong_key_is_never_quoted(server: FakeServer) -> None:
    with pytest.raises(EndpointError, match="status 401") as error:
        draw(server, {0: range(1)}, key="sk-other")
    assert "sk-other" not in str(error.value)


def test_nobody_there(server: FakeServer) -> None:
    with pytest.raises(EndpointError, match="no connection"):
        draw(server, {0: range(1)}, url="http://127.0.0.1:9/v1", attempts=2)


def test_a_cancel_drops_the_calls_under_way(server: FakeServer) -> None:
    """Cancelled while every call hangs: the generator ends by itself long before the server answers."""
    server.delay = 30
    begin = time.monotonic()
    requests = [Request(i, "?", (0,)) for i in range(20)]
    stopped = generate(
        endpoint(server), "m", PROMPT, requests, PARAMS, cancelled=lambda: time.monotonic() - begin > 0.3
    )
    assert list(stopped) == []
    assert time.monotonic() - begin < 10


def test_leaving_early_ends_the_threads(server: FakeServer) -> None:
    requests = [Request(i, "?", tuple(range(4))) for i in range(200)]
    some = list(islice(generate(endpoint(server, concurrency=2), "m", PROMPT, requests, PARAMS), 5))
    assert len(Counter((one.problem, one.index) for one in some)) == 5
    time.sleep(0.1)
    asked = len(server.bodies)
    time.sleep(0.2)
    assert len(server.bodies) == asked < 200
