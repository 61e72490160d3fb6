"""An intent and its charge as Stripe shows them, from a charge of the ledger."""

from typing import Any

from msgspec import Struct

from infra.gateways.simulator.ledger import Charge
from infra.gateways.simulator.stripe.bodies import IntentRequest, card_error
from infra.gateways.simulator.wire import ChargeStatus

STATUS: dict[ChargeStatus, str] = {
    "pending": "requires_action",
    "authorized": "requires_capture",
    "captured": "succeeded",
    "refunded": "succeeded",
    "declined": "requires_payment_method",
    "voided": "canceled",
}


class Unconfirmed(Struct, kw_only=True):
    """An intent without a payment method: nobody can pay it, and all there is to do with it is to cancel it."""

    id: str
    request: IntentRequest
    is_cancelled: bool = False


def unconfirmed_entity(intent: Unconfirmed) -> dict[str, Any]:
    request = intent.request
    return _entity(
        intent.id,
        "canceled" if intent.is_cancelled else "requires_payment_method",
        amount=request.amount,
        currency=request.currency,
        metadata=request.metadata,
    )


def intent_entity(charge: Charge, *, is_expanded: bool = False) -> dict[str, Any]:
    request = charge.request
    status = STATUS[charge.status]
    return _entity(
        charge.id,
        status,
        amount=request.amount_minor,
        currency=request.currency.lower(),
        metadata={"attempt_id": request.reference},
    ) | {
        "amount_received": request.amount_minor if status == "succeeded" else 0,
        "last_payment_error": card_error(charge.decline) if charge.decline is not None else None,
        "latest_charge": charge_entity(charge) if is_expanded else _charge_id(charge),
        "next_action": _next_action(charge) if charge.status == "pending" else None,
        "payment_method_types": [request.method.lower()],
    }


def charge_entity(charge: Charge) -> dict[str, Any]:
    request = charge.request
    return {
        "id": _charge_id(charge),
        "object": "charge",
        "amount": request.amount_minor,
        "captured": charge.status in ("captured", "refunded"),
        "currency": request.currency.lower(),
        "metadata": {"attempt_id": request.reference},
        "payment_intent": charge.id,
        "refunded": charge.status == "refunded",
    }


def refund_entity(charge: Charge, pending_ms: int) -> dict[str, Any]:
    return {
        "id": f"re_{charge.id.removeprefix('pi_')}",
        "object": "refund",
        "amount": charge.request.amount_minor,
        "currency": charge.request.currency.lower(),
        "payment_intent": charge.id,
        "status": "succeeded" if charge.is_settled_since(pending_ms) else "pending",
    }


def _entity(
    intent_id: str, status: str, *, amount: int, currency: str, metadata: dict[str, str]
) -> dict[str, Any]:
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_received": 0,
        "capture_method": "automatic",
        "currency": currency,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": metadata,
        "next_action": None,
        "status": status,
    }


def _charge_id(charge: Charge) -> str:
    return f"ch_{charge.id.removeprefix('pi_')}"


def _next_action(charge: Charge) -> dict[str, Any]:
    if charge.request.method == "UPI":
        url = f"https://payments.example/upi/instructions/{charge.id}"
        kind, content = "upi_handle_redirect_or_display_qr_code", {"hosted_instructions_url": url}
    else:
        url = f"https://bank.example/authenticate/{charge.id}"
        kind, content = "redirect_to_url", {"url": url}
    return {"type": kind, kind: content}
