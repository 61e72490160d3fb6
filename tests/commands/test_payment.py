"""The payment's decider, row by row."""

from typing import Any

import pytest

from commands.payment import decide
from commands.payment_state import Open, unsettled
from schemas.errors import Refusal
from schemas.outcome import Outcome
from schemas.payment import (
    Failure,
    HandOverPayment,
    PaymentEvent,
    PaymentFailed,
    PaymentHandedOver,
    PaymentTakenOver,
    TakeOverPayment,
)
from schemas.routing import Excluded
from schemas.routing_configuration import RetryPolicy
from tests.builders import (
    a_gateway,
    a_request,
    attempt,
    attempt_awaiting,
    attempt_declined,
    attempt_in_doubt,
    attempt_not_sent,
    attempt_succeeded,
    awaiting,
    declined,
    gateways,
    in_doubt,
    not_sent,
    payment_succeeded,
    requested,
    retryable_decline,
    routed,
    started,
    success,
    the_outcome,
)
from tests.spec import given, state_after

BEGUN: tuple[PaymentEvent, ...] = (requested(), routed(), started())
UNREACHABLE = PaymentFailed(
    failure=Failure(code="no_gateway_reached", blame="gateway", customer_may_retry=True)
)
NO_FUNDS = PaymentFailed(
    failure=Failure(code="insufficient_funds", blame="customer", customer_may_retry=True)
)

# Requesting


def test_a_request_is_written_down_with_its_route_and_its_first_attempt() -> None:
    given().when(a_request()).then(requested(), routed(), started())


def test_a_known_request_is_not_repeated() -> None:
    given(requested()).when(a_request()).then(routed(), started())


def test_a_request_without_any_eligible_gateway_is_refused() -> None:
    given().when(a_request(to=(a_gateway(enabled=False),))).then_refused(Refusal.NO_ELIGIBLE_GATEWAY)


def test_a_request_without_any_gateway_is_refused() -> None:
    given().when(a_request(to=())).then_refused(Refusal.NO_ELIGIBLE_GATEWAY)


@pytest.mark.parametrize(
    "terms",
    [
        {"payment_methods": ("CARD",)},
        {"currencies": ("USD",)},
        {"minimum_amount_minor": 10**12},
        {"maximum_amount_minor": 1},
        {"currencies": ("USD",), "enabled": False},
    ],
)
def test_what_no_gateway_takes_by_its_terms_is_refused_as_the_clients_to_change(
    terms: dict[str, Any],
) -> None:
    never = a_gateway("alpha", **terms)
    given().when(a_request(to=(never,))).then_refused(Refusal.UNSUPPORTED_PAYMENT)
    given().when(a_request(to=(never, a_gateway("beta", enabled=False)))).then_refused(
        Refusal.NO_ELIGIBLE_GATEWAY
    )


def test_every_excluded_gateway_is_recorded_with_its_reason() -> None:
    off = a_gateway("delta", enabled=False)
    given().when(a_request(to=(*gateways("alpha"), off))).then(
        requested(), routed("alpha", excluded=(Excluded(gateway=off.id, reason="disabled"),)), started()
    )


def test_a_first_attempt_has_no_more_time_than_the_budget() -> None:
    policy = RetryPolicy(latency_budget_ms=900)
    given().when(a_request(policy=policy)).then(requested(), routed(policy=policy), started(timeout_ms=900))


@pytest.mark.parametrize(
    "history",
    [
        BEGUN,
        (*BEGUN, attempt_in_doubt()),
        (*BEGUN, attempt_declined(retryable_decline())),
        (*BEGUN, attempt_succeeded(), payment_succeeded()),
        (requested(), payment_succeeded()),
        (requested(), NO_FUNDS),
    ],
)
def test_a_payment_that_was_tried_is_never_started_again(history: tuple[PaymentEvent, ...]) -> None:
    given(*history).when(a_request(epoch=2)).then_nothing()


@pytest.mark.parametrize("history", [(started(),), (payment_succeeded(),), (NO_FUNDS,)])
def test_of_a_payment_without_its_request_only_the_request_is_made_good(
    history: tuple[PaymentEvent, ...],
) -> None:
    given(*history).when(a_request(epoch=2)).then(requested())


