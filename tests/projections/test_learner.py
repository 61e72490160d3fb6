"""A learner is a cache of a fold: whatever came late, was corrected or replaced, it tells what the fold would."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.learner import Learner
from projections.posteriors import (
    HORIZON_BUCKETS,
    HORIZON_STEP,
    Belief,
    Forgetting,
    fold,
    posterior,
    reopened,
)
from schemas.routing import UNKNOWN, Posterior

Counts = dict[int, tuple[int, int]]

FORGETTING = Forgetting()
NOW = 10_000


def a_learner(counts: Counts | None = None, reopening: tuple[int, float] | None = None) -> Learner:
    """That has been told everything at once, and nothing before."""
    learner = Learner(FORGETTING)
    if reopening is not None:
        learner.reopen(*reopening)
    for bucket, (succeeded, failed) in (counts or {}).items():
        learner.observe(bucket, succeeded, failed)
    return learner


def plainly(counts: Counts, reopening: tuple[int, float] | None, now: int) -> Posterior:
    """The fold in the order of the buckets, without any cache."""
    begin = now // HORIZON_STEP * HORIZON_STEP - HORIZON_BUCKETS
    belief = Belief(bucket=begin)
    if reopening is not None and begin <= reopening[0] <= now:
        begin, belief = reopening[0], reopened(*reopening, FORGETTING)
    for bucket in sorted(bucket for bucket in counts if begin <= bucket < now):
        succeeded, failed = (max(count, 0) for count in counts[bucket])
        belief = fold(belief, bucket, succeeded, failed, FORGETTING)
    succeeded, failed = (max(count, 0) for count in counts.get(now, (0, 0)))
    return posterior(belief, now, succeeded, failed, FORGETTING)


class Told:
    """A learner, and in the plainest form all that it was told."""

    def __init__(self) -> None:
        self.learner = Learner(FORGETTING)
        self.counts: Counts = {}
        self.reopening: tuple[int, float] | None = None

    def observe(self, bucket: int, succeeded: int, failed: int) -> None:
        before = self.counts.get(bucket, (0, 0))
        self.counts[bucket] = (before[0] + succeeded, before[1] + failed)
        self.learner.observe(bucket, succeeded, failed)

    def replace(self, counts: Counts) -> None:
        self.counts = dict(counts)
        self.learner.replace(counts)

    def reopen(self, bucket: int, usual: float) -> None:
        self.reopening = (bucket, usual)
        self.learner.reopen(bucket, usual)

    def agree_at(self, now: int) -> None:
        told = self.learner.posterior(now)
        assert told == a_learner(self.counts, self.reopening).posterior(now)
        assert told == plainly(self.counts, self.reopening, now)


few = st.integers(0, 30)
lateness = st.sampled_from([0, 0, 0, 1, 1, 2, 5, 8, 40, 299, 359, 421, 700])
steps = st.sampled_from(
    ["outcomes", "outcomes", "outcomes", "correction", "replace", "reopen", "wait", "wait"]
)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_it_tells_what_a_fold_of_everything_in_order_would(data: st.DataObject) -> None:
    """However late an outcome comes, also when a correction overtakes what it corrects."""
    told, now = Told(), NOW
    for _ in range(data.draw(st.integers(1, 25))):
        bucket = now - data.draw(lateness)
        match data.draw(steps):
            case "outcomes":
                told.observe(bucket, data.draw(few), data.draw(few))
            case "correction":
                told.observe(bucket, *data.draw(st.sampled_from([(-1, 1), (1, -1), (-7, 7)])))
            case "replace":
                kept = {one: (data.draw(few), data.draw(few)) for one in list(told.counts)[::2]}
                told.replace({**kept, bucket: (data.draw(few), 1)})
            case "reopen":
                told.reopen(bucket, data.draw(st.sampled_from([0.8, 0.95])))
            case _:
                now += data.draw(st.sampled_from([1, 1, 2, 7, 30, 61, 400]))
        if data.draw(st.booleans()):
            told.agree_at(now)
    told.agree_at(now)


outcomes = st.lists(
    st.tuples(st.integers(NOW - 30, NOW), st.sampled_from([(1, 0), (1, 0), (0, 1), (8, 0), (0, 8)])),
    max_size=30,
)


@given(outcomes, st.data())
@settings(max_examples=50, deadline=None)
def test_the_order_in_which_outcomes_arrive_does_not_matter(
    outcomes: list[tuple[int, tuple[int, int]]], data: st.DataObject
) -> None:
    one, other = Learner(FORGETTING), Learner(FORGETTING)
    for bucket, counts in outcomes:
        one.observe(bucket, *counts)
        one.posterior(NOW)
    for bucket, counts in data.draw(st.permutations(outcomes)):
        other.observe(bucket, *counts)
    assert one.posterior(NOW) == other.posterior(NOW)


def test_nothing_is_known_of_a_gateway_without_evidence() -> None:
    assert Learner(FORGETTING).posterior(NOW) == UNKNOWN


def test_what_is_taken_back_was_never_there() -> None:
    learner = a_learner({NOW - 3: (4, 2)})
    learner.posterior(NOW)
    learner.observe(NOW - 3, -4, -2)
    assert learner.posterior(NOW) == UNKNOWN


@pytest.mark.parametrize("counts", [(-1, 0), (-3, 40), (40, -3)])
def test_a_correction_that_overtakes_what_it_corrects_makes_no_evidence_negative(
    counts: tuple[int, int],
) -> None:
    told = a_learner({NOW - 9: (30, 3), NOW - 2: counts}).posterior(NOW)
    assert told.alpha >= 1
    assert told.beta >= 1


@pytest.mark.parametrize("age", [HORIZON_BUCKETS + HORIZON_STEP, 5_000])
def test_nothing_older_than_the_horizon_is_evidence_even_if_it_comes_now(age: int) -> None:
    learner = a_learner({NOW - 5: (20, 2)})
    before = learner.posterior(NOW)
    learner.observe(NOW - age, 50, 400)
    learner.reopen(NOW - age, 0.8)
    assert learner.posterior(NOW) == before


def test_everything_within_the_horizon_is_evidence() -> None:
    assert a_learner({NOW - HORIZON_BUCKETS: (1, 400)}).posterior(NOW).mean < 0.05


def test_a_gateway_that_has_recovered_begins_anew_at_its_usual_rate() -> None:
    outage = {NOW - 40 + one: (0, 30) for one in range(20)}
    since = {NOW - 5: (12, 1)}
    told = a_learner(outage | since, reopening=(NOW - 10, 0.9)).posterior(NOW)
    assert told == a_learner(since, reopening=(NOW - 10, 0.9)).posterior(NOW)
    assert told.mean == pytest.approx(0.9, abs=0.03)
    assert told.changed_at == NOW - 10


@pytest.mark.parametrize("bucket", [NOW - 30, NOW - 12, NOW - 10, NOW - 3])
def test_the_last_reopening_counts(bucket: int) -> None:
    counts = {NOW - one: (one % 3, one % 2) for one in range(1, 35)}
    learner = a_learner(counts, reopening=(NOW - 10, 0.9))
    learner.posterior(NOW)
    learner.reopen(bucket, 0.8)
    assert learner.posterior(NOW) == a_learner(counts, reopening=(bucket, 0.8)).posterior(NOW)


@given(few, few, st.integers(0, HORIZON_STEP - 2))
@settings(max_examples=50, deadline=None)
def test_time_without_outcomes_moves_a_belief_towards_its_prior(
    succeeded: int, failed: int, waited: int
) -> None:
    now = NOW // HORIZON_STEP * HORIZON_STEP
    learner = a_learner({now - 1: (succeeded, failed)}, reopening=(now - 2, 0.9))
    before, after = (learner.posterior(now + passed) for passed in (waited, waited + 1))
    assert abs(after.mean - 10 / 12) <= abs(before.mean - 10 / 12) + 1e-12
    assert 12 <= after.effective_sample <= before.effective_sample
