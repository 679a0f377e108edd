"""Checks of one version of `draw` against a brute-force float64 oracle, for the interpreter (CPU) and for a GPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from kernels.sampling import reference
from kernels.sampling.noise import hash_bits, position_keys, scramble_ids

Version = Callable[..., tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Settings:
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0

    @property
    def filtered(self) -> bool:
        return self.top_p < 1 or self.top_k > 0

    def tensor(self, device: str) -> Tensor:
        return torch.tensor([self.temperature, self.top_p, self.top_k, self.min_p], device=device)


ALL_SETTINGS = [
    Settings(),
    Settings(temperature=0.6),
    Settings(temperature=0.7, min_p=0.1),
    Settings(top_k=1),
    Settings(temperature=1.4, top_k=20),
    Settings(top_p=0.9),
    Settings(temperature=0.6, top_p=0.95, top_k=20),
    Settings(temperature=2.0, top_p=0.5, min_p=0.01),
    Settings(temperature=1.5, top_p=0.8, top_k=50, min_p=0.02),
    Settings(top_k=10**6, top_p=0.99),
    Settings(top_p=1e-6),
]


@dataclass
class Case:
    """Random logits with their keys. wide: elements of a row in memory, more than V where rows are apart."""

    rows: int
    vocabulary: int
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    scale: float = 3.0
    padding: int = 0
    seed: int = 0
    logits: Tensor = field(init=False)

    def __post_init__(self) -> None:
        generator = torch.Generator(self.device).manual_seed(self.seed)
        source = {"generator": generator, "device": self.device}
        wide = torch.randn(self.rows, self.vocabulary + self.padding, **source) * self.scale
        self.logits = wide.to(self.dtype)[:, : self.vocabulary]
        self.keys = torch.randint(-(2**63), 2**63 - 1, (self.rows,), **source)
        self.positions = torch.randint(0, 5000, (self.rows,), **source).int()
        self.words = scramble_ids(torch.arange(self.vocabulary, device=self.device))

    def run(
        self, version: Version, settings: Settings, *, greedy: bool = False, rows: slice = slice(None)
    ) -> tuple[Tensor, Tensor, Tensor]:
        return version(
            self.logits[rows],
            self.keys[rows],
            self.positions[rows],
            settings.tensor(self.device),
            filtered=settings.filtered,
            greedy=greedy,
            token_words=self.words,
        )


def kept_tokens(logits: Tensor, settings: Settings, top_p: float | None = None) -> Tensor:
    """Which tokens the filters keep, bool like `logits`, by their definitions and in float64."""
    scaled = logits.double() / settings.temperature
    order = logits.double().sort(descending=True, dim=-1)
    kept = torch.ones_like(scaled, dtype=torch.bool)
    if 0 < settings.top_k < logits.shape[-1]:
        kept = logits.double() >= order.values[:, settings.top_k - 1 : settings.top_k]
    if settings.top_p < 1:
        mass = scaled.masked_fill(~kept, float("-inf")).softmax(-1).gather(1, order.indices)
        total = torch.cat([torch.zeros_like(mass[:, :1]), mass.cumsum(-1)], dim=-1)
        # The mass of all strictly larger logits: up to the first of a run of equal ones.
        first = torch.searchsorted(-order.values, -logits.double().contiguous())
        kept &= total.gather(1, first) < (settings.top_p if top_p is None else top_p)
    if settings.min_p > 0:
        kept &= scaled.exp() >= settings.min_p * scaled.amax(-1, keepdim=True).exp()
    return kept


def noise64(case: Case) -> Tensor:
    low, high = position_keys(case.keys, case.positions)
    bits = hash_bits((low[:, None], high[:, None]), case.words).double()
    return -torch.log(-torch.log1p(-(bits + 0.5) * 2.0**-31))


def self_certainty64(logits: Tensor) -> Tensor:
    """KL(uniform || softmax) of each row by its definition: the sum of u log(u / p) over the vocabulary, u = 1/V."""
    u = 1 / logits.shape[-1]
    return (u * (math.log(u) - logits.double().log_softmax(-1))).sum(-1)


def check_exact(version: Version, case: Case, settings: Settings) -> None:
    """The token is the kept one of the largest score, up to fp32 rounding; the other two are raw."""
    tokens, logprobs, certainties = case.run(version, settings)
    assert tokens.dtype == torch.int64 and logprobs.dtype == certainties.dtype == torch.float32
    torch.testing.assert_close(certainties.double(), self_certainty64(case.logits), rtol=1e-5, atol=2e-5)
    drawn = tokens[:, None]
    # fp32 sums decide the edge of top_p to about six digits.
    assert kept_tokens(case.logits, settings, top_p=settings.top_p * (1 + 1e-5)).gather(1, drawn).all()
    score = case.logits.double() / settings.temperature + noise64(case)
    surely = kept_tokens(case.logits, settings, top_p=settings.top_p * (1 - 1e-5))
    best = score.masked_fill(~surely, float("-inf")).amax(-1, keepdim=True)
    assert (score.gather(1, drawn) >= best - 1e-4).all()
    exact = case.logits.double().log_softmax(-1).gather(1, drawn)[:, 0]
    torch.testing.assert_close(logprobs.double(), exact, rtol=1e-5, atol=1e-5)


def check_equals_reference(version: Version, case: Case, settings: Settings) -> None:
    """The same tokens as the torch version on a CPU, but for rows where fp32 rounding decides."""
    tokens, logprobs, certainties = case.run(version, settings)
    theirs, their_logprobs, their_certainties = reference.draw(
        case.logits.cpu(),
        case.keys.cpu(),
        case.positions.cpu(),
        settings.tensor("cpu"),
        filtered=settings.filtered,
        greedy=False,
        token_words=case.words.cpu(),
    )
    same = tokens.cpu() == theirs
    assert (~same).sum() <= case.rows // 5000, f"{(~same).sum()} of {case.rows} tokens differ"
    torch.testing.assert_close(logprobs.cpu()[same], their_logprobs[same], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(certainties.cpu(), their_certainties, rtol=1e-5, atol=2e-5)


def check_greedy(version: Version, case: Case) -> None:
    tokens, logprobs, certainties = case.run(version, Settings(temperature=0.0), greedy=True)
    assert torch.equal(tokens, case.logits.float().argmax(-1))
    exact = case.logits.double().log_softmax(-1).amax(-1)
    torch.testing.assert_close(logprobs.double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(certainties.double(), self_certainty64(case.logits), rtol=1e-5, atol=2e-5)


def check_alone_and_in_a_crowd(version: Version, case: Case, settings: Settings) -> None:
    tokens, logprobs, certainties = case.run(version, settings)
    for row in range(0, case.rows, max(case.rows // 4, 1)):
        token, logprob, certainty = case.run(version, settings, rows=slice(row, row + 1))
        assert token == tokens[row]
        torch.testing.assert_close(logprob[0], logprobs[row], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(certainty[0], certainties[row], rtol=1e-5, atol=2e-5)


def check_masked_rows(version: Version, case: Case) -> None:
    """Banned tokens (-inf) are never drawn, down to one allowed token in the last place; a row of them ends too."""
    case.logits[:, ::2] = float("-inf")
    case.logits[0, :-1] = float("-inf")
    case.logits[0, -1] = -40.0
    case.logits[1, :] = float("-inf")
    for settings in ALL_SETTINGS:
        tokens, logprobs, certainties = case.run(version, settings)
        assert (certainties[2:] == float("inf")).all() and certainties[0] == float("inf")
        assert tokens[0] == case.vocabulary - 1 and logprobs[0] == 0
        assert 0 <= tokens[1] < case.vocabulary
        assert (tokens[2:] % 2 == 1).all() and logprobs[2:].isfinite().all()
    assert case.run(version, Settings(), greedy=True)[0][0] == case.vocabulary - 1


def check_broken_rows_end(version: Version, case: Case) -> None:
    """A model that overflowed gives NaN: any valid token will do, but it must come back."""
    case.logits[0] = float("nan")
    case.logits[1, 5] = float("nan")
    case.logits[2, 7] = float("inf")
    for settings in ALL_SETTINGS:
        tokens, _, _ = case.run(version, settings)
        assert ((tokens >= 0) & (tokens < case.vocabulary)).all()


def check_ties(version: Version, case: Case) -> None:
    """Equal logits stay or go together; a greedy tie goes to the smaller id."""
    case.logits.zero_()
    case.logits[:, ::3] = 1.0
    tokens, _, _ = case.run(version, Settings(), greedy=True)
    assert (tokens == 0).all()
    for settings in (Settings(top_k=2), Settings(top_p=0.01), Settings(min_p=0.99), Settings(top_p=0.01, top_k=2)):
        check_exact(version, case, settings)
        tokens, _, _ = case.run(version, settings)
        assert (tokens % 3 == 0).all()
        if case.rows > 20:
            assert len(tokens.unique()) > 3  # not only the first few of the tie
    # One logit above a tie that crosses the edge of top_k: top_p is a share of all of them.
    case.logits[:, 0] = 2.0
    check_exact(version, case, Settings(top_k=2, top_p=0.05))
    # Two zeros of different sign are one value.
    case.logits[:, 1::3] = -0.0
    case.logits[:, ::3] = -1.0
    for settings in (Settings(top_k=2, top_p=0.9), Settings(top_k=case.vocabulary // 2, top_p=0.9)):
        check_exact(version, case, settings)


def check_frequencies(
    version: Version, settings: Settings, device: str, dtype: torch.dtype, draws: int, vocabulary: int
) -> None:
    """Chi-square of drawn tokens against the filtered softmax; the rows share one row of logits in memory."""
    case = Case(1, vocabulary, dtype=dtype, device=device, scale=1.5, seed=vocabulary)
    case.logits = case.logits.expand(draws, -1)
    case.keys = torch.arange(draws, device=device) * 7919 - 5
    case.positions = torch.full((draws,), 3, device=device)
    row = case.logits[:1]
    kept = kept_tokens(row, settings)
    scaled = (row.double() / settings.temperature).masked_fill(~kept, float("-inf"))
    probability = scaled.softmax(-1)[0].cpu().numpy()
    counts = np.bincount(case.run(version, settings)[0].cpu().numpy(), minlength=vocabulary)
    assert counts[probability == 0].sum() == 0
    # Chi-square needs five expected draws in a cell: rare tokens share one.
    common = probability * draws >= 5
    observed, expected = counts[common], probability[common] * draws
    if (rest := probability[~common].sum() * draws) > 1:
        observed, expected = np.append(observed, counts[~common].sum()), np.append(expected, rest)
    if len(observed) == 1:
        return
    expected *= observed.sum() / expected.sum()
    assert stats.chisquare(observed, expected).pvalue > 1e-4