def test_attempts_of_another_epoch_have_ids_of_their_own() -> None:
    given(requested()).when(a_request(epoch=2)).then(routed(), started(epoch=2))


# Outcomes


def test_a_success_settles_the_payment() -> None:
    given(*BEGUN).when(the_outcome(success())).then(attempt_succeeded(), payment_succeeded())


def test_a_final_decline_settles_the_payment() -> None:
    given(*BEGUN).when(the_outcome(declined())).then(attempt_declined(declined()), NO_FUNDS)


def test_a_decline_for_risk_tells_the_customer_not_to_try_again() -> None:
    given(*BEGUN).when(the_outcome(declined("suspected_fraud", blame="risk"))).then(
        attempt_declined(declined("suspected_fraud", blame="risk")),
        PaymentFailed(failure=Failure(code="suspected_fraud", blame="risk", customer_may_retry=False)),
    )


def test_a_retryable_decline_goes_to_the_next_gateway() -> None:
    given(*BEGUN).when(the_outcome(retryable_decline())).then(
        attempt_declined(retryable_decline()), started(2, "beta", reason="after_declined")
    )


@pytest.mark.parametrize("reason", ["dns", "tls", "connect", "too_busy"])
def test_an_attempt_that_was_not_sent_goes_to_the_next_gateway(reason: Any) -> None:
    given(*BEGUN).when(the_outcome(not_sent(reason))).then(
        attempt_not_sent(reason=reason), started(2, "beta", reason="after_not_sent")
    )


@pytest.mark.parametrize("reason", ["window_closed", "burned"])
def test_a_payment_whose_owner_has_no_time_or_no_right_left_goes_nowhere(reason: Any) -> None:
    given(*BEGUN).when(the_outcome(not_sent(reason))).then(attempt_not_sent(reason=reason), UNREACHABLE)


@pytest.mark.parametrize(
    "reason",
    [
        "read_timeout",
        "connection_lost",
        "server_error",
        "rate_limited",
        "unreadable_answer",
        "mismatched_answer",
    ],
)
def test_a_doubtful_attempt_never_cascades(reason: Any) -> None:
    given(*BEGUN).when(the_outcome(in_doubt(reason))).then(attempt_in_doubt(reason=reason))


def test_an_attempt_that_waits_for_the_customer_settles_nothing() -> None:
    given(*BEGUN).when(the_outcome(awaiting())).then(attempt_awaiting())


def test_no_gateway_is_tried_twice() -> None:
    history = (
        *BEGUN,
        attempt_not_sent(),
        started(2, "beta"),
        attempt_not_sent(2, "beta"),
        started(3, "gamma"),
    )
    given(*history).when(the_outcome(not_sent(), of=3)).then(attempt_not_sent(3, "gamma"), UNREACHABLE)


def test_when_no_attempt_was_sent_the_gateways_are_to_blame() -> None:
    history = (requested(), routed("alpha"), started())
    given(*history).when(the_outcome(not_sent())).then(attempt_not_sent(), UNREACHABLE)


def test_a_decline_tells_more_than_a_later_attempt_that_was_not_sent() -> None:
    decline = declined("issuer_unavailable", blame="issuer", retryable=True)
    history = (requested(), routed("alpha", "beta"), started(), attempt_declined(decline), started(2, "beta"))
    given(*history).when(the_outcome(not_sent(), of=2)).then(
        attempt_not_sent(2, "beta"),
        PaymentFailed(failure=Failure(code="issuer_unavailable", blame="issuer", customer_may_retry=True)),
    )


def test_no_more_attempts_than_the_policy_allows() -> None:
    history = (requested(), routed(policy=RetryPolicy(max_attempts=1)), started())
    given(*history).when(the_outcome(not_sent())).then(attempt_not_sent(), UNREACHABLE)


def test_a_disabled_policy_means_one_attempt() -> None:
    history = (requested(), routed(policy=RetryPolicy(enabled=False)), started())
    given(*history).when(the_outcome(not_sent())).then(attempt_not_sent(), UNREACHABLE)


def test_no_attempt_begins_when_the_budget_is_spent() -> None:
    given(*BEGUN).when(the_outcome(not_sent(), elapsed_ms=9_801)).then(attempt_not_sent(), UNREACHABLE)


