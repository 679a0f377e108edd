"""`draw` in Triton: one pass over the logits, and a few more only for rows whose first choice a filter refuses.

Stage one splits each row into chunks and keeps, of every chunk, the largest logit, the sums of exponentials, the sum of
the logits, and the winner of logit / temperature + noise. Stage two, one program a row, merges the chunks. With filters
it proposes the winner: a winner over all tokens that the filters keep is the winner over the kept ones. If it is
refused, all kept tokens have larger logits than it, so the next proposal is the winner among those; one pass counts the
tokens above a proposal, sums their mass and finds the next one. The chance to be refused is the mass that the filters
drop, so most rows need one pass more, and nothing is ever sorted.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.sampling import noise


@dataclass(frozen=True, slots=True)
class Blocks:
    """How the work is cut, for Hopper GPUs and reasonable elsewhere. Which token wins does not depend on it.

    One warp walks its chunk of a row in tiles, and its reductions need no barrier. Chunks are the longest that still
    give `programs` programs, because the longer the chunk the seldomer a tile holds a new best.
    """

    tile: int = 512
    warps: int = 1
    chunks: tuple[int, ...] = (16384, 8192, 4096, 2048)
    programs: int = 8192
    row_tile: int = 4096
    row_warps: int = 8


_GAMMA = tl.constexpr(noise.GAMMA)
_MIX_A = tl.constexpr(noise.MIX_A)
_MIX_B = tl.constexpr(noise.MIX_B)
_MIX_32 = tl.constexpr(noise.MIX_32)
_LARGEST = tl.constexpr(noise.LARGEST)
_INFINITY = tl.constexpr(float("inf"))
_LOG2_E = tl.constexpr(1.4426950408889634)
_LOWEST = tl.constexpr(-0x7F800001)  # `_ordered` of -inf


def draw(
    logits: Tensor,
    keys: Tensor,
    positions: Tensor,
    settings: Tensor,
    *,
    filtered: bool,
    greedy: bool,
    token_words: Tensor,
    blocks: Blocks = Blocks(),
) -> tuple[Tensor, Tensor, Tensor]:
    """See `kernels.sampling.draw`."""
    rows, vocabulary = logits.shape
    if logits.stride(1) != 1:
        raise ValueError("draw needs rows of logits whose elements are adjacent")
    fine = (chunk for chunk in blocks.chunks if rows * triton.cdiv(vocabulary, chunk) >= blocks.programs)
    chunk = next(fine, blocks.chunks[-1])
    chunks = triton.cdiv(vocabulary, chunk)
    device = logits.device
    found = torch.empty(5, rows, chunks, dtype=torch.float32, device=device)
    winners = torch.empty(rows, chunks, dtype=torch.int32, device=device)
    tokens = torch.empty(rows, dtype=torch.int64, device=device)
    logprobs = torch.empty(rows, dtype=torch.float32, device=device)
    certainties = torch.empty_like(logprobs)
    if rows:
        row = (logits, logits.stride(0), vocabulary, token_words, keys, positions, settings)
        flags = {"GREEDY": greedy, "FILTERED": filtered and not greedy}
        _scan[(rows, chunks)](
            *row, found, winners, rows * chunks, CHUNK=chunk, TILE=blocks.tile, **flags, num_warps=blocks.warps
        )
        _settle[(rows,)](
            *row,
            found,
            winners,
            rows * chunks,
            tokens,
            logprobs,
            certainties,
            math.log(vocabulary),
            chunks,
            CHUNKS=triton.next_power_of_2(chunks),
            TILE=blocks.row_tile,
            **flags,
            num_warps=blocks.row_warps,
        )
    return tokens, logprobs, certainties


# Numbers that change with the rows are no reason to compile anew for each batch size.
@triton.jit(do_not_specialize=["plane"])
def _scan(
    logits_ptr,
    stride,
    vocabulary,
    token_words_ptr,
    keys_ptr,
    positions_ptr,
    settings_ptr,
    found_ptr,
    winners_ptr,
    plane,
    CHUNK: tl.constexpr,
    TILE: tl.constexpr,
    GREEDY: tl.constexpr,
    FILTERED: tl.constexpr,
):
    """One chunk of one row -> its largest logit, the two sums of exponentials relative to it, best score, winner and
    sum of logits.

    Rows are the fast axis of the grid: programs that run together read the same token words.
    """
    row = tl.program_id(0).to(tl.int64)
    start = tl.program_id(1) * CHUNK
    stop = tl.minimum(start + CHUNK, vocabulary)
    line = logits_ptr + row * stride
    inverse = tl.div_rn(1.0, tl.load(settings_ptr))
    low, odd = _position_words(tl.load(keys_ptr + row), tl.load(positions_ptr + row))
    peak = -_INFINITY
    total = 0.0
    tempered = 0.0
    best = -_INFINITY
    winner = start
    sums = tl.zeros([TILE], tl.float32)  # by place in the tile: one reduction after the loop, none in it
    for first in range(start, stop, TILE):
        columns = first + tl.arange(0, TILE)
        x = tl.load(line + columns, mask=columns < vocabulary, other=-_INFINITY).to(tl.float32)
        sums += tl.where(columns < vocabulary, x, 0.0)
        new_peak = tl.maximum(peak, tl.max(x, 0))
        base = _finite(new_peak)
        total = total * _weight(peak, base, 1.0) + tl.sum(_weight(x, base, 1.0), 0)
        if FILTERED:
            tempered = tempered * _weight(peak, base, inverse) + tl.sum(_weight(x, base, inverse), 0)
        peak = new_peak
        if GREEDY:
            top, at = tl.max(x, 0, return_indices=True)
            winner = tl.where(top > best, first + at, winner)
            best = tl.maximum(best, top)
        else:
            best, winner = _best_of(best, winner, x, first, line, vocabulary, token_words_ptr, low, odd, inverse, TILE)
    place = row * tl.num_programs(1) + tl.program_id(1)
    tl.store(found_ptr + place, peak)
    tl.store(found_ptr + plane + place, total)
    tl.store(found_ptr + 2 * plane + place, tempered)
    tl.store(found_ptr + 3 * plane + place, best)
    tl.store(found_ptr + 4 * plane + place, tl.sum(sums, 0))
    tl.store(winners_ptr + place, winner)


@triton.jit(do_not_specialize=["plane", "chunks"])
def _settle(
    logits_ptr,
    stride,
    vocabulary,
    token_words_ptr,
    keys_ptr,
    positions_ptr,
    settings_ptr,
    found_ptr,
    winners_ptr,
    plane,
    tokens_ptr,
    logprobs_ptr,
    certainties_ptr,
    log_vocabulary,
    chunks,
    CHUNKS: tl.constexpr,
    TILE: tl.constexpr,
    GREEDY: tl.constexpr,
    FILTERED: tl.constexpr,
):
    """Merges the chunks of one row, applies the filters, and writes the token with its two statistics."""
    row = tl.program_id(0).to(tl.int64)
    line = logits_ptr + row * stride
    each = tl.arange(0, CHUNKS)
    used = each < chunks
    place = row * chunks + each
    peaks = tl.load(found_ptr + place, mask=used, other=-_INFINITY)
    totals = tl.load(found_ptr + plane + place, mask=used, other=0.0)
    bests = tl.load(found_ptr + 3 * plane + place, mask=used, other=-_INFINITY)
    peak = tl.max(peaks, 0)
    base = _finite(peak)
    log_total = base + tl.log(tl.sum(totals * _weight(peaks, base, 1.0), 0))
    _, at = tl.max(bests, 0, return_indices=True)
    token = tl.load(winners_ptr + row * chunks + at)
    if not GREEDY:
        inverse = tl.div_rn(1.0, tl.load(settings_ptr))
        min_p = tl.load(settings_ptr + 3)
        low, odd = _position_words(tl.load(keys_ptr + row), tl.load(positions_ptr + row))
        # p >= min_p * max p, in logits.
        floor = tl.where(min_p > 0, base + tl.log(tl.maximum(min_p, 1e-30)) / inverse, -_INFINITY)
        if FILTERED:
            top_p = tl.load(settings_ptr + 1)
            top_k = tl.load(settings_ptr + 2)
            tempered = tl.load(found_ptr + 2 * plane + place, mask=used, other=0.0)
            mass = tl.sum(tempered * _weight(peaks, base, inverse), 0)
            if (top_k > 0) & (top_p < 1):
                mass = _mass_of_top(line, vocabulary, top_k, mass, peak, base, inverse, TILE)
            most = tl.where(top_p < 1, top_p * mass, _INFINITY)
            limit = tl.where(top_k > 0, top_k, _INFINITY)
            refused = 1
            while refused > 0:
                logit = tl.load(line + token).to(tl.float32)
                count, above, higher = _survey(line, vocabulary, token_words_ptr, low, odd, logit, base, inverse, TILE)
                kept = (count < limit) & (above < most) & (logit >= floor)
                # The largest logit has none above it, so even a row of NaN ends here.
                refused = tl.where(kept | (higher < 0), 0, 1)
                token = tl.where(refused > 0, higher, token)
        else:
            if tl.load(line + token).to(tl.float32) < floor:
                token = _best_above(line, vocabulary, token_words_ptr, low, odd, floor, inverse, token, TILE)
    tl.store(tokens_ptr + row, token.to(tl.int64))
    tl.store(logprobs_ptr + row, tl.load(line + token).to(tl.float32) - log_total)
    sums = tl.load(found_ptr + 4 * plane + place, mask=used, other=0.0)
    tl.store(certainties_ptr + row, log_total - log_vocabulary - tl.sum(sums, 0) / vocabulary)


@triton.jit
def _survey(line, vocabulary, token_words_ptr, low, odd, limit, base, inverse, TILE: tl.constexpr):
    """Of the tokens whose logit is above `limit`: how many, their mass relative to base, the winner (-1: none)."""
    counts = tl.zeros([TILE], tl.float32)
    masses = tl.zeros([TILE], tl.float32)
    best = -_INFINITY
    winner = -1
    for first in range(0, vocabulary, TILE):
        columns = first + tl.arange(0, TILE)
        x = tl.load(line + columns, mask=columns < vocabulary, other=-_INFINITY).to(tl.float32)
        x = tl.where(x > limit, x, -_INFINITY)
        counts += tl.where(x > limit, 1.0, 0.0)
        masses += _weight(x, base, inverse)
        best, winner = _best_of(best, winner, x, first, line, vocabulary, token_words_ptr, low, odd, inverse, TILE)
    return tl.sum(counts, 0), tl.sum(masses, 0), winner


@triton.jit
def _best_above(line, vocabulary, token_words_ptr, low, odd, floor, inverse, winner, TILE: tl.constexpr):
    """The winner among the tokens whose logit is at least `floor`."""
    best = -_INFINITY
    for first in range(0, vocabulary, TILE):
        columns = first + tl.arange(0, TILE)
        x = tl.load(line + columns, mask=columns < vocabulary, other=-_INFINITY).to(tl.float32)
        x = tl.where(x >= floor, x, -_INFINITY)
        best, winner = _best_of(best, winner, x, first, line, vocabulary, token_words_ptr, low, odd, inverse, TILE)
    return winner


@triton.jit
def _mass_of_top(line, vocabulary, top_k, mass, peak, base, inverse, TILE: tl.constexpr):
    """The mass, relative to base, of the tokens that top_k keeps, ties at its edge included. mass: of all tokens.

    Bisection over the ordered bits of fp32: at least top_k tokens lie above `low` and have `mass`, fewer lie above
    `high`. It ends when exactly top_k tokens lie above the pivot, or when `high` is the only value left; moving both
    ends to the logits next to the pivot saves the passes between them. It starts at the top_k-th of the maxima of
    TILE strands of the row, found in registers: seldom far below the top_k-th logit.
    """
    maxima = tl.full([TILE], -_INFINITY, tl.float32)
    for first in range(0, vocabulary, TILE):
        columns = first + tl.arange(0, TILE)
        x = tl.load(line + columns, mask=columns < vocabulary, other=-_INFINITY).to(tl.float32)
        maxima = tl.maximum(maxima, x)
    strands = _ordered(maxima)
    low = _LOWEST
    high = _ordered(peak)
    while high > low + 1:
        middle = _middle(low, high)
        enough = tl.sum(tl.where(strands > middle, 1.0, 0.0), 0) >= top_k
        low = tl.where(enough, middle, low)
        high = tl.where(enough, high, middle)
    high = _ordered(peak)
    middle = low
    while middle < high:
        pivot = tl.where(middle < 0, middle ^ 0x7FFFFFFF, middle).to(tl.float32, bitcast=True)
        counts = tl.zeros([TILE], tl.float32)
        masses = tl.zeros([TILE], tl.float32)
        over = tl.full([TILE], _INFINITY, tl.float32)
        under = tl.full([TILE], -_INFINITY, tl.float32)
        for first in range(0, vocabulary, TILE):
            columns = first + tl.arange(0, TILE)
            x = tl.load(line + columns, mask=columns < vocabulary, other=-_INFINITY).to(tl.float32)
            above = x > pivot
            counts += tl.where(above, 1.0, 0.0)
            masses += tl.where(above, _weight(x, base, inverse), 0.0)
            over = tl.minimum(over, tl.where(above, x, _INFINITY))
            under = tl.maximum(under, tl.where(above, -_INFINITY, x))
        count = tl.sum(counts, 0)
        # The pivot bounds both ends because 0.0 and -0.0 are equal but differ in their bits.
        if count >= top_k:
            mass = tl.sum(masses, 0)
            low = tl.maximum(_ordered(tl.min(over, 0)) - 1, middle)
            high = tl.where(count == top_k, low, high)
        else:
            high = tl.minimum(_ordered(tl.max(under, 0)), middle)
        middle = tl.where(high > low + 1, _middle(low, high), high)
    return mass


@triton.jit
def _middle(low, high):
    """Halfway between two int32, rounded down, without overflow."""
    return (low >> 1) + (high >> 1) + (low & high & 1)


@triton.jit
def _ordered(x):
    """fp32 -> int32 of the same order."""
    bits = x.to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def _best_of(best, winner, x, first, line, vocabulary, token_words_ptr, low, odd, inverse, TILE: tl.constexpr):
    """The better of the best so far and this tile's best x / temperature + noise; the earlier where they are equal.

    Exact noise takes three times as long as all the rest, so tokens are sieved by an upper bound of theirs, and only
    those few that may win are computed, one at a time. A token with x = -inf never wins.
    """
    columns = first + tl.arange(0, TILE)
    words = tl.load(token_words_ptr + columns, mask=columns < vocabulary, other=0)
    hopes = x * inverse + _ceiling(_hash_bits(words, low, odd))
    hope = tl.max(hopes, 0)
    while hope > best:
        # Drops NaN too, among which an argmax would lose its way and this loop its end.
        hopes = tl.where(hopes > best, hopes, -_INFINITY)
        _, at = tl.max(hopes, 0, return_indices=True)
        token = first + at
        bits = _hash_bits(tl.load(token_words_ptr + token), low, odd)
        score = tl.load(line + token).to(tl.float32) * inverse + _gumbel(bits)
        winner = tl.where((score > best) | ((score == best) & (token < winner)), token, winner)
        best = tl.maximum(best, score)
        hopes = tl.where(columns == token, -_INFINITY, hopes)
        hope = tl.max(hopes, 0)
    return best, winner


@triton.jit
def _weight(x, base, inverse):
    """exp((x - base) * inverse) by the hardware's power of two."""
    return tl.exp2((x - base) * (inverse * _LOG2_E))


