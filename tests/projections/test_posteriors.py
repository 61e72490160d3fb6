"""What is believed of a success rate: how fast it is forgotten, and what a change does to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.posteriors import SCALES, Belief, Forgetting, fold, posterior, reopened
from schemas.metrics import BUCKET_S
from schemas.routing import UNKNOWN, Posterior

FORGETTING = Forgetting()
SEED = 20261125
CHANGE = 120
"""The bucket in which rates change, after twenty minutes of the usual one."""


def after(rates: list[float], payments: int = 30, seed: int = SEED) -> tuple[Belief, list[int]]:
    """The belief after a bucket of payments at each rate, and the buckets in which a change was detected."""
    chance, belief, detected = np.random.default_rng(seed), Belief(bucket=0), []
    for bucket, rate in enumerate(rates):
        succeeded, before = int(chance.binomial(payments, rate)), belief.changed_at
        belief = fold(belief, bucket, succeeded, payments - succeeded, FORGETTING)
        detected += [bucket] if belief.changed_at != before else []
    return belief, detected


def told(belief: Belief, waited: int = 0) -> Posterior:
    """So many buckets later, without any more outcomes."""
    return posterior(belief, belief.bucket + waited, 0, 0, FORGETTING)


counts = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 40), st.integers(0, 40)), max_size=20)


def folded(counts: list[tuple[int, int, int]]) -> Belief:
    """(buckets since the one before, succeeded, failed)"""
    belief = Belief(bucket=0)
    for pause, succeeded, failed in counts:
        belief = fold(belief, belief.bucket + pause, succeeded, failed, FORGETTING)
    return belief


def test_nothing_is_known_without_evidence() -> None:
    assert told(Belief(bucket=0), 40) == UNKNOWN


def test_outcomes_of_the_bucket_itself_count_in_full() -> None:
    assert posterior(Belief(bucket=6), 7, 3, 2, FORGETTING) == Posterior(alpha=4, beta=3)


def test_evidence_is_halved_in_a_half_life() -> None:
    belief = Belief(bucket=0, succeeded=80, failed=20)
    assert told(belief, 140) == Posterior(alpha=41, beta=11)


@given(counts, st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_time_without_outcomes_moves_a_belief_towards_its_prior(
    counts: list[tuple[int, int, int]], waited: int
) -> None:
    belief = folded(counts)
    usual = belief.usual_succeeded / (belief.usual_succeeded + belief.usual_failed)
    before, later = told(belief, waited), told(belief, waited + 1)
    assert abs(later.mean - usual) <= abs(before.mean - usual) + 1e-12
    assert later.effective_sample <= before.effective_sample


@given(counts)
@settings(max_examples=100, deadline=None)
def test_no_evidence_is_negative_or_more_than_there_was(counts: list[tuple[int, int, int]]) -> None:
    belief = folded(counts)
    assert 0 <= belief.succeeded <= sum(succeeded for _, succeeded, _ in counts)
    assert 0 <= belief.failed <= sum(failed for _, _, failed in counts)


def test_twice_the_payments_are_twice_the_evidence() -> None:
    few, many = (told(after([0.9] * 300, payments)[0]).effective_sample - 2 for payments in (30, 60))
    assert many == pytest.approx(2 * few)


# Changes


@pytest.mark.parametrize(("rate", "within"), [(0.1, 1), (0.5, 2), (0.8, 16), (0.84, 48)])
def test_a_change_is_found_sooner_the_larger_it_is(rate: float, within: int) -> None:
    """A deep fall in the shortest span, a shallow one in a long one; and about when it was."""
    belief, detected = after([0.92] * CHANGE + [rate] * within)
    assert len(detected) == 1
    assert belief.changed_at == pytest.approx(CHANGE, abs=12)
    assert abs(told(belief).mean - rate) < abs(told(belief).mean - 0.92)


def test_a_change_is_looked_for_in_spans_of_up_to_ten_minutes() -> None:
    assert list(SCALES) == sorted(set(SCALES))
    assert (SCALES[0], SCALES[-1]) == (1, 64)
    assert [bucket for bucket, _, _ in after([0.92] * CHANGE + [0.1])[0].recent] == [CHANGE]


def test_without_looking_for_changes_the_old_rate_would_linger() -> None:
    counts = [(1, 27, 3)] * CHANGE + [(1, 15, 15)] * 3
    belief, blind = Belief(bucket=0), Belief(bucket=0)
    for pause, succeeded, failed in counts:
        belief = fold(belief, belief.bucket + pause, succeeded, failed, FORGETTING)
        blind = fold(blind, blind.bucket + pause, succeeded, failed, Forgetting(alarm=1e9))
    assert told(belief).mean < 0.6 < 0.85 < told(blind).mean


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.92, 0.99])
def test_a_steady_rate_seldom_alarms(rate: float) -> None:
    """At most once in 50,000 payments, where the alarm is set to less."""
    assert len(after([rate] * 1_000, payments=50)[1]) <= 1


@pytest.mark.parametrize("rate", [0.5, 0.7, 0.8])
def test_a_degraded_gateway_that_stays_as_it_is_seldom_alarms_again(rate: float) -> None:
    """Or what it usually does would be forgotten. Thirty minutes each, 54,000 payments in all."""
    again = [len(after([0.92] * CHANGE + [rate] * 180, seed=seed)[1]) - 1 for seed in range(10)]
    assert sum(again) <= 1


def test_an_alarm_set_low_alarms_often() -> None:
    """The test above can fail."""
    chance, belief, changes = np.random.default_rng(SEED), Belief(bucket=0), set()
    for bucket in range(1_000):
        succeeded = int(chance.binomial(50, 0.92))
        belief = fold(belief, bucket, succeeded, 50 - succeeded, Forgetting(alarm=4))
        changes.add(belief.changed_at)
    assert len(changes) > 10


def test_too_few_payments_prove_no_change() -> None:
    few, least = FORGETTING.least_before, FORGETTING.least_recent
    assert folded([(1, 300, 0), (1, 0, least - 1)]).changed_at is None
    assert folded([(1, 300, 0), (1, 0, least)]).changed_at == 2
    assert folded([(1, few - 1, 0), (1, 0, 60)]).changed_at is None
    assert folded([(1, few + 1, 0), (1, 0, 60)]).changed_at == 2


def test_a_degraded_gateway_is_forgotten_faster_and_its_usual_rate_comes_back() -> None:
    belief, _ = after([0.92] * CHANGE + [0.3] * 2)
    assert belief.is_degraded
    assert told(belief).mean == pytest.approx((18 + 10) / (60 + 12), abs=0.1)
    half_life = int(FORGETTING.degraded_half_life_s / BUCKET_S)
    fresh, later = told(belief).effective_sample, told(belief, half_life).effective_sample
    assert later - 12 == pytest.approx((fresh - 12) / 2)
    usual = (1 + 10 * 0.92) / 12
    assert told(belief, 40 * half_life).mean == pytest.approx(usual, abs=0.01)


@pytest.mark.parametrize(
    ("succeeded", "failed", "half_life_s"),
    [
        (4, 9, FORGETTING.degraded_half_life_s),
        (12, 1, FORGETTING.half_life_s),
        (40, 90, FORGETTING.half_life_s),
    ],
)
def test_a_gateway_of_which_a_few_bad_outcomes_are_known_is_forgotten_faster(
    succeeded: int, failed: int, half_life_s: float
) -> None:
    """It would get no payments by which its recovery could be seen; many outcomes are for circuits and alarms."""
    belief = fold(Belief(bucket=0), 1, succeeded, failed, FORGETTING)
    waited = round(half_life_s / BUCKET_S)
    assert told(belief, waited).effective_sample == pytest.approx(2 + (succeeded + failed) / 2)


def test_a_better_gateway_is_no_degraded_one_and_has_no_usual_rate_to_go_back_to() -> None:
    belief, detected = after([0.3] * CHANGE + [0.92] * 20)
    assert len(detected) == 1
    assert not belief.is_degraded
    assert (belief.usual_succeeded, belief.usual_failed) == (1, 1)


def test_a_reopened_gateway_begins_at_its_usual_rate_and_learns_quickly() -> None:
    belief = reopened(500, 0.9, FORGETTING)
    assert (told(belief).alpha, told(belief).beta) == pytest.approx((10, 2))
    assert told(belief).changed_at == 500
    assert told(fold(belief, 500, 2, 18, FORGETTING)).mean < 0.5
