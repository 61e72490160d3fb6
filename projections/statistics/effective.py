"""Successes and trials as if every payment were another customer's: what binomial tests may be asked about.

Rao and Scott (Biometrics 48, 1992): divided by its design effect - its variance over that of as many independent
payments - clustered data behave like binomial ones. An arm's effect is its own, or that of all arms together where
that is more: an arm that has met no bad customer yet must not be surer than the other one.

Failures are counted beside successes, and whichever of the two is rarer is what is computed with: a failure in a
billion is lost in one less than a billion successes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from projections.statistics.sums import Bools, Floats, Numbers, Sums, added, failures, paid_once, variance


class Counts(NamedTuple):
    successes: Floats
    failures: Floats

    @property
    def trials(self) -> Floats:
        return self.successes + self.failures

    @property
    def rate(self) -> Floats:
        return self.successes / self.trials

    @property
    def turned(self) -> "Counts":
        """With failures for successes."""
        return Counts(self.failures, self.successes)


def counts(successes: Numbers, trials: Numbers) -> Counts:
    succeeded = np.asarray(successes, np.float64)
    return Counts(succeeded, np.asarray(trials - succeeded))


def observed(sums: Sums) -> Counts:
    """As if payments were independent."""
    return counts(sums.total, sums.payments)


def together(control: Counts, treatment: Counts) -> Counts:
    return Counts(control.successes + treatment.successes, control.failures + treatment.failures)


def rate_difference(control: Counts, treatment: Counts) -> Floats:
    """Treatment less control, exact to its last digits also where nearly all succeed."""
    crossed = treatment.successes * control.failures - control.successes * treatment.failures
    with np.errstate(invalid="ignore"):
        return np.asarray(np.divide(np.divide(crossed, control.trials), treatment.trials))


def effective(control: Sums, treatment: Sums) -> tuple[Counts, Counts]:
    """Each with a payment more, that succeeds as often as those of both, so that the first looks are finite."""
    turned = _are_failures_rarer((control, treatment))
    arms = [_rarer(arm, turned) for arm in (control, treatment)]
    rate = _begun_rate(arms)
    here, there = (_begun(arm, rate) for arm in arms)
    least = _effect_of_all((here, there))
    of_control, of_treatment = (divided(arm, _effect(arm, least)) for arm in (here, there))
    return _turned_back(of_control, turned), _turned_back(of_treatment, turned)


def design_effect(sums: Sums, arms: Sequence[Sums]) -> Floats:
    """Of one of these arms: 1 where everybody pays once, more where customers differ in their rates; at least 1."""
    turned = _are_failures_rarer(arms)
    rarer = [_rarer(arm, turned) for arm in arms]
    rate = _begun_rate(rarer)
    least = _effect_of_all([_begun(arm, rate) for arm in rarer])
    return _effect(_begun(_rarer(sums, turned), rate), least)


def divided(sums: Sums, effect: Floats) -> Counts:
    return Counts(np.asarray(sums.total / effect), np.asarray((sums.payments - sums.total) / effect))


def _are_failures_rarer(arms: Sequence[Sums]) -> Bools:
    return np.asarray(2 * sum(arm.total for arm in arms) > sum(arm.payments for arm in arms))


def _rarer(sums: Sums, turned: Bools) -> Sums:
    return Sums(*(np.where(turned, failed, one) for one, failed in zip(sums, failures(sums), strict=True)))


def _turned_back(found: Counts, turned: Bools) -> Counts:
    return Counts(*(np.where(turned, other, one) for one, other in zip(found, found.turned, strict=True)))


def _begun_rate(arms: Sequence[Sums]) -> Floats:
    """Neither 0 nor 1."""
    total, payments = sum(arm.total for arm in arms), sum(arm.payments for arm in arms)
    return np.asarray((total + 0.5) / (payments + 1.0))


def _begun(sums: Sums, rate: Floats) -> Sums:
    """With one customer more, who pays once."""
    return added(sums, paid_once(rate, 1.0))


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
