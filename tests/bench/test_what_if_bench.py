"""The benchmark of what-if: its truth is the truth, and it sees where an interval misses it."""

import pytest
from msgspec.structs import replace

from projections.statistics.off_policy_verdict import WhatIfVerdict
from schemas.routing_configuration import AlternativePolicy, MerchantRetryPolicy
from tests.bench.machine import this_machine
from tests.bench.scenarios import STANDARD, Scenario
from tests.bench.what_if import POLICIES, Outcome, judged, summary
from tests.bench.what_if_world import Hour

STEADY: Scenario = replace(STANDARD[0], duration_s=300.0, transactions_per_second=1.0)
RATES = {"beta": 0.92, "alpha": 0.90, "gamma": 0.86}


@pytest.fixture(scope="module")
def hour() -> Hour:
    return Hour.played(STEADY, 0)


def test_history_itself_is_worth_no_more_than_it_was(hour: Hour) -> None:
    truth = hour.truth(AlternativePolicy())
    assert list(truth.values()) == pytest.approx([0, 0])


def test_a_gateway_that_always_comes_first_is_worth_its_success_rate(hour: Hour) -> None:
    drawn = sum(
        (one.propensity or 0.0) * RATES[one.gateway] for route in hour.routes for one in route.candidates
    )
    truth = hour.truth(POLICIES["alpha first"])["first_attempt_success"]
    assert truth == pytest.approx(0.90 - drawn / len(hour.routes))


def test_one_attempt_loses_what_the_second_wins(hour: Hour) -> None:
    once = hour.truth(AlternativePolicy(retry_policies={"*": MerchantRetryPolicy(max_attempts=1)}))
    assert once["first_attempt_success"] == pytest.approx(0)
    assert -0.14 < once["any_attempt_success"] < -0.06


def test_an_hour_is_judged_by_every_policy_and_metric() -> None:
    found = judged(STEADY, 0)
    assert [(one.policy, one.metric) for one in found] == [
        (policy, metric) for policy in POLICIES for metric in ("first_attempt_success", "any_attempt_success")
    ]
    same = next(one for one in found if one.policy == "one attempt")
    assert same.verdict == WhatIfVerdict.SAME


def an_outcome(verdict: WhatIfVerdict, truth: float, *, holds: bool) -> Outcome:
    return Outcome(
        policy="p",
        metric="first_attempt_success",
        truth=truth,
        verdict=verdict,
        uplift_holds=holds,
        bounds_hold=holds,
        estimate=0.0,
        width=0.1,
        effective_sample=500.0,
    )


def test_intervals_that_miss_the_truth_and_wrong_signs_are_counted() -> None:
    better, cannot = WhatIfVerdict.BETTER, WhatIfVerdict.CANNOT_ANSWER
    outcomes = [an_outcome(better, 0.01, holds=True)] * 9 + [an_outcome(better, -0.01, holds=False)]
    figures = summary(this_machine(), [*outcomes, an_outcome(cannot, 0.5, holds=False)])
    (row,) = figures.rows
    assert (row.bounds_coverage, row.wrong_signs, row.is_met) == (0.9, 1, False)
    assert (figures.signs, figures.wrong_signs) == (10, 1)
    assert row.answered == pytest.approx(10 / 11)
