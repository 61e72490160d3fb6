"""Latency quantiles from integer counters on a logarithmic scale: sums of sketches are sketches, in whatever order.

The mapping of DDSketch (Masson, Rim and Lee, VLDB 2019): bin i holds what lies in (γ^(i-1), γ^i] with γ = (1+α)/(1-α),
so that the middle of a bin is within α of everything in it, and a quantile is within α of the value of its rank.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from math import ceil, log

RELATIVE_ERROR = 0.01
"""α, of any quantile whose value lies between the shortest and the longest."""
SHORTEST_MS, LONGEST_MS = 1, 120_000
"""What is shorter or longer is counted as these: there are at most 586 bins."""

_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
BIN_LOG = log(_GAMMA)
"""By so much the logarithms of neighbouring bins differ."""


def bin_of(latency_ms: int) -> int:
    return _bin_of(min(max(latency_ms, SHORTEST_MS), LONGEST_MS))


@cache
def _bin_of(latency_ms: int) -> int:
    return ceil(log(latency_ms) / log(_GAMMA))


def quantiles(bins: Mapping[int, int], wanted: Sequence[float]) -> list[float | None]:
    """Of each wanted one, in ascending order, the value in milliseconds; None where nothing was counted.

    The q-quantile of n values is the one of rank ⌊q·(n-1)⌋, counted from 0: numpy's `lower`.
    """
    ascending = [(number, count) for number, count in sorted(bins.items()) if count > 0]
    total = sum(count for _, count in ascending)
    if not total:
        return [None] * len(wanted)
    found: list[float | None] = []
    below, places = 0, iter(ascending)
    number, count = next(places)
    for quantile in wanted:
        rank = int(quantile * (total - 1))
        while below + count <= rank:
            below += count
            number, count = next(places)
        found.append(_middle(number))
    return found


@cache
def _middle(number: int) -> float:
    return round(2 * _GAMMA**number / (_GAMMA + 1), 3)
