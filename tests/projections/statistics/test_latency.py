"""A slower treatment is found by its logarithms and by its ranks."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, ttest_ind

from projections.statistics.latency import LOG_UNIT, is_slow, latency, log_units
from projections.statistics.ranks import ranks
from projections.statistics.sums import Sums, moved, scaled, variance
from tests.projections.statistics.crowds import summed


def sums_of(logs: np.ndarray) -> Sums:
    return summed(np.column_stack((np.ones_like(logs), logs)))


def drawn(seed: int, customers: int, slowdown: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(np.log(400 * slowdown), 0.5, customers)


def test_the_ratio_of_geometric_means_agrees_with_scipys_welch() -> None:
    control, treatment = drawn(1, 80), drawn(2, 130, 1.2)
    theirs = ttest_ind(treatment, control, equal_var=False)
    low, high = theirs.confidence_interval(0.95)
    found = latency(sums_of(control), sums_of(treatment))
    assert (found.test.statistic, found.test.p_value) == pytest.approx(
        (theirs.statistic, theirs.pvalue), rel=1e-6
    )
    assert (found.ratio.lower, found.ratio.upper) == pytest.approx((np.exp(low), np.exp(high)), rel=1e-6)


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=60),
    st.lists(st.integers(1, 30), min_size=1, max_size=60),
)
def test_ranks_agree_with_scipy_ties_and_all(control: list[int], treatment: list[int]) -> None:
    found = ranks(Counter(control), Counter(treatment))
    assert 0 <= found.slower_share <= 1
    if len({*control, *treatment}) > 1:
        theirs = mannwhitneyu(treatment, control, method="asymptotic", alternative="two-sided")
        assert found.test.p_value == pytest.approx(theirs.pvalue, rel=1e-6)
        assert found.slower_share == pytest.approx(theirs.statistic / len(control) / len(treatment))
    else:
        assert found.test.p_value == 1


def test_payments_of_few_customers_tell_less_than_they_seem_to() -> None:
    control, treatment = Counter(range(100)), Counter(range(20, 120))
    alone, clustered = ranks(control, treatment), ranks(control, treatment, design_effect=4.0)
    assert clustered.test.statistic == pytest.approx((alone.test.statistic or 0) / 2)


def test_logarithms_counted_as_integers_tell_the_same() -> None:
    latencies = np.round(np.exp(drawn(5, 2_000))).astype(int).tolist()
    units = [log_units(one) for one in latencies]
    folded = Sums()
    for one in units:
        folded = moved(folded, (0, 0), (1, one))
    exact, counted = sums_of(np.log(latencies)), scaled(folded, LOG_UNIT)
    assert all(isinstance(field, int) for field in folded)
    assert float(counted.rate) == pytest.approx(float(exact.rate), abs=1e-4)
    assert float(variance(counted)) == pytest.approx(float(variance(exact)), rel=1e-3)


def test_half_as_slow_again_is_paused_and_a_tenth_is_not() -> None:
    for slowdown, expected in ((1.0, False), (1.1, False), (1.5, True)):
        control, treatment = sums_of(drawn(3, 300)), sums_of(drawn(4, 300, slowdown))
        assert latency(control, treatment).is_slow is expected


def test_nobody_is_called_slow_before_the_minimum() -> None:
    control, treatment = sums_of(drawn(3, 99)), sums_of(drawn(4, 99, 10.0))
    assert not is_slow(control, treatment, 1.5)
    assert is_slow(control, treatment, 1.5, least_customers=99)


def test_of_nobody_nothing_is_said() -> None:
    found = latency(Sums(), Sums())
    assert (found.ratio.estimate, found.slow_p, found.is_slow) == (None, None, False)
