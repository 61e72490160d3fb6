"""Several hypotheses at once: Holm's step-down adjustment (Scandinavian Journal of Statistics 6, 1979).

Whatever their dependence, the probability that any true one is rejected stays at α.
"""

from collections.abc import Sequence

import numpy as np

METHOD = "holm_step_down"


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted, in the order given: reject those at most α. The i-th smallest of m is multiplied by m - i + 1, and none
    is below one that was smaller before."""
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(one) for one in adjusted]
