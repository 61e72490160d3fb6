"""Quantiles of a sketch against those of the values themselves."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.sketch import LONGEST_MS, RELATIVE_ERROR, bin_of, quantiles

WANTED = (0.5, 0.9, 0.95, 0.99)
latencies = st.lists(st.integers(1, LONGEST_MS), min_size=1, max_size=500)


def sketch(values: list[int]) -> Counter[int]:
    return Counter(map(bin_of, values))


@given(latencies)
def test_every_quantile_is_within_one_per_cent_of_the_value_of_its_rank(values: list[int]) -> None:
    for wanted, found in zip(WANTED, quantiles(sketch(values), WANTED), strict=True):
        exact = float(np.quantile(values, wanted, method="lower"))
        assert found == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-6, abs=1e-3)


def test_of_twenty_thousand_payments_it_is_as_exact_as_of_a_few() -> None:
    chance = np.random.default_rng(7)
    values = [int(v) + 1 for v in chance.lognormal(5.5, 0.8, 20_000)] + [2_500] * 400
    for wanted, found in zip(WANTED, quantiles(sketch(values), WANTED), strict=True):
        assert found == pytest.approx(np.quantile(values, wanted, method="lower"), rel=RELATIVE_ERROR)


@given(st.lists(latencies, max_size=5), st.randoms())
def test_merged_in_any_order_it_is_the_same(parts: list[list[int]], chance: object) -> None:
    whole = sketch([value for part in parts for value in part])
    chance.shuffle(parts)  # type: ignore[attr-defined]
    merged: Counter[int] = Counter()
    for part in parts:
        merged += sketch(part)
    assert merged == whole


@pytest.mark.parametrize("latency_ms", [-5, 0, 1, LONGEST_MS, 10**9])
def test_there_is_no_more_than_a_bounded_number_of_bins(latency_ms: int) -> None:
    assert 0 <= bin_of(latency_ms) <= 585


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantiles({}, WANTED) == [None] * 4
    assert quantiles({3: 0}, (0.5,)) == [None]
