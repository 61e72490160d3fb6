"""Thousands of closed circuits at once, in numpy, each until its first alarm; a test holds it against the decider."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from commands.baseline import BLOCK, CAUTION, kept
from commands.cusum import CHARTS
from schemas.circuit import CircuitPolicy

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_TABLE = np.array([(*fast, *slow) for fast, slow in CHARTS.values()])
_LEAST = min(CHARTS)


def first_alarms(
    failed: Callable[[int], npt.NDArray[np.bool_]], count: int, calls: int
) -> tuple[Integers, Integers]:
    """Of each circuit the call that opened it, 0 for none, and the baseline in percent at the end; `failed` tells of
    every call which circuits' calls fail."""
    policy = CircuitPolicy()
    left = kept(policy)
    known, failing, block = np.zeros(count), np.zeros(count), np.zeros(count)
    fast, slow, alarm = (np.zeros(count, dtype=np.int64) for _ in range(3))
    percent = np.full(count, _LEAST, dtype=np.int64)
    fast_weight, fast_threshold, slow_weight, slow_threshold = _TABLE[percent - _LEAST].T
    for call in range(1, calls + 1):
        failure = failed(call)
        fast = np.maximum(0, fast + np.where(failure, fast_weight - 1, -1))
        slow = np.maximum(0, slow + np.where(failure, slow_weight - 1, -1))
        block += failure
        alarm[(alarm == 0) & ((fast >= fast_threshold) | (slow >= slow_threshold))] = call
        if call % BLOCK == 0:
            calm = (2 * fast < fast_threshold) & (2 * slow < slow_threshold)
            known = np.where(calm, known * left + BLOCK, known)
            failing = np.where(calm, failing * left + block, failing)
            block[:] = 0
            percent = np.where(known > 0, _percent(known, failing, policy), percent)
            before = fast_threshold, slow_threshold
            fast_weight, fast_threshold, slow_weight, slow_threshold = _TABLE[percent - _LEAST].T
            fast, slow = fast * fast_threshold // before[0], slow * slow_threshold // before[1]
    return alarm, percent


def _percent(known: Floats, failing: Floats, policy: CircuitPolicy) -> Integers:
    square, successes = CAUTION * CAUTION, known - failing
    spread = CAUTION * np.sqrt(successes * failing / np.maximum(known, 1) + square / 4)
    rate = (successes + square / 2 - spread) / (known + square)
    clamped = np.clip(rate, policy.least_baseline, policy.most_baseline)
    return np.round(100 * clamped).astype(np.int64)
