"""A broken split is found, a sound one is left alone however often it is looked at."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, binom, chisquare

from projections.statistics.sample_ratio import PRECISIONS, mismatch_evidence, sample_ratio


@pytest.mark.parametrize(
    ("observed", "weights"),
    [([821_588, 815_482], [1, 1]), ([10, 0], [1, 1]), ([9, 81, 10], [1, 8, 1]), ([1, 0], [9, 1])],
)
def test_chi_square_agrees_with_scipy(observed: list[int], weights: list[float]) -> None:
    found = sample_ratio(observed, weights).chi_square
    expected = np.array(weights) / sum(weights) * sum(observed)
    theirs = chisquare(observed, expected)
    assert (found.statistic, found.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-6)


def test_the_textbooks_mismatch_is_found_by_both_tests() -> None:
    """821,588 against 815,482: Kohavi, Tang and Xu, Trustworthy Online Controlled Experiments, 2020, chapter 21."""
    found = sample_ratio([821_588, 815_482], [1, 1])
    assert found.chi_square.p_value == pytest.approx(1.8e-6, rel=0.02)
    assert found.is_mismatch
    assert sample_ratio([70, 30], [1, 1]).chi_square.p_value == pytest.approx(6.3e-5, rel=0.02)


def test_the_evidence_is_the_likelihood_ratio_averaged_over_other_splits() -> None:
    counts, share = np.array([60.0, 25.0]), 0.6
    averaged = [
        quad(
            lambda other, k=precision: beta.pdf(other, k * share, k * (1 - share)) * binom.pmf(60, 85, other),
            0,
            1,
            points=[share],
        )[0]
        for precision in PRECISIONS
    ]
    exact = np.log(np.mean(averaged)) - binom.logpmf(60, 85, share)
    assert float(mismatch_evidence(counts, np.array([share, 1 - share]))) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ((500_100, 499_900), (1, 1)),
        ((500_003_000_000, 499_997_000_000), (1, 1)),
        ((900_001_000_000, 100_000_000_000), (9, 1)),
        ((7, 90, 3), (1, 8, 1)),
        ((1, 0), (1, 1e9)),
        ((0, 5), (1, 1)),
    ],
)
def test_the_evidence_keeps_its_digits_however_many_customers_there_are(
    counts: tuple[int, ...], weights: tuple[float, ...]
) -> None:
    with mpmath.workdps(60):
        shares = [mpmath.mpf(one) / sum(weights) for one in weights]
        ratios = [
            mpmath.exp(
                sum(
                    mpmath.loggamma(precision * p + n) - mpmath.loggamma(precision * p) - n * mpmath.log(p)
                    for p, n in zip(shares, counts, strict=True)
                )
                + mpmath.loggamma(precision)
                - mpmath.loggamma(precision + sum(counts))
            )
            for precision in PRECISIONS
        ]
        exact = float(mpmath.log(sum(ratios) / len(ratios)))
    found = mismatch_evidence(np.array(counts, float), np.array(weights) / sum(weights))
    assert float(found) == pytest.approx(exact, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.6, 0.2, 0.2)])
def test_a_sound_split_is_hardly_ever_called_broken(shares: tuple[float, ...]) -> None:
    """A look after every customer; at most one run in a thousand by the law, and by this seed none of 300."""
    rng = np.random.default_rng(5)
    arms = rng.choice(len(shares), size=(300, 3_000), p=shares)
    counts = np.stack([np.cumsum(arms == arm, axis=1) for arm in range(len(shares))], axis=-1).astype(
        np.float64
    )
    assert not (mismatch_evidence(counts, np.array(shares)) >= np.log(1_000)).any()


def test_nobody_yet_is_no_mismatch() -> None:
    found = sample_ratio([0, 0], [1, 1])
    assert (found.is_mismatch, found.chi_square.p_value, found.always_valid.p_value) == (False, 1, 1)
