"""Student's t of two arms with variances of their own: Welch's test, of customers who may weigh unequally.

Degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946) over the independent customers of each arm, Kish's
(Σx)²/Σx². Where everybody pays once this is Welch's t test.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import betaln, stdtr, stdtrit

from projections.statistics.intervals import Bounds
from projections.statistics.normal import LOG_10
from projections.statistics.results import Significance, number
from projections.statistics.sums import Floats, Numbers, Sums

_FAR = -400.0
"""ln of what `stdtr` is asked for."""
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(40)


class Estimate(NamedTuple):
    """Of an effect between two arms."""

    value: Floats
    error: Floats
    degrees: Floats

    def within(self, confidence: float) -> Bounds:
        with np.errstate(invalid="ignore"):
            reach = stdtrit(self.degrees, (1 + confidence) / 2) * self.error
            return Bounds(self.value - reach, self.value + reach)

    def significance(self, method: str) -> Significance:
        """Two-sided, of no effect; without an error there is no t."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.divide(self.value, self.error)
        log_p = log_two_sided(t, self.degrees)
        return Significance(
            method=method,
            statistic=number(t),
            p_value=number(np.exp(log_p)),
            log10_p=number(log_p / LOG_10),
        )


def estimate(
    value: Floats, control: Sums, treatment: Sums, of_control: Floats, of_treatment: Floats
) -> Estimate:
    """From the variance that each arm adds."""
    both = of_control + of_treatment
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [
            np.square(of_arm) / (arm.independent_customers - 1)
            for arm, of_arm in ((control, of_control), (treatment, of_treatment))
        ]
        return Estimate(value, np.sqrt(both), np.asarray(np.square(both) / sum(shares)))


def log_two_sided(t: Numbers, degrees: Numbers) -> float:
    """ln P(|T| ≥ |t|), also where that is too small for a number.

    It is I_x(a, ½), the incomplete beta function of x = ν/(ν+t²) and a = ν/2; where it is small, by Gauss and Laguerre,
    x^a / (a·B(a, ½)) · ∫ exp(-v) / √(1 - x·exp(-v/a)) dv.
    """
    with np.errstate(divide="ignore"):
        found = np.log(2.0 * stdtr(degrees, -np.abs(t)))
        if not found < _FAR:
            return float(found)
        a = np.asarray(degrees) / 2
        log_x = -np.logaddexp(0.0, 2 * np.log(np.abs(t)) - np.log(degrees))
    integral = _WEIGHTS @ (1 / np.sqrt(-np.expm1(log_x - _NODES / a)))
    return float(a * log_x - np.log(a) - betaln(a, 0.5) + np.log(integral))
