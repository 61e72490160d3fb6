from typing import Any

import msgspec
import pytest

from infra.gateways.http import Answer
from infra.gateways.stripe.answers import Intent, Refund, decoded, intent_decoder
from infra.gateways.stripe.verdict import charged, given_back, outcome_of, verdict
from schemas.charge import Found, GivenBack, GivingBack, NotFound, Unreachable
from schemas.outcome import (
    AwaitingCustomer,
    Decline,
    Declined,
    InDoubt,
    NextAction,
    NotSent,
    Outcome,
    Succeeded,
)
from tests.infra.gateways.stripe.intents import (
    INTENT_ID,
    NO_FUNDS,
    a_charge,
    an_error,
    an_intent,
    answer,
    refusal,
)

NO_MONEY = Decline(
    code="insufficient_funds",
    blame="customer",
    retryable=False,
    gateway_code="card_declined",
    gateway_reason="insufficient_funds",
)
REDIRECT = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.com/3d_secure/1"}}
UPI = {
    "type": "upi_handle_redirect_or_display_qr_code",
    "upi_handle_redirect_or_display_qr_code": {
        "hosted_instructions_url": "https://payments.stripe.com/upi/instructions/1",
        "qr_code": {"expires_at": 1, "image_url_png": "https://qr.stripe.com/1.png"},
    },
}


def intent(status: str = "succeeded", **other: Any) -> Intent:
    found = decoded(intent_decoder, answer(an_intent(status, **other)).body)
    assert found is not None
    return found


# Charging


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (an_intent("succeeded"), Succeeded(gateway_reference=INTENT_ID)),
        (
            an_intent("requires_action", next_action=REDIRECT),
            AwaitingCustomer(
                gateway_reference=INTENT_ID,
                next_action=NextAction(type="redirect", url="https://hooks.stripe.com/3d_secure/1"),
            ),
        ),
        (
            an_intent("requires_action", next_action=UPI),
            AwaitingCustomer(
                gateway_reference=INTENT_ID,
                next_action=NextAction(type="redirect", url="https://payments.stripe.com/upi/instructions/1"),
            ),
        ),
        (
            an_intent("requires_payment_method", last_payment_error=NO_FUNDS),
            Declined(decline=NO_MONEY, gateway_reference=INTENT_ID),
        ),
        (an_intent("processing"), InDoubt(reason="processing", gateway_reference=INTENT_ID)),
        (an_intent("requires_capture"), InDoubt(reason="processing", gateway_reference=INTENT_ID)),
        (an_intent("canceled"), NotSent(reason="burned")),
    ],
)
def test_an_intent_that_was_created_says_what_became_of_the_charge(
    content: dict[str, Any], outcome: Outcome
) -> None:
    assert charged(answer(content), a_charge()) == outcome


@pytest.mark.parametrize(
    "other",
    [
        {"amount": 129_800},
        {"amount_received": 100},
        {"currency": "usd"},
        {"metadata": {"attempt_id": "att_another"}},
        {"metadata": {}},
    ],
)
def test_an_intent_that_is_not_what_was_asked_for_is_in_doubt(other: dict[str, Any]) -> None:
    outcome = charged(answer(an_intent(**other)), a_charge())
    assert outcome == InDoubt(reason="mismatched_answer", gateway_reference=INTENT_ID)


def test_a_card_that_is_declined_is_declined() -> None:
    unpaid = an_intent("requires_payment_method", last_payment_error=NO_FUNDS)
    refused = answer({"error": NO_FUNDS | {"payment_intent": unpaid}}, 402)
    assert charged(refused, a_charge()) == Declined(decline=NO_MONEY, gateway_reference=INTENT_ID)


def test_a_refusal_beside_an_intent_with_money_is_in_doubt() -> None:
    refused = answer({"error": NO_FUNDS | {"payment_intent": an_intent("succeeded")}}, 402)
    outcome = charged(refused, a_charge())
    assert outcome == InDoubt(reason="mismatched_answer", gateway_reference=INTENT_ID)


@pytest.mark.parametrize(
    ("refused", "code", "blame", "retryable"),
    [
        (refusal(400, "invalid_request_error", code="parameter_unknown"), "invalid_request", "caller", False),
        (refusal(400, "invalid_request_error"), "invalid_request", "caller", False),
        (
            refusal(400, "invalid_request_error", code="resource_missing"),
            "invalid_instrument",
            "customer",
            False,
        ),
        (
            refusal(400, "invalid_request_error", code="payment_method_unactivated"),
            "method_not_eligible",
            "caller",
            True,
        ),
        (refusal(401, "invalid_request_error"), "configuration_error", "caller", False),
        (
            refusal(401, "authentication_error", code="api_key_expired"),
            "configuration_error",
            "caller",
            False,
        ),
        (refusal(403, "invalid_request_error"), "configuration_error", "caller", False),
        (refusal(429, "invalid_request_error", code="rate_limit"), "gateway_busy", "gateway", True),
        (refusal(429, "rate_limit_error"), "gateway_busy", "gateway", True),
    ],
)
def test_what_is_refused_before_any_effect_is_declined(
    refused: Answer, code: str, blame: str, retryable: bool
) -> None:
    outcome = charged(refused, a_charge())
    assert isinstance(outcome, Declined)
    decline = outcome.decline
    assert (decline.code, decline.blame, decline.retryable) == (code, blame, retryable)