@triton.jit
def _finite(x):
    """0 for -inf: a reference that can be subtracted from -inf."""
    return tl.where(x == -_INFINITY, 0.0, x)


# --- the noise of kernels.sampling.noise


@triton.jit
def _position_words(key, position):
    mixed = _splitmix(key ^ _splitmix(position.to(tl.int64)))
    return mixed.to(tl.int32), (mixed >> 32).to(tl.int32) | 1


@triton.jit
def _splitmix(x):
    x = x + _GAMMA
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _MIX_A
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _MIX_B
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


@triton.jit
def _hash_bits(token_words, low, odd):
    h = (token_words ^ low) * odd
    h = (h ^ ((h >> 16) & 0xFFFF)) * _MIX_32
    return (h ^ ((h >> 15) & 0x1FFFF)) & 0x7FFFFFFF


@triton.jit
def _gumbel(bits):
    """-log(-log1p(-w)); log1p by Kahan's quotient, which undoes the rounding of 1 - w."""
    w = tl.minimum(bits.to(tl.float32) * (1.0 / 2147483648.0) + (0.5 / 2147483648.0), _LARGEST)
    rest = 1.0 - w
    taken = 1.0 - rest
    exponential = tl.where(taken == 0.0, w, -tl.log(rest) * (w / taken))
    return -tl.log(exponential)


@triton.jit
def _ceiling(bits):
    """An upper bound of `_gumbel` for a tenth of its cost, at most 0.07 above it for small w from bits = 64 on.

    -log1p(-w) >= w, and the bits of a float, read as an integer, are its base-2 logarithm with straight lines
    between the powers of two: never above it. The last 1e-4 outweighs all roundings.
    """
    linear = bits.to(tl.float32).to(tl.int32, bitcast=True).to(tl.float32)
    return ((127.0 + 31.0) * 0.6931471805599453 + 1e-4) - linear * (0.6931471805599453 / 8388608.0)
