"""Stripe's objects as its API shows them, with what we do not read left in where it could mislead."""

import json
from typing import Any

from infra.gateways.http import Answer
from schemas.charge import Charge
from schemas.ids import GatewayId
from schemas.instrument import Card, Instrument, method_of
from tests.builders import attempt

ATTEMPT = attempt()
INTENT_ID = "pi_3MtwBwLkdIwHu7ix28a3tqPa"
CARD = Card(token="pm_card_visa", bin="424242", last4="4242")


def a_charge(instrument: Instrument = CARD) -> Charge:
    return Charge(
        attempt_id=ATTEMPT,
        gateway=GatewayId("stripe"),
        amount_minor=129_900,
        currency="INR",
        payment_method=method_of(instrument),
        instrument=instrument,
        timeout_ms=2_500,
    )


def an_intent(status: str = "succeeded", **other: Any) -> dict[str, Any]:
    return {
        "id": INTENT_ID,
        "object": "payment_intent",
        "amount": 129_900,
        "amount_capturable": 0,
        "amount_received": 129_900 if status == "succeeded" else 0,
        "client_secret": f"{INTENT_ID}_secret_YrKJUKribcBjcG8HVhfZluoGH",
        "currency": "inr",
        "last_payment_error": None,
        "latest_charge": "ch_3MtwBwLkdIwHu7ix28a3tqPa",
        "metadata": {"attempt_id": ATTEMPT},
        "next_action": None,
        "status": status,
    } | other


def an_error(type_: str = "card_error", **other: Any) -> dict[str, Any]:
    return {
        "type": type_,
        "message": "Your card with number 4242424242424242 was declined.",
        "doc_url": "https://stripe.com/docs/error-codes",
    } | other


NO_FUNDS = an_error(code="card_declined", decline_code="insufficient_funds")


def answer(content: object, status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps(content).encode())


def refusal(status: int, type_: str, **other: Any) -> Answer:
    return answer({"error": an_error(type_, **other)}, status)
