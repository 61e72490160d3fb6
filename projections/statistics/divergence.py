"""How far apart two probabilities are, in logarithms of likelihoods, when they are nearly alike."""

import numpy as np
from scipy.special import xlog1py

from projections.statistics.sums import Floats


def excess(away: Floats) -> Floats:
    """(1+d)·ln(1+d) - d, never below 0; by its series where that would cancel. What rounding leaves below -1 is -1."""
    away = np.maximum(away, -1.0)
    near = np.square(away) * (0.5 + away * (-1 / 6 + away * (1 / 12 - away / 20)))
    return np.where(np.abs(away) < 1e-3, near, xlog1py(1 + away, away) - away)
