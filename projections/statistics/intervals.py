"""Intervals of a success rate and of the difference of two, which behave at 0, at 1 and for a single trial."""

from typing import NamedTuple

import numpy as np

from projections.statistics.effective import Counts
from projections.statistics.sums import Floats, Numbers


class Bounds(NamedTuple):
    lower: Floats
    upper: Floats


def wilson(arm: Counts, z: Numbers) -> Bounds:
    """The score interval of Wilson (JASA 22, 1927), of z standard errors; no trials tell nothing: 0 to 1.

    Multiplied by its conjugate, so that nothing cancels; the upper bound is 1 less the lower one of failures.
    """
    successes, trials = arm
    return Bounds(_least(successes, trials, z), 1.0 - _least(trials - successes, trials, z))


def _least(successes: Floats, trials: Floats, z: Numbers) -> Floats:
    with np.errstate(invalid="ignore"):
        failed = np.divide(trials - successes, trials)
        root = z * np.sqrt(z * z + 4 * successes * failed)
        found: Floats = 2 * successes * np.divide(successes, trials) / (2 * successes + z * z + root)
    return np.where(trials > 0, found, 0.0)


def newcombe(control: Counts, treatment: Counts, z: Numbers) -> Bounds:
    """Of treatment less control: the hybrid score interval (Newcombe, Statistics in Medicine 17, 1998, method 10).

    z may be larger than a fixed horizon asks: that of a confidence sequence makes it one that may always be looked at.
    """
    difference = treatment.rate - control.rate
    here, there = wilson(treatment, z), wilson(control, z)
    return Bounds(
        difference - np.hypot(treatment.rate - here.lower, there.upper - control.rate),
        difference + np.hypot(here.upper - treatment.rate, control.rate - there.lower),
    )
