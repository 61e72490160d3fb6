"""Which variant a customer is in: uniform, independent of other experiments, and stable when weights change."""

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency, chisquare

from commands.routing.assignment import Assigner, allocated, bucket_of, variant_of
from schemas.experiment import BUCKETS, Allocation

HALVES = allocated({"control": 5_000, "treatment": 5_000})
VECTORS = [
    ("exp_1", "cus_1", 231),
    ("exp_1", "cus_2", 531),
    ("exp_2", "cus_1", 2310),
    ("exp_1", "", 5341),
    ("checkout", "काउंटर-7", 2044),
]
"""As in docs/experiments.md: salt, customer, bucket."""

names = st.sampled_from(["control", "a", "b", "c"])


@st.composite
def weights(draw: st.DrawFn) -> dict[str, int]:
    found = draw(st.dictionaries(names, st.integers(0, 4_000), min_size=1))
    return found if sum(found.values()) <= BUCKETS else {name: one // 2 for name, one in found.items()}


def sizes(allocation: Allocation) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in allocation:
        found[one.variant] = found.get(one.variant, 0) + one.end - one.first
    return found


@pytest.mark.parametrize(("salt", "customer", "bucket"), VECTORS)
def test_the_published_vectors_hold(salt: str, customer: str, bucket: int) -> None:
    assert bucket_of(salt, customer) == bucket
    variant = variant_of(bucket, HALVES)
    documents = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text()
    assert f"| `{salt}` | {f'`{customer}`' if customer else '(empty)'} | {bucket} | {variant} |" in documents


def test_an_assigner_says_what_the_specification_says() -> None:
    allocation = allocated({"control": 3_000, "a": 1_000}, instead_of=HALVES)
    assigner = Assigner("exp_1", allocation)
    for number in range(2_000):
        customer = f"cus_{number}"
        assert assigner.variant(customer) == variant_of(bucket_of("exp_1", customer), allocation)


def test_buckets_are_uniform_for_twenty_salts() -> None:
    for salt in range(20):
        buckets = [bucket_of(f"exp_{salt}", f"cus_{number}") // 100 for number in range(50_000)]
        assert chisquare(np.bincount(buckets, minlength=100)).pvalue > 0.05 / 20 / 20


def test_twenty_experiments_are_pairwise_independent() -> None:
    customers = [f"cus_{number}" for number in range(30_000)]
    arms = [
        np.array([bucket_of(f"exp_{salt}", customer) < BUCKETS // 2 for customer in customers])
        for salt in range(20)
    ]
    statistics = [
        chi2_contingency(
            [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]], False
        ).statistic
        for a, b in combinations(arms, 2)
    ]
    assert len(statistics) == 190
    assert max(statistics) < chi2.isf(0.01 / 190, 1)
    assert max(statistics) / len(customers) <= 0.02**2 * 2, "Cramér's V is the root of it"


@given(weights(), weights())
@settings(max_examples=60, deadline=None)
def test_a_customer_moves_only_out_of_what_shrank_and_only_into_what_grew(
    before: dict[str, int], after: dict[str, int]
) -> None:
    old = allocated(before)
    new = allocated(after, instead_of=old)
    moves = 0
    for bucket in range(BUCKETS):
        was, now = variant_of(bucket, old), variant_of(bucket, new)
        if was == now:
            continue
        moves += 1
        assert now is None or after[now] > before.get(now, 0)
        assert was is None or after.get(was, 0) < before[was]
    grown = sum(max(0, weight - before.get(name, 0)) for name, weight in after.items())
    shrunk = sum(max(0, weight - after.get(name, 0)) for name, weight in before.items())
    assert moves == max(grown, shrunk) or moves <= grown + shrunk


@given(weights(), weights())
@settings(max_examples=60, deadline=None)
def test_every_variant_gets_exactly_its_weight(before: dict[str, int], after: dict[str, int]) -> None:
    allocation = allocated(after, instead_of=allocated(before))
    assert sizes(allocation) == {name: weight for name, weight in after.items() if weight}
    assert all(one.first < one.end for one in allocation)
    assert all(one.end <= two.first for one, two in pairwise(allocation))


def test_experiments_of_one_group_share_no_customer() -> None:
    """A group is an allocation whose variants are experiments, under a salt of its own."""
    group = Assigner("grp_checkout", allocated({"exp_1": 3_000, "exp_2": 3_000}))
    members = [group.variant(f"cus_{number}") for number in range(5_000)]
    assert {None, "exp_1", "exp_2"} == set(members)


@pytest.mark.parametrize("weights", [{"a": 6_000, "b": 4_001}, {"a": -1}])
def test_weights_that_cannot_be_are_refused(weights: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Expected weights"):
        allocated(weights)
