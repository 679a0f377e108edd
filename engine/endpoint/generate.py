"""Repeated sampling from a hosted model: many calls at once, each for some answers to one problem."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from engine.endpoint.client import Client, Stopped
from engine.endpoint.config import Endpoint
from engine.endpoint.protocol import Params, Prompt

_LOOK_SECONDS = 0.2  # how soon a cancel is seen


@dataclass(frozen=True, slots=True)
class Request:
    """Samples to draw for one problem."""

    problem: int
    question: str
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HostedSample:
    """``seed`` is what the call asked for: its answers share it. ``prompt_tokens``: what the server counted for the
    call's prompt, at its first sample; 0 at the others, so that sums are right."""

    problem: int
    index: int
    text: str
    tokens: int | None
    logprob: float | None
    finish: str
    seed: int
    prompt_tokens: int


def generate(
    endpoint: Endpoint,
    model: str,
    prompt: Prompt,
    requests: Sequence[Request],
    params: Params,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    solved: Callable[[], Mapping[int, int]] = dict,
) -> Iterator[HostedSample]:
    """Every sample as it arrives. ``cancelled`` is asked several times a second; then all calls are dropped.

    So is ``solved``, {problem: lowest index of a correct sample}: no call begins for samples above it, and what a call
    under way brings is yielded, because it is charged for.

    Raises EndpointError when a call fails for good.
    """
    waiting: SimpleQueue[Request] = SimpleQueue()
    found: SimpleQueue[HostedSample | BaseException | None] = SimpleQueue()
    chunks = [chunk for request in requests for chunk in _chunks(request, endpoint.most_per_call)]
    for chunk in chunks:
        waiting.put(chunk)
    client = Client(endpoint)
    known: Mapping[int, int] = solved()

    def work() -> None:
        try:
            while True:
                chunk = _needed(waiting.get_nowait(), known)
                for sample in _draw(client, model, prompt, chunk, params):
                    found.put(sample)
        except Empty:
            found.put(None)
        except Stopped:
            pass
        except BaseException as error:
            found.put(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(endpoint.concurrency, len(chunks)))]
    for thread in threads:
        thread.start()
    try:
        working = len(threads)
        while working and not cancelled():
            known = solved()
            try:
                item = found.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            if isinstance(item, BaseException):
                raise item
            if item is None:
                working -= 1
            else:
                yield item
    finally:
        client.close()


def _chunks(request: Request, most: int) -> Iterator[Request]:
    for start in range(0, len(request.indices), most):
        yield Request(request.problem, request.question, request.indices[start : start + most])


def _needed(request: Request, solved: Mapping[int, int]) -> Request:
    last = solved.get(request.problem)
    if last is None:
        return request
    return replace(request, indices=tuple(index for index in request.indices if index <= last))


def _draw(client: Client, model: str, prompt: Prompt, request: Request, params: Params) -> Iterator[HostedSample]:
    """All samples of one chunk. A server may give fewer answers than asked for: the rest is asked for again."""
    left = list(request.indices)
    while left:
        seed = call_seed(params.seed, request.problem, left[0])
        body = {"model": model, **prompt.body(request.question), **params.body(len(left), seed, chat=prompt.chat)}
        answer = client.call(prompt.path, body)
        prompt_tokens = answer.prompt_tokens
        for choice in answer.choices[: len(left)]:
            yield HostedSample(
                problem=request.problem,
                index=left.pop(0),
                text=choice.text,
                tokens=choice.tokens,
                logprob=choice.logprob,
                finish=choice.finish,
                seed=seed,
                prompt_tokens=prompt_tokens,
            )
            prompt_tokens = 0


def call_seed(seed: int, problem: int, index: int) -> int:
    """The seed of the call that begins with sample ``index``: 31 bits, which every server takes."""
    digest = hashlib.blake2b(f"{seed}/{problem}/{index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) >> 1
