"""Estimates of another policy: by the textbook, by laws, and against worlds of which everything is known."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.statistics.off_policy import EXAMPLES, Logged, OffPolicy, off_policy
from projections.statistics.off_policy_verdict import (
    PLAINLY,
    WhatIfReason,
    WhatIfVerdict,
    judge_other,
)
from tests.projections.statistics.logs import a_world

RUNS = 1_500
seeds = st.integers(0, 2**32 - 1)


def figures(found: OffPolicy) -> list[float | None]:
    return [
        edge
        for one in (found.ips, found.snips, found.doubly_robust, found.uplift, found.uplift_bounds)
        for edge in (one.estimate, one.lower, one.upper)
    ]


def as_was(logged: Logged) -> Logged:
    """Judged by itself."""
    return logged._replace(target=logged.propensities)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_estimates_are_those_of_the_textbook_payment_by_payment(seed: int) -> None:
    logged = a_world(seed, payments=50).logged
    found = off_policy(logged)
    total = weights = robust = 0.0
    for row, gateway in enumerate(logged.chosen):
        weight = float(logged.target[row, gateway] / logged.propensities[row, gateway])
        total += weight * float(logged.reward[row])
        weights += weight
        model = sum(float(logged.target[row, one] * logged.predicted[row, one]) for one in range(3))
        robust += model + weight * float(logged.reward[row] - logged.predicted[row, gateway])
    assert found.ips.estimate == pytest.approx(total / 50)
    assert found.snips.estimate == pytest.approx(total / weights)
    assert found.doubly_robust.estimate == pytest.approx(robust / 50)
    squares = sum(
        float(logged.target[row, one] / logged.propensities[row, one]) ** 2
        for row, one in enumerate(logged.chosen)
    )
    assert found.overlap.effective_sample == pytest.approx(weights**2 / squares)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_with_independent_payments_the_interval_of_ips_is_students_of_a_mean(seed: int) -> None:
    logged = a_world(seed, payments=5_000).logged
    found = off_policy(logged)
    rows = np.arange(5_000)
    weighted = (logged.target / logged.propensities)[rows, logged.chosen] * logged.reward
    reach = NormalDist().inv_cdf(0.975) * weighted.std(ddof=1) / 5_000**0.5
    assert found.ips.upper is not None
    assert found.ips.lower is not None
    assert (found.ips.upper - found.ips.lower) / 2 == pytest.approx(reach, rel=1e-3)


@given(seeds, st.sampled_from(["good", "bad", "none"]))
@settings(max_examples=20, deadline=None)
def test_a_policy_judged_by_its_own_history_has_the_mean_reward_and_no_uplift(seed: int, model: str) -> None:
    logged = as_was(a_world(seed, payments=300, model=model).logged)
    found = off_policy(logged)
    assert found.ips.estimate == pytest.approx(logged.reward.mean())
    assert found.snips.estimate == pytest.approx(logged.reward.mean())
    assert found.uplift.estimate == pytest.approx(0, abs=1e-12)
    assert found.uplift_bounds.lower == pytest.approx(0, abs=1e-12)
    assert judge_other(found).verdict == WhatIfVerdict.SAME


@given(seeds, st.permutations(range(3)))
@settings(max_examples=20, deadline=None)
def test_neither_the_order_of_payments_nor_that_of_gateways_matters(seed: int, places: list[int]) -> None:
    logged = a_world(seed, payments=200, customers=80).logged
    order = np.random.default_rng(seed).permutation(200)
    mixed = Logged._make(one[order] for one in logged)
    where = np.argsort(places)
    mixed = mixed._replace(
        chosen=where[mixed.chosen],
        propensities=mixed.propensities[:, places],
        target=mixed.target[:, places],
        predicted=mixed.predicted[:, places],
    )
    assert figures(off_policy(mixed)) == pytest.approx(figures(off_policy(logged)))


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_a_gateway_that_no_payment_could_go_to_changes_nothing(seed: int) -> None:
    logged = a_world(seed, payments=200).logged
    nobody = np.zeros((200, 1))
    wider = logged._replace(
        propensities=np.hstack([logged.propensities, nobody]),
        target=np.hstack([logged.target, nobody]),
        predicted=np.hstack([logged.predicted, nobody]),
    )
    assert figures(off_policy(wider)) == pytest.approx(figures(off_policy(logged)))


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_what_nobody_knows_may_be_anything_and_the_bounds_hold_it(seed: int) -> None:
    world = a_world(seed, payments=400).logged
    chance = np.random.default_rng(seed)
    is_open = chance.random(400) < 0.1
    is_untold = ~is_open & (chance.random(400) < 0.1)
    logged = world._replace(
        reward=np.where(is_open, np.nan, world.reward),
        otherwise=np.where(is_open | is_untold, np.nan, world.otherwise),
    )
    bounds = off_policy(logged).uplift_bounds
    assert bounds.lower is not None
    assert bounds.upper is not None
    for _ in range(5):
        may_be = (chance.random(400) < chance.random()).astype(np.float64)
        settled = logged._replace(
            reward=np.where(is_open, may_be, logged.reward),
            otherwise=np.where(is_open | is_untold, may_be, logged.otherwise),
        )
        estimate = off_policy(settled).uplift.estimate
        assert estimate is not None
        assert bounds.lower <= estimate <= bounds.upper


@pytest.mark.parametrize("model", ["good", "bad", "none"])
@pytest.mark.parametrize("customers", [None, 150])
def test_intervals_hold_the_truth_as_often_as_they_say(model: str, customers: int | None) -> None:
    held = {"ips": 0, "snips": 0, "doubly_robust": 0, "uplift": 0}
    for seed in range(RUNS):
        world = a_world(seed, payments=600, customers=customers, model=model)
        found = off_policy(world.logged)
        for name, interval in (
            ("ips", found.ips),
            ("snips", found.snips),
            ("doubly_robust", found.doubly_robust),
            ("uplift", found.uplift),
        ):
            truth = world.uplift if name == "uplift" else world.value
            assert interval.lower is not None
            assert interval.upper is not None
            held[name] += interval.lower <= truth <= interval.upper
    assert min(held.values()) >= 0.93 * RUNS, held


def test_a_few_heavy_payments_that_have_met_no_failure_yet_are_no_certainty() -> None:
    held, payments = 0, 1_800
    for seed in range(300):
        chance = np.random.default_rng(seed)
        chosen = (chance.random(payments) < 0.05).astype(np.int64)
        reward = (chance.random(payments) < np.array([0.992, 0.990])[chosen]).astype(np.float64)
        found = off_policy(
            Logged(
                customers=np.arange(payments),
                chosen=chosen,
                propensities=np.tile([0.95, 0.05], (payments, 1)),
                target=np.tile([0.0, 1.0], (payments, 1)),
                predicted=np.full((payments, 2), 0.99),
                unrecorded=np.zeros(payments),
                reward=reward,
                otherwise=reward,
            )
        )
        assert found.uplift.lower is not None
        assert found.uplift.upper is not None
        held += found.uplift.lower <= 0.95 * (0.990 - 0.992) <= found.uplift.upper
    assert held >= 0.93 * 300


def test_a_good_model_makes_the_paired_interval_narrower_and_a_bad_one_leaves_it_right() -> None:
    widths = {}
    for model in ("good", "none"):
        uplift = off_policy(a_world(1, payments=4_000, model=model).logged).uplift
        assert uplift.upper is not None
        assert uplift.lower is not None
        widths[model] = uplift.upper - uplift.lower
    assert widths["good"] < widths["none"]


def test_the_difference_has_an_interval_of_its_own_narrower_than_that_of_two() -> None:
    logged = a_world(3, payments=4_000).logged
    nearly = logged._replace(target=0.95 * logged.propensities + 0.05 * logged.target)
    found = off_policy(nearly)
    assert found.uplift.upper is not None
    assert found.uplift.estimate is not None
    assert found.doubly_robust.upper is not None
    assert found.doubly_robust.estimate is not None
    reach = found.uplift.upper - found.uplift.estimate
    assert reach < (found.doubly_robust.upper - found.doubly_robust.estimate) / 3


def test_a_policy_that_always_did_the_same_tells_nothing_of_another() -> None:
    logged = a_world(1).logged
    certain = np.eye(3)[logged.chosen]
    elsewhere = logged._replace(propensities=certain, target=np.roll(certain, 1, axis=1))
    found = off_policy(elsewhere)
    assert found.overlap.never == 1
    assert found.overlap.effective_sample == 0
    judged = judge_other(found)
    assert judged.verdict == WhatIfVerdict.CANNOT_ANSWER
    assert WhatIfReason.NO_OVERLAP in judged.reasons


def test_what_was_tried_too_seldom_counts_as_never_tried() -> None:
    logged = a_world(1, payments=20_000, least=0.0).logged
    seldom = np.full((20_000, 3), [0.998, 0.001, 0.001])
    assert EXAMPLES / 20_000 > 0.001
    found = off_policy(
        logged._replace(
            propensities=seldom, target=np.full((20_000, 3), [0.5, 0.5, 0.0]), chosen=np.zeros(20_000, int)
        )
    )
    assert found.overlap.without_examples == pytest.approx(0.5)
    assert found.uplift_bounds.lower is not None
    assert found.uplift_bounds.upper is not None
    assert found.uplift_bounds.upper - found.uplift_bounds.lower > 0.5


def test_what_was_seldom_tried_and_would_be_no_oftener_needs_no_examples() -> None:
    logged = as_was(a_world(2, least=0.0).logged)
    assert (logged.propensities < 0.01).any()
    found = off_policy(logged)
    assert found.overlap.rarely > 0
    assert found.overlap.without_examples == 0
    assert found.uplift.lower == pytest.approx(0, abs=1e-12)


def test_half_of_the_payments_that_go_elsewhere_unseen_cannot_be_answered_for() -> None:
    logged = a_world(5).logged
    unrecorded = logged._replace(target=logged.propensities / 2, unrecorded=np.full(2_000, 0.5))
    judged = judge_other(off_policy(unrecorded))
    assert judged.verdict == WhatIfVerdict.CANNOT_ANSWER
    assert judged.reasons == (WhatIfReason.UNRECORDED,)


def test_too_many_open_outcomes_cannot_be_answered_for() -> None:
    logged = a_world(6).logged
    nobody_knows = np.where(np.arange(2_000) % 4 == 0, np.nan, logged.reward)
    judged = judge_other(off_policy(logged._replace(reward=nobody_knows, otherwise=nobody_knows)))
    assert judged.reasons == (WhatIfReason.OPEN,)


def test_propensities_that_were_not_drawn_by_are_found_out() -> None:
    logged = a_world(7, payments=5_000).logged
    wrong = logged._replace(propensities=np.full((5_000, 3), 1 / 3), target=np.full((5_000, 3), [1.0, 0, 0]))
    skewed = wrong._replace(chosen=np.where(np.arange(5_000) % 2 == 0, 0, wrong.chosen))
    judged = judge_other(off_policy(skewed))
    assert judged.reasons == (WhatIfReason.PROPENSITIES_ARE_WRONG,)


def test_a_clearly_better_and_a_clearly_worse_policy_are_told_apart() -> None:
    logged = a_world(8, payments=5_000).logged
    best, worst = np.full((5_000, 3), [1.0, 0, 0]), np.full((5_000, 3), [0, 0, 1.0])
    assert judge_other(off_policy(logged._replace(target=best))).verdict == WhatIfVerdict.BETTER
    assert judge_other(off_policy(logged._replace(target=worst))).verdict == WhatIfVerdict.WORSE


def test_a_handful_of_customers_is_not_judged() -> None:
    logged = a_world(9, payments=500, customers=40).logged
    assert judge_other(off_policy(logged)).reasons == (WhatIfReason.TOO_FEW_CUSTOMERS,)


def test_a_policy_that_refuses_payments_loses_them() -> None:
    logged = as_was(a_world(10).logged)
    refusing = logged._replace(target=np.where(np.arange(2_000)[:, None] % 2 == 0, 0.0, logged.target))
    found = off_policy(refusing)
    assert found.uplift.estimate == pytest.approx(-logged.reward[::2].sum() / 2_000, abs=0.03)
    assert judge_other(found).verdict == WhatIfVerdict.WORSE


def test_every_reason_is_told_plainly() -> None:
    assert set(PLAINLY) == set(WhatIfReason)
