"""The fixed-horizon figures agree with scipy, statsmodels and mpmath to one in a million, at the corners too."""

from itertools import product
from math import inf

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, chi2, fisher_exact
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    proportions_ztest,
)
from statsmodels.stats.proportion import (
    test_proportions_2indep as proportions_2indep,
)

from projections.statistics.effective import counts
from projections.statistics.fisher import fisher
from projections.statistics.intervals import newcombe, wilson
from projections.statistics.noninferiority import noninferiority
from projections.statistics.normal import critical, log10_two_sided, log_chi_square_tail
from projections.statistics.proportions import proportions, rate_interval
from projections.statistics.results import Interval

close = 1e-6
CORNERS = [
    (0, 1), (1, 1), (0, 10), (10, 10), (1, 10), (9, 10), (450, 500), (80_000, 100_000), (1, 10**9), (10**9 - 1, 10**9),
]  # fmt: skip
PAIRS = [(one, two) for one, two in product(CORNERS, CORNERS) if 0 < one[0] + two[0] < one[1] + two[1]]
arms = st.integers(1, 10**9).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


def bounds(interval: Interval) -> tuple[float, float]:
    assert interval.lower is not None
    assert interval.upper is not None
    return interval.lower, interval.upper


@pytest.mark.parametrize(("successes", "trials"), CORNERS)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilson_agrees_with_scipy(successes: int, trials: int, confidence: float) -> None:
    ours = bounds(rate_interval(counts(successes, trials), confidence))
    theirs = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert ours == pytest.approx(tuple(theirs), rel=close, abs=1e-15)


@pytest.mark.parametrize(("successes", "trials"), CORNERS)
def test_wilson_agrees_with_statsmodels(successes: int, trials: int) -> None:
    ours = bounds(rate_interval(counts(successes, trials)))
    assert ours == pytest.approx(proportion_confint(successes, trials, method="wilson"), rel=close, abs=1e-15)


@pytest.mark.parametrize(("control", "treatment"), PAIRS)
def test_newcombe_agrees_with_statsmodels(control: tuple[int, int], treatment: tuple[int, int]) -> None:
    ours = bounds(proportions(counts(*control), counts(*treatment)).difference)
    theirs = confint_proportions_2indep(*treatment, *control, compare="diff", method="newcomb")
    assert ours == pytest.approx(theirs, rel=close, abs=1e-14)


@pytest.mark.parametrize(("control", "treatment"), PAIRS)
def test_the_pooled_z_agrees_with_statsmodels(control: tuple[int, int], treatment: tuple[int, int]) -> None:
    test = proportions(counts(*control), counts(*treatment)).test
    z, p = proportions_ztest([treatment[0], control[0]], [treatment[1], control[1]])
    assert (test.statistic, test.p_value) == pytest.approx((z, p), rel=close, abs=1e-300)


def test_a_p_value_far_below_the_smallest_number_has_its_logarithm() -> None:
    test = proportions(counts(80_000, 100_000), counts(85_000, 100_000)).test
    z = mpmath.mpf("0.05") / mpmath.sqrt(mpmath.mpf("0.825") * mpmath.mpf("0.175") * mpmath.mpf("2e-5"))
    assert test.log10_p == pytest.approx(float(mpmath.log10(mpmath.erfc(z / mpmath.sqrt(2)))), rel=close)
    assert test.log10_p == pytest.approx(-189.57, abs=0.01)
    for z in (0.0, 1.0, -5.0, 29.4, 100.0, 1e4):
        exact = mpmath.log10(mpmath.erfc(abs(z) / mpmath.sqrt(2)))
        assert float(log10_two_sided(z)) == pytest.approx(float(exact), rel=close)
    huge = proportions(counts(10**6, 10**9), counts(10**8, 10**9)).test
    assert huge.p_value == 0
    assert huge.log10_p is not None
    assert -inf < huge.log10_p < -1e6


def test_no_difference_can_be_told_where_all_or_none_succeed() -> None:
    for successes in (0, 10):
        test = proportions(counts(successes, 10), counts(successes, 10)).test
        assert (test.statistic, test.p_value, test.log10_p) == (0, 1, 0)


@pytest.mark.parametrize(("control", "treatment"), PAIRS)
def test_the_relative_lift_agrees_with_statsmodels(
    control: tuple[int, int], treatment: tuple[int, int]
) -> None:
    lift = proportions(counts(*control), counts(*treatment)).relative_lift
    if control[0] == 0 or treatment[0] == 0:
        assert (lift.lower, lift.upper) == (None, None)
        return
    low, high = confint_proportions_2indep(*treatment, *control, compare="ratio", method="log")
    assert bounds(lift) == pytest.approx((low - 1, high - 1), rel=close, abs=3e-9)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize(
    ("control", "treatment"),
    [((9, 10), (3, 10)), ((0, 1), (1, 1)), ((0, 5), (0, 7)), ((10, 10), (0, 10)), ((900, 1000), (850, 990))],
)
def test_fisher_agrees_with_scipy(
    control: tuple[int, int], treatment: tuple[int, int], alternative: str
) -> None:
    table = [[treatment[0], treatment[1] - treatment[0]], [control[0], control[1] - control[0]]]
    ours = fisher(counts(*control), counts(*treatment), alternative)  # type: ignore[arg-type]
    assert ours.p_value == pytest.approx(fisher_exact(table, alternative=alternative).pvalue, rel=close)


