"""Successes and trials as if every payment were another customer's: what binomial tests may be asked about.

Rao and Scott (Biometrics 48, 1992): divided by its design effect - its variance over that of as many independent
payments - clustered data behave like binomial ones. An arm's effect is its own, or that of all arms together where
that is more: an arm that has met no bad customer yet must not be surer than the other one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from projections.statistics.sums import Floats, Numbers, Sums, paid_once, variance


class Counts(NamedTuple):
    successes: Floats
    trials: Floats

    @property
    def rate(self) -> Floats:
        return self.successes / self.trials


def counts(successes: Numbers, trials: Numbers) -> Counts:
    return Counts(np.asarray(successes, np.float64), np.asarray(trials, np.float64))


def effective(control: Sums, treatment: Sums) -> tuple[Counts, Counts]:
    """Each with a payment more, that succeeds as often as those of both, so that the first looks are finite."""
    arms = control, treatment
    rate = _begun_rate(arms)
    here, there = _begun(control, rate), _begun(treatment, rate)
    least = _effect_of_all((here, there))
    return divided(here, _effect(here, least)), divided(there, _effect(there, least))


def design_effect(sums: Sums, arms: Sequence[Sums]) -> Floats:
    """Of one of these arms: 1 where everybody pays once, more where customers differ in their rates; at least 1."""
    rate = _begun_rate(arms)
    return _effect(_begun(sums, rate), _effect_of_all([_begun(arm, rate) for arm in arms]))


def divided(sums: Sums, effect: Floats) -> Counts:
    return Counts(np.asarray(sums.total / effect), np.asarray(sums.payments / effect))


def _begun_rate(arms: Sequence[Sums]) -> Floats:
    """Neither 0 nor 1."""
    successes, payments = sum(arm.total for arm in arms), sum(arm.payments for arm in arms)
    return np.asarray((successes + 0.5) / (payments + 1.0))


def _begun(sums: Sums, rate: Floats) -> Sums:
    """With one customer more, who pays once."""
    more = paid_once(rate, 1.0)
    return Sums(*(known + one for known, one in zip(sums, more, strict=True)))


def _effect(sums: Sums, least: Floats) -> Floats:
    return np.maximum(_clustered(sums) / _independent(sums), least)


def _effect_of_all(arms: Sequence[Sums]) -> Floats:
    return np.maximum(sum(map(_clustered, arms)) / sum(map(_independent, arms)), 1.0)


def _clustered(sums: Sums) -> Floats:
    """n(n-1) times the variance of the rate, of n payments; 0 before the first customer, when it is unknown."""
    found = sums.payments * (sums.payments - 1) * variance(sums)
    return np.where(np.greater(sums.customers, 1), found, 0.0)


def _independent(sums: Sums) -> Floats:
    """The same of independent payments: n·p·(1-p)."""
    rate = sums.rate
    return np.asarray(sums.payments * rate * (1 - rate))
