"""Which variant a customer is in: uniform, independent of other experiments, and stable when weights change."""

import subprocess
import sys
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency, chisquare
from scipy.stats.contingency import crosstab

from commands.routing.assignment import Assigner, allocated, assignment, bucket_of, variant_of
from schemas.experiment import ANY_VARIANT, BUCKETS, Allocation, Assignment, BucketRange
from schemas.ids import ExperimentId

HALVES = allocated({"control": 5_000, "treatment": 5_000})
VECTORS = [
    ("exp_1", "cus_1", 231),
    ("exp_1", "cus_2", 531),
    ("exp_2", "cus_1", 2310),
    ("exp_1", "", 5341),
    ("checkout", "काउंटर-7", 2044),
]
"""As in docs/experiments.md: salt, customer, bucket."""
GROUP_VECTORS = [
    ("cus_4", 1565, 274, "control"),
    ("cus_9", 1767, 730, "treatment"),
    ("काउंटर-7", 2044, 666, "treatment"),
    ("cus_1", 4786, 231, None),
]
"""Of `exp_1` in `checkout`: customer, bucket of the group, number of the experiment, variant."""
CUSTOMERS = [f"cus_{number}" for number in range(100_000)]

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


# In a group


def test_the_published_vectors_of_a_group_hold() -> None:
    documents = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text()
    arms = allocated({"control": 500, "treatment": 500})
    one = of_group("exp_1", arms, everybody(1_500, 2_500))
    for customer, bucket, number, variant in GROUP_VECTORS:
        assert (bucket_of("checkout", customer), bucket_of("exp_1", customer, 1_000)) == (bucket, number)
        assert one.variant(customer) == variant
        named = f"`{customer}`"
        assert f"| {named} | {bucket} | {number} | {variant or 'not in it'} |" in documents


def test_a_group_is_divided_uniformly_and_exclusively_and_arms_by_their_weights() -> None:
    arms = allocated({"control": 1_000, "a": 500, "b": 500})
    first = of_group("exp_1", arms, everybody(0, 2_000))
    second = of_group("exp_2", arms, everybody(2_000, 4_000))
    seen = Counter((first.variant(customer), second.variant(customer)) for customer in CUSTOMERS)
    assert all(None in pair for pair in seen), "nobody is in both"
    expected = {
        (None, None): 0.6,
        ("control", None): 0.1,
        ("a", None): 0.05,
        ("b", None): 0.05,
        (None, "control"): 0.1,
        (None, "a"): 0.05,
        (None, "b"): 0.05,
    }
    assert seen.keys() == expected.keys()
    shares = [share * len(CUSTOMERS) for share in expected.values()]
    assert chisquare([seen[pair] for pair in expected], shares).pvalue > 0.001


def test_arms_of_consecutive_experiments_of_a_group_are_independent() -> None:
    """All of them have the very same customers, in the very same buckets of the group."""
    arms, held = allocated({"control": 2_000, "treatment": 2_000}), everybody(0, 4_000)
    experiments = [of_group(f"exp_{number}", arms, held) for number in range(10)]
    members = [customer for customer in CUSTOMERS if experiments[0].variant(customer) is not None]
    seen = [np.array([one.variant(customer) == "control" for customer in members]) for one in experiments]
    assert len(members) == pytest.approx(0.4 * len(CUSTOMERS), rel=0.02)
    by_bucket = np.array([bucket_of("checkout", customer) // 400 for customer in members])
    tables = [
        *((one, other) for one, other in combinations(seen, 2)),
        *((one, by_bucket) for one in seen),
    ]
    p_values = [chi2_contingency(crosstab(one, other)[1], correction=False).pvalue for one, other in tables]
    assert len(p_values) == 45 + 10
    assert min(p_values) > 0.01 / len(p_values)


def test_a_group_that_is_scaled_takes_in_more_and_moves_nobody() -> None:
    arms = allocated({"control": 700, "treatment": 300})
    before = of_group("exp_1", arms, everybody(2_000, 3_000))
    grown = of_group("exp_1", arms, (*everybody(2_000, 3_000), *everybody(5_000, 6_000)))
    taken_in = 0
    for customer in CUSTOMERS[:20_000]:
        was, now = before.variant(customer), grown.variant(customer)
        assert was in (None, now)
        taken_in += was != now
    assert taken_in == pytest.approx(2_000, rel=0.1)


def of_group(experiment: str, arms: Allocation, held: Allocation) -> Assignment:
    return assignment(ExperimentId(experiment), "checkout", held, arms)


def everybody(first: int, end: int) -> Allocation:
    return (BucketRange(variant=ANY_VARIANT, first=first, end=end),)


# In every process


def test_every_process_says_the_same() -> None:
    """Whatever its hash seed is: what Python itself calls a hash has no part in it."""
    program = """
from commands.routing.assignment import allocated, assignment
from schemas.experiment import UNSET, BucketRange
arms = allocated({"control": 500, "treatment": 500})
held = (BucketRange(variant="*", first=0, end=6_000),)
both = (assignment("exp_1", "checkout", held, arms), assignment("exp_1", "exp_1", arms, UNSET))
print([one.variant(f"cus_{number}") for number in range(300) for one in both])
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert all(variant in said[0] for variant in ("control", "treatment", "None"))


@pytest.mark.parametrize("weights", [{"a": 6_000, "b": 4_001}, {"a": -1}])
def test_weights_that_cannot_be_are_refused(weights: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Expected weights"):
        allocated(weights)