def test_fisher_does_not_underflow() -> None:
    """The only table as extreme as this one: of 2n customers, exactly those of one arm succeed."""
    found = fisher(counts(0, 3_000), counts(3_000, 3_000), "greater")
    exact = -mpmath.log10(mpmath.binomial(6_000, 3_000))
    assert found.p_value == 0
    assert found.log10_p == pytest.approx(float(exact), rel=close)


def test_fisher_refuses_more_than_it_can_walk_through() -> None:
    with pytest.raises(ValueError, match="10,000,000 trials"):
        fisher(counts(1, 10**7), counts(1, 10))


@pytest.mark.parametrize(("control", "treatment"), PAIRS)
@pytest.mark.parametrize("margin", [0.01, 0.05])
def test_non_inferiority_agrees_with_the_closed_form_in_sixty_digits(
    control: tuple[int, int], treatment: tuple[int, int], margin: float
) -> None:
    ours = noninferiority(counts(*control), counts(*treatment), margin).test
    z = farrington_manning(control, treatment, -margin)
    assert ours.statistic == pytest.approx(float(z), rel=close, abs=1e-9)
    assert ours.log10_p == pytest.approx(float(mpmath.log10(mpmath.ncdf(-z))), rel=close, abs=1e-12)


@pytest.mark.parametrize(
    ("control", "treatment"), [((9, 10), (3, 10)), ((450, 500), (440, 500)), ((80_000, 100_000), (455, 500))]
)
def test_non_inferiority_agrees_with_statsmodels(
    control: tuple[int, int], treatment: tuple[int, int]
) -> None:
    """By Wald; the cubic of its score test (0.15) has successes for trials in one term, and misses the maximum."""
    ours = noninferiority(counts(*control), counts(*treatment), 0.05).wald
    theirs = proportions_2indep(
        *treatment, *control, value=-0.05, method="wald", compare="diff", alternative="larger"
    )
    assert (ours.statistic, ours.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=close)


def farrington_manning(control: tuple[int, int], treatment: tuple[int, int], difference: float) -> mpmath.mpf:
    """The cubic of the paper's appendix."""
    with mpmath.workdps(60):
        (x1, n1), (x2, n2) = (tuple(map(mpmath.mpf, arm)) for arm in (control, treatment))
        p1, p2, delta, theta = x1 / n1, x2 / n2, mpmath.mpf(difference), n1 / n2
        a = 1 + theta
        b = -(1 + theta + p2 + theta * p1 + delta * (theta + 2))
        c = delta**2 + delta * (2 * p2 + theta + 1) + p2 + theta * p1
        d = -p2 * delta * (1 + delta)
        v = (b / (3 * a)) ** 3 - b * c / (6 * a**2) + d / (2 * a)
        u = (-1 if v < 0 else 1) * mpmath.sqrt((b / (3 * a)) ** 2 - c / (3 * a))
        cosine = max(min(v / u**3, 1), -1) if u else mpmath.mpf(1)
        of_treatment = 2 * u * mpmath.cos((mpmath.pi + mpmath.acos(cosine)) / 3) - b / (3 * a)
        of_control = of_treatment - delta
        variance = of_treatment * (1 - of_treatment) / n2 + of_control * (1 - of_control) / n1
        return (p2 - p1 - delta) / mpmath.sqrt(variance)


def test_a_tail_of_chi_square_agrees_with_scipy_and_goes_on_where_it_ends() -> None:
    for degrees, statistic in product((1, 2, 3, 9), (0.0, 0.5, 4.0, 30.0, 900.0)):
        assert log_chi_square_tail(statistic, degrees) == pytest.approx(
            chi2.logsf(statistic, degrees), rel=close
        )
    for degrees, statistic in product((1, 2, 5), (1_400.0, 5_000.0, 1e6)):
        exact = mpmath.log(mpmath.gammainc(mpmath.mpf(degrees) / 2, statistic / 2, regularized=True))
        assert log_chi_square_tail(statistic, degrees) == pytest.approx(float(exact), rel=close)


@given(arms)
def test_wilson_holds_the_rate_and_lies_within_0_and_1(arm: tuple[int, int]) -> None:
    low, high = bounds(rate_interval(counts(*arm)))
    assert 0 <= low <= arm[0] / arm[1] <= high <= 1


@given(arms, arms)
def test_the_interval_of_a_difference_is_turned_when_the_arms_are(
    control: tuple[int, int], treatment: tuple[int, int]
) -> None:
    one = newcombe(counts(*control), counts(*treatment), 2.0)
    other = newcombe(counts(*treatment), counts(*control), 2.0)
    assert -1 <= one.lower <= one.upper <= 1
    assert (float(one.lower), float(one.upper)) == pytest.approx((-float(other.upper), -float(other.lower)))


@pytest.mark.parametrize(("rate", "trials"), [(0.5, 20), (0.9, 200), (0.95, 1_000)])
def test_wilson_covers_at_its_nominal_rate(rate: float, trials: int) -> None:
    """Exactly, over every number of successes; averaged over rates nearby, since the coverage of any such interval goes
    up and down with the rate."""
    successes = np.arange(trials + 1.0)
    low, high = wilson(counts(successes, np.full(trials + 1, float(trials))), critical(0.95))
    nearby = np.clip(rate + np.linspace(-0.04, 0.04, 81), 0.01, 0.99)
    coverage = [binom.pmf(successes, trials, one)[(low <= one) & (one <= high)].sum() for one in nearby]
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.01)
