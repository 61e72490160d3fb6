"""What a payment looks like from outside: one shape, whether it was just made, asked for again, or read."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from starlette.responses import Response

from api.headers import consistency_token
from projections.payments import evolve
from schemas.base import Value
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Envelope, Position, Recorded
from schemas.http import PaymentAnswer, RoutingAnswer
from schemas.ids import CustomerToken, PaymentId, is_customer_token
from schemas.payment import Order, PaymentEvent
from schemas.views import AttemptView, PaymentHistory, PaymentStatus, PaymentView, RoutingDecisionView

STATUS_OF_POST: dict[PaymentStatus, int] = {
    "SUCCESS": 201,
    "AWAITING_CUSTOMER": 202,
    "PENDING_VERIFICATION": 202,
    "NEEDS_REVIEW": 202,
    "FAILURE": 402,
}

_encode = msgspec.json.Encoder().encode


class AttemptsAnswer(Value, frozen=True, kw_only=True):
    payment_id: PaymentId
    attempts: tuple[AttemptView, ...]


class DecisionsAnswer(Value, frozen=True, kw_only=True):
    """Every routing decision of the payment, the newest first, and the experiment that it is in."""

    payment_id: PaymentId
    experiment: str | None
    variant: str | None
    decisions: tuple[RoutingDecisionView, ...]


class RecordAnswer(Value, frozen=True, kw_only=True):
    """A record as it lies on the log; a void one was written outside its writer's window and does not count."""

    position: Position
    stamp_ms: int
    is_void: bool
    envelope: Envelope
    event: PaymentEvent


class EventsAnswer(Value, frozen=True, kw_only=True):
    payment_id: PaymentId
    events: tuple[RecordAnswer, ...]


def folded(records: Iterable[Recorded[PaymentEvent]]) -> PaymentHistory:
    history: PaymentHistory | None = None
    for record in records:
        history = evolve(history, record)
    assert history is not None, "a payment has at least one record"
    return history


def payment_answer(payment: PaymentView, ids: Mapping[CustomerToken, str]) -> PaymentAnswer:
    """With the merchant's own id of the customer, unless he was forgotten."""
    order = payment.order
    return PaymentAnswer(
        payment_id=payment.payment_id,
        status=payment.status,
        amount_minor=order.amount_minor if order else None,
        currency=order.currency if order else None,
        payment_method=order.payment_method if order else None,
        merchant_id=order.merchant_id if order else None,
        customer_id=_customer_id(order, ids) if order else None,
        gateway=payment.gateway,
        gateway_reference=payment.gateway_reference,
        attempts=payment.attempts,
        failure=payment.failure,
        next_action=payment.next_action,
        routing=RoutingAnswer(
            strategy=payment.strategy,
            reason=payment.routing_reason,
            experiment=payment.experiment_id,
            variant=payment.variant,
        ),
        latency_ms=payment.latency_ms,
        created_at=payment.created_at,
        updated_at=payment.updated_at,
    )


def _customer_id(order: Order, ids: Mapping[CustomerToken, str]) -> str | None:
    token = order.customer_id
    return ids.get(CustomerToken(token)) if is_customer_token(token) else token


def attempts_answer(history: PaymentHistory) -> AttemptsAnswer:
    return AttemptsAnswer(payment_id=history.payment.payment_id, attempts=history.attempts)


def decisions_answer(history: PaymentHistory) -> DecisionsAnswer:
    newest_first = sorted(history.decisions, key=lambda decision: decision.sequence, reverse=True)
    return DecisionsAnswer(
        payment_id=history.payment.payment_id,
        experiment=history.payment.experiment_id,
        variant=history.payment.variant,
        decisions=tuple(newest_first),
    )


def events_answer(payment_id: PaymentId, records: Sequence[Recorded[PaymentEvent]]) -> EventsAnswer:
    return EventsAnswer(
        payment_id=payment_id,
        events=tuple(
            RecordAnswer(
                position=record.position,
                stamp_ms=record.stamp_ms,
                is_void=record.is_void,
                envelope=record.envelope,
                event=record.event,
            )
            for record in records
        ),
    )


def etag(payment: PaymentView) -> str:
    return f'"{payment.sequence}"'


def token_after(payment: PaymentView, partition: int, next_offset: int) -> str:
    """Names the payment's last record, so that a later read elsewhere shows no less than this one."""
    offset = payment.offsets[-1] if payment.offsets else next_offset - 1
    return consistency_token(Position(topic=PAYMENTS_TOPIC, partition=partition, offset=offset))


def json_response(answer: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_encode(answer), status, headers, "application/json")
