"""Teacher-forced logits and greedy tokens of the tree against transformers' own forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel

from engine.models import Model
from engine.models.attention import TreeModel
from engine.sampling import Engine, Request, SamplingParams
from engine.sampling.padded import prefill
from engine.sampling.runner import Chunk
from engine.sampling.tree import Grouping, KVPool, TreeLevel
from tests.tiny_model import FAMILIES

Load = Callable[[str], Model]
LoadReference = Callable[[str], PreTrainedModel]
# Depth by depth: (parent, length) of every node. Regular, ragged, with empty nodes and one-child groups.
TREES = {
    "one level": [[(0, 9)]],
    "one level, ragged": [[(0, 9), (0, 1), (0, 14)]],
    "two levels": [[(0, 11)], [(0, 5), (0, 5), (0, 5)]],
    "two levels, ragged": [[(0, 11), (0, 3)], [(0, 5), (1, 1), (0, 8), (1, 13)]],
    "three levels": [[(0, 8)], [(0, 4), (0, 4)], [(0, 3), (0, 3), (1, 3), (1, 3)]],
    "three levels, ragged": [[(0, 13)], [(0, 6), (0, 0), (0, 2)], [(0, 1), (1, 7), (2, 3), (0, 4), (0, 2)]],
}


def token(depth: int, node: int, column: int) -> int:
    return 5 + (depth * 97 + node * 31 + column * 17) % 280


def tree_logits(model: Model, tree: list[list[tuple[int, int]]]) -> list[tuple[list[int], torch.Tensor]]:
    """(path tokens, logits after the last) of each leaf, every node computed once below its ancestors."""
    runner = TreeModel(model.module)
    pools: list[KVPool] = []
    paths: list[list[list[int]]] = []  # depth -> node -> tokens from the top
    lineage: list[list[list[int]]] = []  # depth -> node -> its ancestors, top first
    logits: list[torch.Tensor] = []
    for depth, nodes in enumerate(tree):
        pool = KVPool(
            model.shape, len(nodes), max(length for _, length in nodes), dtype=model.dtype, device=model.device
        )
        prompts = {n: [token(depth, n, c) for c in range(length)] for n, (_, length) in enumerate(nodes)}
        pools.append(pool)
        lineage.append([[*lineage[-1][parent], parent] if depth else [] for parent, _ in nodes])
        paths.append([[*(paths[-1][parent] if depth else []), *prompts[n]] for n, (parent, _) in enumerate(nodes)])
        logits = []
        for n, (_, length) in enumerate(nodes):
            pool.clear(n)
            if not length:
                continue
            # Two passes per node where possible: the second one attends to the first one's keys.
            for begin, end in ((0, length // 2), (length // 2, length)):
                if begin == end:
                    continue
                ancestors = [
                    TreeLevel.over(
                        pools[d], [tree[d][a][1]], [len(paths[d][a]) - tree[d][a][1]], slots=[a], grouping=Grouping()
                    )
                    for d, a in enumerate(lineage[depth][n])
                ]
                start = len(paths[depth][n]) - length
                out = prefill(runner, pool, [Chunk(n, begin, end)], prompts, start=start, ancestors=ancestors)
            logits.append(out[0])
    return list(zip(paths[-1], logits, strict=True))


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_transformers(tiny_model: Load, reference_model: LoadReference, family: str, name: str) -> None:
    expected_by = reference_model(family)
    for path, logits in tree_logits(tiny_model(family), TREES[name]):
        with torch.inference_mode():
            expected = expected_by(torch.tensor([path])).logits[0, -1]
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_forced_decoding_equals_transformers_at_every_position(
    tiny_model: Load, reference_model: LoadReference, monkeypatch: pytest.MonkeyPatch, family: str, paged: bool
) -> None:
    """Greedy samples of a ragged three-level tree: their tokens and log-probabilities, position by position.

    The paths outgrow the tiny sliding windows, and samples take over the places of finished ones.
    """
    monkeypatch.setattr("engine.sampling.paged.PAGE", 16)
    model = tiny_model(family)
    root, prompts = tuple(range(20, 33)), [tuple(range(40, 45)), (), (60,)]
    requests = [Request(problem, prompt, (0, 1, 2)) for problem, prompt in enumerate(prompts)]
    params = SamplingParams(temperature=0, max_tokens=28)
    samples = list(Engine(model, max_batch=4, paged=paged).generate(root, requests, params))
    assert len(samples) == 9
    for sample in samples:
        path = [*root, *prompts[sample.problem]]
        with torch.inference_mode():
            logits = reference_model(family)(torch.tensor([[*path, *sample.token_ids]])).logits[0]
        steps = logits[len(path) - 1 : -1]
        assert tuple(steps.argmax(-1).tolist()) == sample.token_ids
        drawn = steps.log_softmax(-1).gather(1, torch.tensor(sample.token_ids)[:, None]).sum()
        assert sample.logprob == pytest.approx(float(drawn), abs=1e-3)
        certainty = -(steps.log_softmax(-1) + math.log(steps.shape[-1])).mean()
        assert sample.self_certainty == pytest.approx(float(certainty), abs=1e-4)


def test_greedy_equals_generate(tiny_model: Load, reference_model: LoadReference) -> None:
    root, prompt = tuple(range(30, 60)), tuple(range(100, 107))
    [sample] = Engine(tiny_model("llama")).generate(
        root, [Request(0, prompt, (0,))], SamplingParams(temperature=0, max_tokens=40)
    )
    ids = torch.tensor([[*root, *prompt]])
    with torch.inference_mode():
        expected = reference_model("llama").generate(ids, max_new_tokens=40, do_sample=False, pad_token_id=0)
    assert sample.token_ids == tuple(expected[0, ids.shape[1] :].tolist())


def test_long_prompts_are_computed_in_pieces(
    llama: Model, reference_model: LoadReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.sampling.padded.PREFILL_ROWS", 7)
    monkeypatch.setattr("engine.sampling.paged.PREFILL_ROWS", 7)
    root, prompts = tuple(range(20, 50)), [tuple(range(60, 77)), (80, 81, 82), (90, 91)]
    params = SamplingParams(temperature=0, max_tokens=3)
    requests = [Request(i, p, (0,)) for i, p in enumerate(prompts)]
    both = [Engine(llama, paged=paged).generate(root, requests, params) for paged in (False, True)]
    for sample in (sample for samples in both for sample in samples):
        ids = torch.tensor([[*root, *prompts[sample.problem]]])
        with torch.inference_mode():
            expected = reference_model("llama").generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0)
        assert sample.token_ids == tuple(expected[0, ids.shape[1] :].tolist())
