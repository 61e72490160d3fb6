"""A payment's records in words, for people: what happened, when, and since when it does not count."""

from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.base import Event, Value
from schemas.envelope import Recorded
from schemas.money import EXPONENTS
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptStarted,
    AttemptSucceeded,
    ChargeCompensated,
    ExperimentAssigned,
    LateSuccessDetected,
    PaymentFailed,
    PaymentHandedOver,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
    PaymentTakenOver,
    ReviewRequested,
    ReviewSettled,
    VerificationPerformed,
)


class Moment(Value, frozen=True, kw_only=True):
    stamp: datetime
    since_first_ms: int
    offset: int
    epoch: int
    event: str
    what: str
    is_void: bool
    """Appended outside its writer's window: it does not exist, for any reader."""


def timeline(records: Sequence[Recorded[Event]]) -> list[Moment]:
    return [
        Moment(
            stamp=datetime.fromtimestamp(record.stamp_ms / 1000, UTC),
            since_first_ms=record.stamp_ms - records[0].stamp_ms,
            offset=record.position.offset,
            epoch=record.envelope.epoch,
            event=type(record.event).__name__,
            what=what(record.event),
            is_void=record.is_void,
        )
        for record in records
    ]


def what(event: Event) -> str:
    match event:
        case PaymentRequested(order=order):
            return (
                f"{money(order.amount_minor, order.currency)} by {order.payment_method} for {order.merchant_id}, "
                f"from {order.customer_id}"
            )
        case ExperimentAssigned():
            return f"{event.experiment_id}, variant {event.variant}"
        case PaymentRouted():
            order_of_gateways = " → ".join(one.gateway for one in event.candidates) or "nowhere"
            return f"{event.strategy}: {order_of_gateways} ({event.reason})"
        case AttemptStarted():
            return f"{event.number}: {event.gateway}, {event.reason.replace('_', ' ')}, at most {event.timeout_ms} ms"
        case AttemptSucceeded():
            return f"{event.gateway} charged, {event.gateway_reference}{_after(event.latency_ms, event.verified)}"
        case AttemptDeclined(decline=decline):
            again = ", another may be tried" if decline.retryable else ""
            return (
                f"{event.gateway} declined: {decline.code}, the doing of {decline.blame}"
                f"{again}{_after(event.latency_ms, event.verified)}"
            )
        case AttemptNotSent():
            return f"{event.gateway} never got it: {event.reason}{_after(event.latency_ms, event.verified)}"
        case AttemptAwaitingCustomer():
            return f"{event.gateway} waits for the customer: {event.next_action.type}{_after(event.latency_ms, False)}"
        case AttemptInDoubt():
            return f"{event.gateway}: nobody knows, {event.reason}{_after(event.latency_ms, False)}"
        case PaymentSucceeded():
            return f"charged by {event.gateway}, {event.gateway_reference}"
        case PaymentFailed(failure=failure):
            return f"not charged: {failure.code}, the doing of {failure.blame}"
        case PaymentHandedOver():
            return f"unsettled: {', '.join(event.unsettled) or 'nothing'}"
        case PaymentTakenOver():
            return f"by {event.by}"
        case VerificationPerformed():
            next_look = f", again at {event.next_check_at:%Y-%m-%d %H:%M:%S}" if event.next_check_at else ""
            return f"look {event.check} by {event.source.replace('_', '-')}: {event.verdict}{next_look}"
        case ReviewRequested():
            return f"a person has to decide about {', '.join(event.unsettled)}"
        case ReviewSettled():
            return f"{event.verdict}, says {event.settled_by}: {event.note}"
        case LateSuccessDetected():
            return f"{event.gateway} charged too late, {'kept' if event.kept else 'to be given back'}"
        case ChargeCompensated():
            return f"given back by {event.gateway}, {event.by}"
        case _:
            return ""


def money(amount_minor: int, currency: str) -> str:
    exponent = EXPONENTS.get(currency, 2)
    return f"{currency} {amount_minor / 10**exponent:,.{exponent}f}"


def _after(latency_ms: int, verified: bool) -> str:
    return ", found out afterwards" if verified else f", after {latency_ms} ms"
