"""Customers, not payments, are compared: the figures agree with regressions clustered by customer, and with Welch's."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from scipy.stats import t as student
from scipy.stats import ttest_ind
from statsmodels.api import OLS

from projections.statistics.clustered import clustered, clustered_rate, difference
from projections.statistics.effective import counts, design_effect, effective
from projections.statistics.proportions import rate_interval
from projections.statistics.ratios import relative_lift
from projections.statistics.sums import Sums, paid_once, squared_residuals, variance
from projections.statistics.welch import log_two_sided
from tests.projections.statistics.crowds import Customers, crowd, customers, folded, summed


def regressed(people: Customers) -> float:
    """The variance of the mean outcome of all payments, clustered by customer and without a correction."""
    paid, succeeded = people.astype(int).T
    outcomes = np.concatenate([np.arange(n) < y for n, y in zip(paid, succeeded, strict=True)]).astype(float)
    groups = np.repeat(np.arange(len(people)), paid)
    fit = OLS(outcomes, np.ones_like(outcomes)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    return float(fit.bse[0] ** 2)


def test_the_figures_are_those_of_clustered_regressions_with_students_t_over_independent_customers() -> None:
    arms = crowd(1, 150), crowd(2, 150, 0.85)
    independent = [people[:, 0].sum() ** 2 / (people[:, 0] ** 2).sum() for people in arms]
    variances = [regressed(people) * k / (k - 1) for people, k in zip(arms, independent, strict=True)]
    rates = [people[:, 1].sum() / people[:, 0].sum() for people in arms]
    error = sum(variances) ** 0.5
    degrees = sum(variances) ** 2 / sum(v**2 / (k - 1) for v, k in zip(variances, independent, strict=True))
    found = clustered(summed(arms[0]), summed(arms[1]))
    assert found.difference.estimate == pytest.approx(rates[1] - rates[0], rel=1e-9)
    assert (found.standard_error, found.degrees_of_freedom) == pytest.approx((error, degrees), rel=1e-9)
    low, high = student.interval(0.95, degrees, rates[1] - rates[0], error)
    assert (found.difference.lower, found.difference.upper) == pytest.approx((low, high), rel=1e-9)
    p = 2 * student.sf(abs(rates[1] - rates[0]) / error, degrees)
    assert found.test.p_value == pytest.approx(p, rel=1e-9)

    of_log = [v / rate**2 for v, rate in zip(variances, rates, strict=True)]
    degrees = sum(of_log) ** 2 / sum(v**2 / (k - 1) for v, k in zip(of_log, independent, strict=True))
    bounds = student.interval(0.95, degrees, np.log(rates[1] / rates[0]), sum(of_log) ** 0.5)
    lift = found.relative_lift
    assert (lift.lower, lift.upper) == pytest.approx(tuple(np.exp(bounds) - 1), rel=1e-9)


@pytest.mark.parametrize("arms", [((900, 1_000), (450, 520)), ((1, 2), (3, 4)), ((9, 10), (5, 9))])
def test_where_everybody_pays_once_it_is_scipys_welch(arms: tuple[tuple[int, int], tuple[int, int]]) -> None:
    control, treatment = (np.repeat([1.0, 0.0], [y, n - y]) for y, n in arms)
    theirs = ttest_ind(treatment, control, equal_var=False)
    found = clustered(paid_once(*arms[0]), paid_once(*arms[1]))
    assert (found.test.statistic, found.test.p_value, found.degrees_of_freedom) == pytest.approx(
        (theirs.statistic, theirs.pvalue, theirs.df), rel=1e-9
    )
    assert (found.difference.lower, found.difference.upper) == pytest.approx(
        tuple(theirs.confidence_interval(0.95)), rel=1e-9
    )


def test_where_everybody_pays_once_a_rate_is_wilsons_and_the_lift_katzs() -> None:
    control, treatment = paid_once(900, 1_000), paid_once(450, 520)
    found = clustered(control, treatment)
    assert (found.control.design_effect, found.treatment.design_effect) == pytest.approx((1, 1))
    naive = rate_interval(counts(900, 1_000))
    assert (found.control.rate.lower, found.control.rate.upper) == pytest.approx((naive.lower, naive.upper))
    lift = relative_lift(counts(900, 1_000), counts(450, 520), 0.95)
    assert found.relative_lift.lower == pytest.approx(lift.lower, rel=0.01)


def test_an_arm_that_has_met_no_bad_customer_is_as_unsure_as_the_other_has_shown() -> None:
    lucky, other = summed(np.array([[50.0, 50.0]] * 20)), summed(crowd(7, 40))
    alone, among = clustered_rate(lucky, (lucky,)), clustered_rate(lucky, (lucky, other))
    assert (alone.design_effect, alone.independent_customers) == pytest.approx((1.05, 20), rel=0.01)
    assert among.design_effect is not None
    assert among.design_effect > 2
    assert among.rate.lower is not None
    assert alone.rate.lower is not None
    assert among.rate.lower < alone.rate.lower


def test_the_variance_is_the_delta_method_on_sample_moments_of_independent_customers() -> None:
    people = crowd(3, 80)
    (vx, cxy), (_, vy) = np.cov(people.T, ddof=0)
    (mx, my), n = people.mean(axis=0), len(people)
    ratio, k = my / mx, float(summed(people).independent_customers)
    expected = (vy - 2 * ratio * cxy + ratio**2 * vx) / (n * mx**2) * k / (k - 1)
    assert float(variance(summed(people))) == pytest.approx(expected, rel=1e-9)


def test_of_independent_payments_the_variance_is_right_on_average_however_unequally_customers_pay() -> None:
    rng = np.random.default_rng(4)
    x = np.tile(np.repeat([1.0, 40.0], [20, 5]), (20_000, 1))
    y = rng.binomial(x.astype(int), 0.9).astype(float)
    found = variance(Sums(25.0, *(part.sum(axis=1) for part in (x, y, x * x, y * y, x * y))))
    assert float(found.mean()) == pytest.approx(0.9 * 0.1 / 220, rel=0.02)


@pytest.mark.parametrize("failures", [1, 3])
def test_nothing_cancels_where_nearly_all_of_very_many_succeed(failures: int) -> None:
    trials = 10**12
    exact = mpmath.mpf(failures) * (trials - failures) / trials
    assert float(squared_residuals(paid_once(trials - failures, trials))) == pytest.approx(
        float(exact), rel=1e-9
    )


def test_what_rounding_leaves_of_equal_customers_is_no_variance() -> None:
    y = np.full(1_000, np.log(333.3))
    assert float(squared_residuals(Sums(1_000, 1_000, y.sum(), 1_000, float(y @ y), y.sum()))) == 0


def test_one_customer_has_no_variance_and_no_bounds() -> None:
    found = clustered(paid_once(1, 1), paid_once(9, 10))
    assert (found.difference.lower, found.test.p_value, found.standard_error) == (None, None, None)


@pytest.mark.parametrize("degrees", [1.0, 2.5, 41.3, 1_000.0, 20_000.5])
@pytest.mark.parametrize("t", [3.0, 20.0, 28.0, 50.0, 1e3, 1e60])
def test_the_tail_of_students_t_goes_on_where_numbers_end(degrees: float, t: float) -> None:
    with mpmath.workdps(40):
        a, x = mpmath.mpf(degrees) / 2, degrees / (degrees + mpmath.mpf(t) ** 2)
        exact = mpmath.log(x**a / a / mpmath.beta(a, 0.5) * mpmath.hyp2f1(a, 0.5, a + 1, x))
    assert log_two_sided(t, degrees) == pytest.approx(float(exact), rel=1e-9)


def test_a_clustered_p_value_too_small_for_a_number_has_its_logarithm() -> None:
    found = clustered(paid_once(800_000, 1_000_000), paid_once(850_000, 1_000_000)).test
    assert found.p_value == 0
    assert found.log10_p == pytest.approx(-1886.16, abs=0.01)


@given(customers)
def test_sums_that_are_folded_event_by_event_are_those_of_the_customers(people: Customers) -> None:
    assert folded(people) == pytest.approx(summed(people))


@given(customers, customers)
def test_customers_never_count_for_more_than_their_payments(one: Customers, other: Customers) -> None:
    control, treatment = summed(one), summed(other)
    for arm, found in zip((control, treatment), effective(control, treatment), strict=True):
        assert 0 < float(found.successes) < float(found.trials) <= arm.payments + 1
        assert 1 <= float(arm.independent_customers) <= arm.customers + 1e-9
        assert float(design_effect(arm, (control, treatment))) >= 1


def test_many_experiments_are_computed_at_once_as_they_are_one_by_one() -> None:
    several = [(summed(crowd(seed, 50)), summed(crowd(seed + 50, 60))) for seed in range(5)]
    stacked = [
        Sums(*(np.array(field) for field in zip(*arm, strict=True))) for arm in zip(*several, strict=True)
    ]
    errors = difference(*stacked).error
    alone = [float(difference(*pair).error) for pair in several]
    assert errors.tolist() == pytest.approx(alone, rel=1e-12)
