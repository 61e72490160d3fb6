"""Sizes and powers agree with statsmodels, Holm too."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import (
    power_proportions_2indep,
    proportion_effectsize,
    samplesize_proportions_2indep_onetail,
)

from projections.statistics.holm import holm
from projections.statistics.power import design, least_difference, power_of, remaining_days, sample_size


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("difference", [0.01, -0.02, 0.04])
@pytest.mark.parametrize("ratio", [1.0, 0.25, 3.0])
def test_power_agrees_with_statsmodels(rate: float, difference: float, ratio: float) -> None:
    theirs = power_proportions_2indep(difference, rate, 3_000 * ratio, 1 / ratio, return_results=False)
    assert power_of(rate, difference, 3_000, ratio=ratio) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(
    ("rate", "difference", "power"), [(0.9, 0.01, 0.8), (0.5, -0.1, 0.9), (0.01, 0.005, 0.5)]
)
def test_the_sample_size_agrees_with_statsmodels(rate: float, difference: float, power: float) -> None:
    theirs = samplesize_proportions_2indep_onetail(difference, rate, power)
    assert sample_size(rate, difference, power=power) == pytest.approx(theirs, rel=1e-6)


def test_cohens_arcsine_effect_is_another_approximation_and_comes_near() -> None:
    theirs = NormalIndPower().solve_power(proportion_effectsize(0.91, 0.9), alpha=0.05, power=0.8)
    assert theirs == pytest.approx(13_487.3, abs=0.1)
    assert sample_size(0.9, 0.01) == pytest.approx(theirs, rel=1e-3)


@given(st.floats(0.02, 0.97), st.floats(0.3, 0.99), st.integers(2_000, 10**7), st.floats(0.1, 10))
def test_the_least_difference_has_the_power_that_was_asked(
    rate: float, power: float, customers: int, ratio: float
) -> None:
    found = least_difference(rate, customers, power=power, ratio=ratio)
    if found is not None:
        assert power_of(rate, found, customers, ratio=ratio) == pytest.approx(power, rel=1e-4)


def test_too_few_customers_find_nothing() -> None:
    assert least_difference(0.9, 5) is None


def test_the_winners_test_takes_some_more_customers_than_one_look() -> None:
    found = design(0.9, 0.01)
    assert found.customers_control == 13_495
    assert 1 < found.customers_control_sequential / found.customers_control < 1.15


def test_what_remains_is_told_in_days() -> None:
    assert remaining_days(1_000, 400, 100) == 6
    assert remaining_days(1_000, 1_000, 0) == 0
    assert remaining_days(1_000, 400, 0) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=30)
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(
        multipletests(p_values, method="holm")[1].tolist(), rel=1e-9, abs=1e-300
    )