def test_a_key_that_stands_for_something_else_was_burned() -> None:
    assert charged(refusal(400, "idempotency_error"), a_charge()) == NotSent(reason="burned")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (refusal(409, "idempotency_error", code="idempotency_key_in_use"), "server_error"),
        (refusal(429, "invalid_request_error", code="lock_timeout"), "rate_limited"),
        (refusal(402, "api_error"), "server_error"),
        (refusal(402, "card_error", code="brand_new"), "server_error"),
        (refusal(400, "something_new"), "server_error"),
        (refusal(500, "api_error"), "server_error"),
        (Answer(status=502, body=b"<html>"), "server_error"),
        (Answer(status=301, body=b""), "unreadable_answer"),
        (Answer(status=429, body=b"<html>"), "unreadable_answer"),
        (Answer(status=402, body=b"{}"), "unreadable_answer"),
        (Answer(status=200, body=b""), "unreadable_answer"),
        (Answer(status=200, body=b"[" * 100_000), "unreadable_answer"),
        (answer({"object": "payment_intent", "status": "succeeded"}), "unreadable_answer"),
        (answer(an_intent("a_status_of_next_year")), "unreadable_answer"),
        (answer(an_intent(id="4242 4242 4242 4242")), "unreadable_answer"),
        (answer(an_intent("requires_confirmation")), "unreadable_answer"),
        (answer(an_intent("requires_payment_method")), "unreadable_answer"),
    ],
)
def test_what_proves_nothing_is_in_doubt(said: Answer, reason: str) -> None:
    outcome = charged(said, a_charge())
    assert isinstance(outcome, InDoubt)
    assert outcome.reason == reason


def test_only_words_of_stripes_are_written_down() -> None:
    unpaid = an_intent("requires_payment_method")
    error = an_error(code="4242424242424242", decline_code="test@example.com", payment_intent=unpaid)
    outcome = charged(answer({"error": error}, 402), a_charge())
    assert isinstance(outcome, Declined)
    assert (outcome.decline.gateway_code, outcome.decline.gateway_reason) == (None, None)


# Looking up


def test_no_intent_is_not_found() -> None:
    assert verdict([]) == NotFound()


def test_an_intent_is_found_with_its_amount() -> None:
    succeeded = Succeeded(gateway_reference=INTENT_ID)
    assert verdict([intent()]) == Found(outcome=succeeded, amount_minor=129_900, currency="INR")


def test_less_than_was_asked_for_is_found_as_what_was_taken() -> None:
    found = verdict([intent(amount_received=100)])
    assert isinstance(found, Found)
    assert found.amount_minor == 100


def test_a_hold_is_a_success_that_needs_its_capture() -> None:
    succeeded = Succeeded(gateway_reference=INTENT_ID)
    found = Found(outcome=succeeded, amount_minor=129_900, currency="INR", needs_capture=True)
    assert verdict([intent("requires_capture")]) == found


def test_of_several_intents_the_one_with_money_is_told() -> None:
    declined = intent("requires_payment_method", last_payment_error=NO_FUNDS)
    refunded = intent(latest_charge={"refunded": True})
    paid = intent(id="pi_paid")
    for intents in ([declined, paid, refunded], [paid, intent("canceled"), intent("processing")]):
        found = verdict(intents)
        assert isinstance(found, Found)
        assert found.outcome == Succeeded(gateway_reference="pi_paid")


@pytest.mark.parametrize(
    ("refunds", "answer"),
    [
        ([("succeeded", 129_900)], GivenBack(by="refund")),
        ([("succeeded", 100_000), ("succeeded", 29_900)], GivenBack(by="refund")),
        ([("failed", 129_900), ("succeeded", 129_900)], GivenBack(by="refund")),
        ([("succeeded", 100_000), ("pending", 29_900)], Unreachable(reason="refund_pending")),
        ([("requires_action", 129_900)], Unreachable(reason="refund_pending")),
        ([("succeeded", 100_000)], Unreachable(reason="refund_failed")),
        ([("failed", 129_900)], Unreachable(reason="refund_failed")),
        ([("canceled", 129_900)], Unreachable(reason="refund_failed")),
        ([], Unreachable(reason="refund_failed")),
    ],
)
def test_an_intent_is_given_back_once_all_of_it_is(
    refunds: list[tuple[str, int]], answer: GivingBack
) -> None:
    seen = [msgspec.convert({"status": status, "amount": amount}, Refund) for status, amount in refunds]
    assert given_back(intent(), seen) == answer


def test_what_was_refunded_charges_nobody_any_more() -> None:
    assert outcome_of(intent(latest_charge={"refunded": True})) == NotSent(reason="burned")
    assert outcome_of(intent(latest_charge={"refunded": False})) == Succeeded(gateway_reference=INTENT_ID)
