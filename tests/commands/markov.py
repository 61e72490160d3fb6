"""How long CUSUMs run, exactly: their values are the states of a Markov chain (Brook and Evans, Biometrika 59, 1972).

`python -m tests.commands.markov` prints the table that `commands/cusum.py` holds.
"""

import sys
from collections.abc import Iterator
from functools import cache
from itertools import takewhile

import numpy as np
from scipy.linalg import solve_banded
from scipy.sparse import coo_matrix, identity
from scipy.sparse.linalg import spsolve

from commands.cusum import CHARTS, Chart, Charts

LEAST_RUN = 2e6
"""Calls that each chart runs for, on average, until it takes a healthy gateway for a broken one."""
LEAST_RUN_OF_BOTH = 1.25e6
"""So that in 10,000 calls of a baseline that is known at most .8 % open falsely; learning it may cost the rest."""


@cache
def run_length(chart: Chart, success_rate: float) -> float:
    """Calls until the alarm, on average, from zero: the solution of (I - Q) x = 1, whose matrix is a band."""
    up, height, failure = chart.weight - 1, chart.threshold, 1 - success_rate
    band = np.zeros((up + 2, height))
    band[up] = 1.0
    band[up, 0] -= success_rate
    band[up + 1, : height - 1] = -success_rate
    band[0, up:] = -failure
    return float(solve_banded((1, up), band, np.ones(height))[0])


@cache
def run_length_of_both(charts: Charts, success_rate: float) -> float:
    """Until the first of the two, on average: the chain of their pairs of values."""
    fast, slow = charts
    size = fast.threshold * slow.threshold
    here = np.arange(size)
    of_fast, of_slow = here // slow.threshold, here % slow.threshold
    succeeded = np.maximum(of_fast - 1, 0) * slow.threshold + np.maximum(of_slow - 1, 0)
    up_fast, up_slow = of_fast + fast.weight - 1, of_slow + slow.weight - 1
    quiet = (up_fast < fast.threshold) & (up_slow < slow.threshold)
    failed = up_fast[quiet] * slow.threshold + up_slow[quiet]
    on_success = coo_matrix((np.full(size, success_rate), (here, succeeded)), shape=(size, size))
    on_failure = coo_matrix(
        (np.full(len(failed), 1 - success_rate), (here[quiet], failed)), shape=(size, size)
    )
    return float(spsolve((identity(size) - on_success - on_failure).tocsc(), np.ones(size))[0])


def false_alarms(chart: Chart, success_rate: float, calls: int) -> float:
    """The probability of an alarm within so many calls of a healthy gateway."""
    height = chart.threshold
    quiet = np.zeros((height, height))
    for value in range(height):
        quiet[value, max(0, value - 1)] += success_rate
        if value + chart.weight - 1 < height:
            quiet[value, value + chart.weight - 1] += 1 - success_rate
    return float(1 - np.linalg.matrix_power(quiet, calls)[0].sum())


def best_charts(percent: int) -> Charts:
    """Of all that run long enough, the fast one for hard outages, .05 above all; the slow one for drops of 10 and 20
    points."""
    rate = percent / 100
    known = list(_long_enough(rate))
    fast = min(
        known, key=lambda one: run_length(one, 0.05) ** 2 * run_length(one, 0.3) * run_length(one, 0.5)
    )
    slow = min(known, key=lambda one: run_length(one, rate - 0.1) * run_length(one, rate - 0.2))
    while run_length_of_both(Charts(fast, slow), rate) < LEAST_RUN_OF_BOTH:
        slow = Chart(slow.weight, slow.threshold + 1)
    return Charts(fast, slow)


def _long_enough(rate: float) -> Iterator[Chart]:
    """Of each weight the chart with the lowest threshold; a weight above 1 / failure rate would rise by itself."""
    for weight in takewhile(lambda weight: weight * (1 - rate) < 1, range(2, 60)):
        high = weight
        while run_length(Chart(weight, high), rate) < LEAST_RUN and high < 3_000:
            high *= 2
        if high < 3_000:
            low = max(weight, high // 2)
            while low < high:
                middle = (low + high) // 2
                is_enough = run_length(Chart(weight, middle), rate) >= LEAST_RUN
                low, high = (low, middle) if is_enough else (middle + 1, high)
            yield Chart(weight, high)


if __name__ == "__main__":
    for percent in CHARTS:
        fast, slow = best = best_charts(percent)
        delays = " ".join(f"{run_length_of_both(best, rate):.0f}" for rate in (0.8, 0.7, 0.5, 0.3, 0.05))
        sys.stdout.write(f"    {percent}: Charts(Chart{tuple(fast)}, Chart{tuple(slow)}),  # {delays}\n")
