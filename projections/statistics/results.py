"""The shapes that results have in JSON: every one names its method, and what cannot be said is null."""

from math import isfinite

import numpy as np

from projections.statistics.intervals import Bounds
from projections.statistics.normal import log10_two_sided, two_sided
from projections.statistics.sums import Floats, Numbers
from schemas.base import Value


class Interval(Value, frozen=True, kw_only=True):
    method: str
    estimate: float | None
    lower: float | None
    upper: float | None
    """None where there is no bound."""
    confidence: float

    @classmethod
    def of(cls, method: str, estimate: Floats, bounds: Bounds, confidence: float) -> "Interval":
        """Holding its estimate, also where small arms are drawn towards each other, or by rounding."""
        lower, upper = bounds
        if np.isfinite(estimate):
            lower, upper = np.minimum(lower, estimate), np.maximum(upper, estimate)
        return cls(
            method=method,
            estimate=number(estimate),
            lower=number(lower),
            upper=number(upper),
            confidence=confidence,
        )


class Significance(Value, frozen=True, kw_only=True):
    method: str
    statistic: float | None
    p_value: float | None
    """0 where it is below 1e-308; `log10_p` is exact there too."""
    log10_p: float | None

    @classmethod
    def of_z(cls, method: str, z: Floats) -> "Significance":
        """Two-sided."""
        return cls(
            method=method,
            statistic=number(z),
            p_value=number(two_sided(z)),
            log10_p=number(log10_two_sided(z)),
        )


def number(value: Numbers) -> float | None:
    found = float(value)
    return found if isfinite(found) else None
