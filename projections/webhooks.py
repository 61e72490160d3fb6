"""What an event means to those who are told of it: who may be told, and in which words."""

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from schemas.base import Event
from schemas.delivery import Delivery, PaymentData, Told
from schemas.envelope import Recorded
from schemas.ids import GatewayId, PaymentId, base32, is_payment_id
from schemas.payment import (
    AttemptInDoubt,
    ChargeCompensated,
    LateSuccessDetected,
    Order,
    PaymentFailed,
    PaymentSucceeded,
    ReviewRequested,
)
from schemas.webhook import DeliveryId, SubscriptionId
from schemas.webhook_types import TYPES

PaymentNews = (
    PaymentSucceeded
    | PaymentFailed
    | AttemptInDoubt
    | ReviewRequested
    | LateSuccessDetected
    | ChargeCompensated
)

_OF_ORDER = ("merchant_id", "customer_id", "amount_minor", "currency", "payment_method")
_encode = msgspec.json.Encoder().encode


def payment_of(recorded: Recorded[Event]) -> PaymentId | None:
    """Whose merchant it concerns; None of what concerns no payment."""
    told = getattr(recorded.event, "payment_id", recorded.envelope.aggregate_id)
    return PaymentId(told) if is_payment_id(told) else None


def body_of(recorded: Recorded[Event], order: Order | None) -> str:
    """The very text that is signed and sent to everybody whom it is sent to."""
    event = recorded.event
    told = Told(
        type=TYPES[type(event)],
        timestamp=recorded.envelope.at,
        data=_payment(event, recorded, order) if isinstance(event, PaymentNews) else _plain(event),
    )
    return _encode(told).decode()


def delivery(recorded: Recorded[Event], to: SubscriptionId, merchant_id: str | None, body: str) -> Delivery:
    event_id = recorded.envelope.event_id
    return Delivery(
        delivery_id=delivery_id(recorded.envelope.at, event_id, to),
        subscription_id=to,
        event_id=event_id,
        event_type=TYPES[type(recorded.event)],
        subject=recorded.envelope.aggregate_id,
        merchant_id=merchant_id,
        body=body,
    )


def delivery_id(at: datetime, event_id: str, to: SubscriptionId) -> DeliveryId:
    """48 bits of milliseconds, so that ids sort by time, and 80 of what it is: the same whoever makes it."""
    digest = hashlib.sha256(f"{event_id}|{to}".encode()).digest()[:10]
    milliseconds = max(0, int(at.timestamp() * 1000))
    return DeliveryId("dlv_" + base32(milliseconds << 80 | int.from_bytes(digest, "big")))


def first_id_of(milliseconds: int) -> DeliveryId:
    """No delivery of an event from then on has an id below it."""
    return DeliveryId("dlv_" + base32(milliseconds << 80))


def _plain(event: Event) -> dict[str, Any]:
    """Whatever is on these topics may be told as it is: they were made for operators and downstream services."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return {name: value for name, value in fields.items() if name != "type"}


def _payment(event: PaymentNews, recorded: Recorded[Event], order: Order | None) -> PaymentData:
    return PaymentData(
        payment_id=PaymentId(recorded.envelope.aggregate_id),
        sequence=recorded.envelope.sequence,
        **{field: getattr(order, field) for field in _OF_ORDER if order is not None},
        **_facts(event),
    )


def _facts(event: PaymentNews) -> dict[str, Any]:
    match event:
        case PaymentFailed():
            return {"failure": event.failure}
        case ReviewRequested():
            return {"unsettled": event.unsettled}
        case LateSuccessDetected():
            return {**_attempt(event), "kept": event.kept}
        case ChargeCompensated():
            return {**_attempt(event), "compensated_by": event.by}
        case PaymentSucceeded() | AttemptInDoubt():
            return _attempt(event)


def _attempt(
    event: PaymentSucceeded | AttemptInDoubt | LateSuccessDetected | ChargeCompensated,
) -> dict[str, Any]:
    return {
        "attempt_id": event.attempt_id,
        "gateway": GatewayId(event.gateway),
        "gateway_reference": event.gateway_reference,
    }
