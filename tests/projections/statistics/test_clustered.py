"""Customers, not payments, are compared: the variance agrees with regressions clustered by customer."""

import numpy as np
import pytest
from hypothesis import given
from statsmodels.api import OLS, add_constant

from projections.statistics.clustered import clustered, clustered_difference
from projections.statistics.effective import counts, design_effect, effective
from projections.statistics.ratios import relative_lift
from projections.statistics.sums import Sums, paid_once, variance
from tests.projections.statistics.crowds import Customers, crowd, customers, folded, summed


def payments_of(arms: tuple[Customers, Customers]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, arm and customer of every single payment."""
    outcomes, treated, groups = [], [], []
    for arm, people in enumerate(arms):
        for number, (paid, succeeded) in enumerate(people.astype(int)):
            outcomes += [1.0] * succeeded + [0.0] * (paid - succeeded)
            treated += [float(arm)] * paid
            groups += [arm * 10_000 + number] * paid
    return np.array(outcomes), np.array(treated), np.array(groups)


def test_the_standard_error_is_that_of_a_regression_clustered_by_customer() -> None:
    arms = crowd(1, 150), crowd(2, 150, 0.85)
    outcomes, treated, groups = payments_of(arms)
    fit = OLS(outcomes, add_constant(treated)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    found = clustered(summed(arms[0]), summed(arms[1]))
    assert found.difference.estimate == pytest.approx(fit.params[1], rel=1e-9)
    assert found.standard_error == pytest.approx(fit.bse[1] * (150 / 149) ** 0.5, rel=1e-9)


def test_the_variance_is_the_delta_method_on_sample_moments() -> None:
    people = crowd(3, 80)
    (vx, cxy), (_, vy) = np.cov(people.T)
    (mx, my), n = people.mean(axis=0), len(people)
    ratio = my / mx
    expected = (vy - 2 * ratio * cxy + ratio**2 * vx) / (n * mx**2)
    assert float(variance(summed(people))) == pytest.approx(expected, rel=1e-9)


def test_where_everybody_pays_once_customers_and_payments_tell_the_same() -> None:
    control, treatment = paid_once(900, 1_000), paid_once(450, 520)
    found = clustered(control, treatment)
    assert (found.control_design_effect, found.treatment_design_effect) == pytest.approx((1, 1))
    unpooled = 0.9 * 0.1 / 999 + (450 / 520) * (70 / 520) / 519
    assert found.standard_error == pytest.approx(unpooled**0.5, rel=1e-12)
    naive = relative_lift(counts(900, 1_000), counts(450, 520), 0.95)
    assert found.relative_lift.lower == pytest.approx(naive.lower, rel=0.01)


def test_one_customer_has_no_variance_and_no_bounds() -> None:
    found = clustered(paid_once(1, 1), paid_once(9, 10))
    assert (found.difference.lower, found.test.p_value, found.standard_error) == (None, None, None)


@given(customers)
def test_sums_that_are_folded_event_by_event_are_those_of_the_customers(people: Customers) -> None:
    assert folded(people) == pytest.approx(summed(people))


@given(customers, customers)
def test_customers_never_count_for_more_than_their_payments(one: Customers, other: Customers) -> None:
    control, treatment = summed(one), summed(other)
    for arm, found in zip((control, treatment), effective(control, treatment), strict=True):
        assert 0 < float(found.successes) < float(found.trials) <= arm.payments + 1
        assert 1 <= float(arm.independent_customers) <= arm.customers + 1e-9
        assert float(design_effect(arm)) >= 1


def test_many_experiments_are_computed_at_once_as_they_are_one_by_one() -> None:
    several = [(summed(crowd(seed, 50)), summed(crowd(seed + 50, 60))) for seed in range(5)]
    stacked = [
        Sums(*(np.array(field) for field in zip(*arm, strict=True))) for arm in zip(*several, strict=True)
    ]
    _, errors = clustered_difference(*stacked)
    alone = [float(clustered_difference(*pair)[1]) for pair in several]
    assert errors.tolist() == pytest.approx(alone, rel=1e-12)
