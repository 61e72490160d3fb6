"""Intervals of a success rate and of the difference of two, which behave at 0, at 1 and for a single trial."""

from typing import NamedTuple

import numpy as np

from projections.statistics.effective import Counts, rate_difference
from projections.statistics.sums import Floats, Numbers


class Bounds(NamedTuple):
    lower: Floats
    upper: Floats


def wilson(arm: Counts, z: Numbers) -> Bounds:
    """The score interval of Wilson (JASA 22, 1927), of z standard errors; no trials tell nothing: 0 to 1.

    Multiplied by its conjugate, so that nothing cancels; the upper bound is 1 less the lower one of failures.
    """
    return Bounds(_least(arm, z), 1.0 - _least(arm.turned, z))


def _least(arm: Counts, z: Numbers) -> Floats:
    successes, trials = arm.successes, arm.trials
    with np.errstate(invalid="ignore"):
        root = z * np.sqrt(z * z + 4 * successes * np.divide(arm.failures, trials))
        found: Floats = 2 * successes * np.divide(successes, trials) / (2 * successes + z * z + root)
    return np.where(trials > 0, found, 0.0)


def newcombe(control: Counts, treatment: Counts, z: Numbers) -> Bounds:
    """Of treatment less control: the hybrid score interval (Newcombe, Statistics in Medicine 17, 1998, method 10).

    z may be larger than a fixed horizon asks: that of a confidence sequence makes it one that may always be looked at.
    """
    difference = rate_difference(control, treatment)
    down, up = _reach(treatment, z)
    down_of_control, up_of_control = _reach(control, z)
    return Bounds(difference - np.hypot(down, up_of_control), difference + np.hypot(up, down_of_control))


def _reach(arm: Counts, z: Numbers) -> tuple[Floats, Floats]:
    """From the rate down to Wilson's lower bound, and up to the upper one: near 1 the bounds have lost these digits."""
    half = z * np.sqrt(z * z / 4 + arm.successes * (arm.failures / arm.trials))
    drawn = z * z / 2 * ((arm.failures - arm.successes) / arm.trials)
    return (half - drawn) / (arm.trials + z * z), (half + drawn) / (arm.trials + z * z)
