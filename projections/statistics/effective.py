"""Successes and trials as if every payment were another customer's: what binomial tests may be asked about.

Rao and Scott (Biometrics 48, 1992): divided by its design effect - its variance over that of as many independent
payments - clustered data behave like binomial ones. An arm's effect is its own, or that of both arms where that is
more: an arm that has met no bad customer yet must not be surer than the other one.
"""

from typing import NamedTuple

import numpy as np

from projections.statistics.sums import Floats, Numbers, Sums, paid_once, squared_residuals


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
    rate = _begun_rate(control.total + treatment.total, control.payments + treatment.payments)
    control, treatment = _begun(control, rate), _begun(treatment, rate)
    residuals = squared_residuals(control), squared_residuals(treatment)
    binomial = _binomial(control), _binomial(treatment)
    both = (residuals[0] + residuals[1]) / (binomial[0] + binomial[1])
    least = np.maximum(both, 1.0)
    return (
        _divided(control, np.maximum(residuals[0] / binomial[0], least)),
        _divided(treatment, np.maximum(residuals[1] / binomial[1], least)),
    )


def design_effect(sums: Sums) -> Floats:
    """Of one arm: 1 where everybody pays once, more where customers differ in their rates; at least 1."""
    begun = _begun(sums, _begun_rate(sums.total, sums.payments))
    return np.maximum(squared_residuals(begun) / _binomial(begun), 1.0)


def _begun_rate(successes: Numbers, payments: Numbers) -> Floats:
    """Neither 0 nor 1."""
    return np.asarray((successes + 0.5) / (payments + 1.0))


def _begun(sums: Sums, rate: Floats) -> Sums:
    """With one customer more, who pays once."""
    more = paid_once(rate, 1.0)
    return Sums(*(known + one for known, one in zip(sums, more, strict=True)))


def _binomial(sums: Sums) -> Floats:
    """What the squared residuals would be of independent payments: n·p·(1-p)."""
    rate = sums.rate
    return sums.payments * rate * (1 - rate)


def _divided(sums: Sums, effect: Floats) -> Counts:
    return Counts(sums.total / effect, sums.payments / effect)
