"""Other retries on payments that were made: what history tells of them, and what it does not."""

from collections.abc import Sequence
from math import isnan

import pytest
from msgspec.structs import replace

from commands.routing.alternative import Rerouted, rerouted
from schemas.base import Event
from schemas.ids import GatewayId
from schemas.payment import PaymentRouted
from schemas.routing_configuration import (
    AlternativePolicy,
    MerchantRetryPolicy,
    Prefer,
    RetryPolicy,
    RoutingRules,
    Rule,
)
from streams.what_if.journeys import Journey, Journeys
from streams.what_if.retries import any_otherwise, first_otherwise
from tests.builders import routed
from tests.projections.story import (
    ALPHA,
    BETA,
    FIRST,
    SECOND,
    awaiting,
    declined,
    failed,
    handed_over,
    in_doubt,
    not_sent,
    paid,
    recorded,
    requested,
    started,
    succeeded,
)

GAMMA = GatewayId("gamma")
SECOND_STARTED = started(SECOND, BETA, after_ms=500)
PAID_BY_THE_SECOND = (started(), declined(), SECOND_STARTED, succeeded(SECOND, BETA), paid(SECOND, BETA))


def a_journey(*events: Event, route: PaymentRouted | None = None) -> Journey:
    journeys = Journeys()
    told = [requested(), route or routed("alpha", "beta", "gamma"), *events]
    journeys.take([recorded(event, offset) for offset, event in enumerate(told)])
    (journey,) = journeys.told()
    assert journey is not None
    return journey


def other(journey: Journey, policy: MerchantRetryPolicy | None = None, *first: GatewayId) -> Rerouted:
    """Routed by these retries, and these gateways first."""
    rules = RoutingRules(rules=(Rule(id="r", then=Prefer(gateways=first)),)) if first else None
    retries = None if policy is None else {"*": policy}
    return rerouted(journey.order, journey.routed, AlternativePolicy(rules=rules, retry_policies=retries))


@pytest.mark.parametrize(
    ("events", "first", "any_"),
    [
        ((started(), succeeded(), paid()), 1, 1),
        (PAID_BY_THE_SECOND, 0, 1),
        ((started(), declined(), failed()), 0, 0),
        ((started(), declined(), SECOND_STARTED), 0, None),
        ((started(), in_doubt(), handed_over(FIRST)), None, None),
        ((started(), awaiting()), None, None),
        ((started(),), None, None),
    ],
)
def test_what_became_of_a_payment_is_told_as_soon_as_anybody_knows(
    events: Sequence[Event], first: int | None, any_: int | None
) -> None:
    journey = a_journey(*events)
    for found, expected in ((journey.first_succeeded, first), (journey.any_succeeded, any_)):
        assert isnan(found) if expected is None else found == expected


def test_the_same_order_and_retries_come_to_the_same() -> None:
    journey = a_journey(*PAID_BY_THE_SECOND)
    assert any_otherwise(journey, other(journey)) == 1
    assert any_otherwise(journey, other(journey, MerchantRetryPolicy())) == 1


def test_one_attempt_only_does_not_come_to_the_second() -> None:
    journey = a_journey(*PAID_BY_THE_SECOND)
    assert any_otherwise(journey, other(journey, MerchantRetryPolicy(max_attempts=1))) == 0


def test_what_the_first_attempt_paid_is_paid_by_one_attempt_too() -> None:
    journey = a_journey(started(), succeeded(), paid())
    assert any_otherwise(journey, other(journey, MerchantRetryPolicy(max_attempts=1))) == 1


def test_nobody_knows_what_another_gateway_would_have_come_to() -> None:
    journey = a_journey(*PAID_BY_THE_SECOND)
    assert isnan(any_otherwise(journey, other(journey, None, ALPHA, GAMMA)))
    assert first_otherwise(journey, other(journey, None, ALPHA, GAMMA)) == 0


def test_a_gateway_that_was_passed_over_was_shut_and_would_be_passed_over_again() -> None:
    to_gamma = started(SECOND, GAMMA, after_ms=500)
    journey = a_journey(started(), declined(), to_gamma, succeeded(SECOND, GAMMA), paid(SECOND, GAMMA))
    assert any_otherwise(journey, other(journey, MerchantRetryPolicy(max_attempts=2))) == 1


def test_a_third_attempt_that_history_did_not_make_is_not_known() -> None:
    twice = replace(routed("alpha", "beta", "gamma"), policy=RetryPolicy(max_attempts=2))
    journey = a_journey(started(), declined(), SECOND_STARTED, declined(SECOND, BETA), failed(), route=twice)
    assert isnan(any_otherwise(journey, other(journey, MerchantRetryPolicy(max_attempts=3))))
    assert any_otherwise(journey, other(journey, MerchantRetryPolicy(max_attempts=2))) == 0


def test_a_budget_that_ends_before_the_second_attempt_ends_the_payment() -> None:
    journey = a_journey(*PAID_BY_THE_SECOND)
    assert any_otherwise(journey, other(journey, MerchantRetryPolicy(latency_budget_ms=600))) == 0


def test_whether_a_call_would_have_been_waited_for_is_not_known_where_it_took_longer() -> None:
    slow = replace(succeeded(), latency_ms=900)
    journey = a_journey(started(), slow, paid())
    hasty = other(journey, MerchantRetryPolicy(latency_budget_ms=500))
    assert isnan(any_otherwise(journey, hasty))
    assert isnan(first_otherwise(journey, hasty))
    patient = other(journey, MerchantRetryPolicy(latency_budget_ms=2_000))
    assert (any_otherwise(journey, patient), first_otherwise(journey, patient)) == (1, 1)


def test_what_verification_found_out_later_led_to_no_other_attempt_and_would_not_now() -> None:
    journey = a_journey(started(), in_doubt(), declined(verified=True), failed())
    assert any_otherwise(journey, other(journey, MerchantRetryPolicy(max_attempts=2))) == 0
    eager = MerchantRetryPolicy(max_attempts=2, retry_on_timeout=True)
    assert isnan(any_otherwise(journey, other(journey, eager)))


def test_what_was_not_sent_is_tried_elsewhere() -> None:
    journey = a_journey(started(), not_sent(), SECOND_STARTED, succeeded(SECOND, BETA), paid(SECOND, BETA))
    assert any_otherwise(journey, other(journey, MerchantRetryPolicy(max_attempts=2))) == 1
    assert any_otherwise(journey, other(journey, MerchantRetryPolicy(enabled=False))) == 0
