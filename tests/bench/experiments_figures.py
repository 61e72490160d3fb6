"""What `./dev bench experiments` measures, each figure beside what it has to be and what chance may have done to it."""

from collections.abc import Mapping, Sequence
from math import inf, sqrt
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct

from projections.statistics.sums import Bools, Floats

Bound = Literal["at most", "at least"]
Z = 1.96


class Figure(Struct, frozen=True, kw_only=True):
    name: str
    measured: float | None
    """None: a median that is never reached."""
    runs: int
    bound: Bound | None = None
    """None: told, and nothing is asked of it."""
    target: float | None = None
    error: float | None = None
    """By chance: half of the figure's own interval of 95 %."""
    beside: Mapping[str, float | None] = msgspec.field(default_factory=dict)
    """The same of others, with the same luck."""

    @property
    def is_met(self) -> bool:
        if self.bound is None or self.target is None:
            return True
        measured = inf if self.measured is None else self.measured
        return measured <= self.target if self.bound == "at most" else measured >= self.target


def share(
    name: str,
    found: Sequence[float] | Floats | Bools,
    target: float | None = None,
    bound: Bound = "at most",
    beside: Mapping[str, float | None] | None = None,
) -> Figure:
    """Of runs, or of what there is of it in each."""
    return Figure(
        name=name,
        measured=float(np.mean(found)),
        bound=None if target is None else bound,
        target=target,
        runs=len(found),
        error=Z * float(np.std(found)) / sqrt(len(found)),
        beside=beside or {},
    )


def median(
    name: str,
    numbers: Floats,
    target: float | None = None,
    beside: Mapping[str, float | None] | None = None,
) -> Figure:
    """Numbers may be infinite."""
    reach = Z * 0.5 / sqrt(numbers.size)
    low, high = (float(_quantile(numbers, min(max(at, 0.0), 1.0))) for at in (0.5 - reach, 0.5 + reach))
    return Figure(
        name=name,
        measured=middle(numbers),
        bound=None if target is None else "at most",
        target=target,
        runs=numbers.size,
        error=None if high == inf else (high - low) / 2,
        beside=beside or {},
    )


def middle(numbers: Floats) -> float | None:
    found = float(_quantile(numbers, 0.5))
    return None if found == inf else found


def _quantile(numbers: Floats, at: float) -> np.float64:
    return np.float64(np.quantile(numbers, at, method="higher"))
