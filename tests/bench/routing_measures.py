"""What a routing policy did in one run: what it lost, where its payments went, and how soon it left and came back."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from tests.bench.scenarios import Floats

FALL = 0.20
"""So many points down at once, of the gateway that was the best one, are an outage to flee from."""
LEFT_WINDOW, LEFT_SHARE = 100, 0.20
BACK_WINDOW, BACK_SHARE = 200, 0.50
WORSE_BY = 0.05
CURVE_POINTS = 120


class Fall(msgspec.Struct, frozen=True, kw_only=True):
    """From this transaction on; `until` is where it came back, and None where it did not."""

    place: int
    since: int
    until: int | None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    lost: float
    """Expected payments against the best rate of every moment."""
    shares: tuple[float, ...]
    worse_share: float
    """Of the second half's payments, on gateways that are 5 points or more worse than the best of the moment."""
    left: tuple[int | None, ...]
    """Per fall, transactions until the first 100 with less than 20 % on it begin; None: not before it came back."""
    returned: tuple[int | None, ...]
    """Per fall that ended, transactions until the first 200 with more than 50 % on it begin; None: never."""
    curve: tuple[float, ...]
    """What was lost until each of 120 equally spaced moments."""


def falls(rates: Floats) -> tuple[Fall, ...]:
    """Jumps only: what sinks slowly has no moment to count from."""
    best = rates.argmax(axis=0)
    jumps = np.diff(rates, axis=1)
    found = []
    for place in range(len(rates)):
        downs = np.flatnonzero((jumps[place] <= -FALL + 1e-9) & (best[:-1] == place)) + 1
        ups = np.flatnonzero(jumps[place] >= FALL - 1e-9) + 1
        for down in downs:
            until = ups[ups > down]
            found.append(Fall(place=place, since=int(down), until=int(until[0]) if len(until) else None))
    return tuple(sorted(found, key=lambda fall: fall.since))


def measured(choices: NDArray[np.int16], rates: Floats, outages: Sequence[Fall]) -> Run:
    """Of one run: `choices` is (transactions,)."""
    transactions = len(choices)
    lost = rates.max(axis=0) - rates[choices, np.arange(transactions)]
    total = np.concatenate(([0.0], np.cumsum(lost)))
    moments = np.linspace(0, transactions, CURVE_POINTS + 1).astype(np.intp)[1:]
    return Run(
        lost=float(total[-1]),
        shares=tuple((np.bincount(choices, minlength=len(rates)) / transactions).tolist()),
        worse_share=float(np.mean(lost[transactions // 2 :] >= WORSE_BY - 1e-9)),
        left=tuple(_left(choices == fall.place, fall) for fall in outages),
        returned=tuple(_returned(choices == fall.place, fall) for fall in outages if fall.until is not None),
        curve=tuple(total[moments].tolist()),
    )


def _left(on_it: NDArray[np.bool_], fall: Fall) -> int | None:
    counts = _windows(on_it[fall.since :], LEFT_WINDOW)[
        : None if fall.until is None else fall.until - fall.since
    ]
    return _first(counts < LEFT_SHARE * LEFT_WINDOW)


def _returned(on_it: NDArray[np.bool_], fall: Fall) -> int | None:
    return _first(_windows(on_it[fall.until :], BACK_WINDOW) > BACK_SHARE * BACK_WINDOW)


def _windows(on_it: NDArray[np.bool_], length: int) -> NDArray[np.intp]:
    """How many of the `length` transactions from each one on."""
    total = np.concatenate(([0], np.cumsum(on_it)))
    counts: NDArray[np.intp] = total[length:] - total[:-length]
    return counts


def _first(found: NDArray[np.bool_]) -> int | None:
    return int(found.argmax()) if found.any() else None