def test_a_later_attempt_has_what_is_left_of_the_budget() -> None:
    given(*BEGUN).when(the_outcome(not_sent(), elapsed_ms=9_000)).then(
        attempt_not_sent(), started(2, "beta", timeout_ms=1_000, reason="after_not_sent")
    )


def test_without_its_route_a_payment_ends_where_its_attempt_does() -> None:
    given(requested(), started()).when(the_outcome(retryable_decline())).then(
        attempt_declined(retryable_decline()),
        PaymentFailed(failure=Failure(code="issuer_unavailable", blame="issuer", customer_may_retry=True)),
    )


@pytest.mark.parametrize("outcome", [declined(), retryable_decline(), not_sent()])
def test_beside_an_unsettled_attempt_nothing_is_begun_and_no_failure_told(outcome: Outcome) -> None:
    history = (*BEGUN, attempt_in_doubt(), started(2, "beta"))
    events = decide(the_outcome(outcome, of=2), state_after(*history))
    assert [type(event).__name__ for event in events] in (["AttemptDeclined"], ["AttemptNotSent"])


def test_an_outcome_is_recorded_once() -> None:
    given(*BEGUN, attempt_in_doubt()).when(the_outcome(success())).then_nothing()


def test_the_outcome_of_an_unknown_attempt_is_not_recorded() -> None:
    given(requested(), routed()).when(the_outcome(success())).then_nothing()


def test_a_settled_payment_takes_no_further_outcome() -> None:
    given(*BEGUN, attempt_succeeded(), payment_succeeded()).when(the_outcome(declined())).then_nothing()


# Ownership


def test_the_hand_over_names_what_is_unsettled() -> None:
    given(*BEGUN, attempt_in_doubt()).when(HandOverPayment()).then(PaymentHandedOver(unsettled=(attempt(),)))


def test_a_started_attempt_without_an_outcome_is_handed_over() -> None:
    given(*BEGUN).when(HandOverPayment()).then(PaymentHandedOver(unsettled=(attempt(),)))


def test_a_payment_that_waits_for_the_customer_is_handed_over() -> None:
    given(*BEGUN, attempt_awaiting()).when(HandOverPayment()).then(PaymentHandedOver(unsettled=(attempt(),)))


def test_a_settled_payment_is_not_handed_over() -> None:
    given(*BEGUN, attempt_succeeded(), payment_succeeded()).when(HandOverPayment()).then_nothing()


def test_a_settled_payment_with_an_earlier_doubtful_attempt_is_handed_over() -> None:
    history = (
        *BEGUN,
        attempt_in_doubt(),
        started(2, "beta"),
        attempt_succeeded(2, "beta"),
        payment_succeeded(2, "beta"),
    )
    given(*history).when(HandOverPayment()).then(PaymentHandedOver(unsettled=(attempt(),)))


def test_a_payment_is_handed_over_once() -> None:
    given(*BEGUN, PaymentHandedOver(unsettled=(attempt(),))).when(HandOverPayment()).then_nothing()


def test_who_took_over_may_hand_over_again() -> None:
    history = (
        *BEGUN,
        PaymentHandedOver(unsettled=(attempt(),)),
        PaymentTakenOver(claim_id="clm_1", by="payment_service"),
    )
    given(*history).when(HandOverPayment()).then(PaymentHandedOver(unsettled=(attempt(),)))


def test_nothing_is_handed_over_before_anything_is_known() -> None:
    given().when(HandOverPayment()).then_nothing()


def test_a_take_over_names_its_claim() -> None:
    given(requested()).when(TakeOverPayment(claim_id="clm_1", by="payment_service")).then(
        PaymentTakenOver(claim_id="clm_1", by="payment_service")
    )


def test_a_payment_that_is_taken_over_without_an_attempt_starts_afresh() -> None:
    given(PaymentTakenOver(claim_id="clm_1", by="payment_service")).when(a_request(epoch=2)).then(
        requested(), routed(), started(epoch=2)
    )


# What only some of a decision's events leave behind


def test_an_outcome_without_its_start_changes_nothing() -> None:
    assert state_after(requested(), attempt_succeeded()) == state_after(requested())


def test_a_start_alone_is_enough_to_know_that_a_gateway_may_have_been_asked() -> None:
    state = state_after(started())
    assert isinstance(state, Open)
    assert unsettled(state.attempts) == (attempt(),)
