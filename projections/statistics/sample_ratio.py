"""Whether customers were split as configured: a mismatch means that something is broken, and no comparison is fair.

Beside Pearson's chi-square, right at one look, a test that may be looked at after every customer: the probability of
the counts averaged over other splits (Dirichlet), over that of the configured one, is a martingale of mean 1 while
customers are split as configured (Lindon and Malek, NeurIPS 2022, arXiv 2011.03567). Exact: nothing is approximated.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln, logsumexp

from projections.statistics.divergence import excess
from projections.statistics.mixture import always_valid_p
from projections.statistics.normal import LOG_10, log_chi_square_tail
from projections.statistics.results import Significance
from projections.statistics.sums import Floats, Numbers
from schemas.base import Value

ALPHA = 0.001
PRECISIONS = (100.0, 10_000.0)
"""Of the other splits, as many customers as would tell as much: gross faults, and those of a point."""


class SampleRatio(Value, frozen=True, kw_only=True):
    observed: tuple[int, ...]
    expected: tuple[float, ...]
    chi_square: Significance
    """Fixed horizon."""
    always_valid: Significance
    is_mismatch: bool
    """By the always-valid one, at α = 0.001."""
    alpha: float


def sample_ratio(observed: Sequence[int], weights: Sequence[float], alpha: float = ALPHA) -> SampleRatio:
    """`observed` customers of every arm, which have been assigned in proportion to `weights` above 0."""
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    counts = np.asarray(observed, np.float64)
    expected = shares * counts.sum()
    with np.errstate(invalid="ignore"):
        pearson = float(np.nansum(np.square(counts - expected) / expected))
    log_p = log_chi_square_tail(pearson, len(counts) - 1)
    evidence = float(mismatch_evidence(counts, shares))
    return SampleRatio(
        observed=tuple(observed),
        expected=tuple(float(one) for one in expected),
        chi_square=Significance(
            method="pearson_chi_square",
            statistic=pearson,
            p_value=float(np.exp(log_p)),
            log10_p=log_p / LOG_10,
        ),
        always_valid=Significance(
            method="multinomial_dirichlet_mixture",
            statistic=evidence / LOG_10,
            p_value=float(always_valid_p(evidence)),
            log10_p=min(-evidence / LOG_10, 0.0),
        ),
        is_mismatch=bool(evidence >= -np.log(alpha)),
        alpha=alpha,
    )


def mismatch_evidence(counts: Floats, shares: Floats) -> Floats:
    """ln of the evidence for another split; the last axis of `counts` is that of the arms."""
    others = [_log_evidence(counts, precision, shares) for precision in PRECISIONS]
    return np.asarray(logsumexp(others, axis=0) - np.log(len(PRECISIONS)))


def _log_evidence(counts: Floats, precision: float, shares: Floats) -> Floats:
    """ln of B(a + n) / B(a) / Π pⁿ, with a = precision · p.

    By Stirling's formula the large terms come together to (A + N)·KL(q, p), q the shares of a + n, A and N the
    sums: gamma functions of a million customers would leave the difference of numbers that are almost the same.
    """
    alphas, total = precision * shares, counts.sum(axis=-1)
    size = precision + total
    away = (counts - total[..., None] * shares) / (size[..., None] * shares)  # q/p - 1
    divergence = (shares * excess(away)).sum(axis=-1)
    arms = shares.shape[-1]
    halves = np.log1p(away).sum(axis=-1) + (arms - 1) * np.log(size / precision)
    rest = (_remainder(alphas + counts) - _remainder(alphas)).sum(axis=-1)
    return np.asarray(size * divergence - 0.5 * halves + rest - _remainder(size) + _remainder(precision))


def _remainder(z: Numbers) -> Floats:
    """ln Γ(z) less Stirling's (z - ½)·ln z - z + ½·ln 2π (DLMF 5.11.1)."""
    far = np.maximum(z, 100.0)
    series = (1 / 12 - (1 / 360 - 1 / (1260 * far**2)) / far**2) / far
    near = np.minimum(z, 100.0)
    exact = gammaln(near) - (near - 0.5) * np.log(near) + near - 0.5 * np.log(2 * np.pi)
    found: Floats = np.where(np.asarray(z) > 100.0, series, exact)
    return found
