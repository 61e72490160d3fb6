"""A payment's events as they stand on the log, for tests of what is folded from them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from infra.kafka.partition import partition_for
from infra.memory.projections import RawRecord
from schemas import ids
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC, encode
from schemas.envelope import Envelope, Outgoing, Position, Recorded, Window
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.instrument import UpiMasked
from schemas.outcome import Decline, NextAction
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptStarted,
    AttemptSucceeded,
    Failure,
    Order,
    PaymentFailed,
    PaymentHandedOver,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
)
from schemas.routing import Candidate, Excluded
from schemas.routing_configuration import RetryPolicy

BEGIN = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
BEGIN_MS = int(BEGIN.timestamp() * 1000)
WINDOW = Window(valid_from_ms=0, valid_until_ms=BEGIN_MS + 15_000)
ALPHA, BETA = GatewayId("alpha"), GatewayId("beta")
TIMEOUT = Decline(code="gateway_timeout", blame="gateway", retryable=True)


def new_payment_id(number: int, at_ms: int = BEGIN_MS) -> PaymentId:
    return ids.payment_id(UUID(int=at_ms << 80 | 0x7 << 76 | 0b10 << 62 | number))


PAYMENT = new_payment_id(1)
FIRST, SECOND = ids.attempt_id(PAYMENT, 1, 1), ids.attempt_id(PAYMENT, 1, 2)


def recorded(
    event: Event,
    offset: int = 0,
    *,
    payment: PaymentId = PAYMENT,
    sequence: int | None = None,
    epoch: int = 1,
    window: Window = WINDOW,
    stamp_ms: int | None = None,
) -> Recorded[Event]:
    """Appended `offset` × 10 ms after the beginning, unless a stamp is given."""
    return Recorded(
        envelope=Envelope(
            event_id=f"evt_{offset}",
            aggregate_id=payment,
            sequence=offset + 1 if sequence is None else sequence,
            at=BEGIN + timedelta(milliseconds=10 * offset),
            epoch=epoch,
            window=window,
            correlation_id="req_1",
            causation_id="req_1",
        ),
        event=event,
        position=Position(topic=PAYMENTS_TOPIC, partition=partition_for(payment), offset=offset),
        stamp_ms=BEGIN_MS + 10 * offset if stamp_ms is None else stamp_ms,
    )


def raw(record: Recorded[Event]) -> RawRecord:
    value, headers = encode(Outgoing(envelope=record.envelope, event=record.event))
    position = record.position
    key = record.envelope.aggregate_id.encode()
    return RawRecord(
        position.topic, position.partition, position.offset, record.stamp_ms, key, value, headers
    )


def junk(partition: int, offset: int, value: bytes | None = b"{", key: bytes | None = b"k") -> RawRecord:
    return RawRecord(PAYMENTS_TOPIC, partition, offset, BEGIN_MS + 10 * offset, key, value, [("ce_id", b"x")])


def requested(merchant: str = "merchant", key_hash: str = "hash") -> PaymentRequested:
    order = Order(
        merchant_id=merchant,
        customer_id="customer",
        amount_minor=49_900,
        currency="INR",
        payment_method="UPI",
        instrument=UpiMasked(vpa_masked="te***@okhdfcbank", handle="okhdfcbank"),
        attributes={"tier": "gold"},
    )
    return PaymentRequested(order=order, key_hash=key_hash, fingerprint="fingerprint", requested_at=BEGIN)


def routed() -> PaymentRouted:
    return PaymentRouted(
        strategy="PRIORITY",
        reason="lowest priority number",
        candidates=(
            Candidate(gateway=ALPHA, priority=1, fee_bps=200, timeout_ms=2500),
            Candidate(gateway=BETA, priority=2, fee_bps=190, timeout_ms=2500),
        ),
        excluded=(Excluded(gateway=GatewayId("gamma"), reason="method"),),
        policy=RetryPolicy(),
    )


def started(attempt: AttemptId = FIRST, gateway: GatewayId = ALPHA, after_ms: int = 10) -> AttemptStarted:
    return AttemptStarted(
        attempt_id=attempt,
        number=int(attempt.rpartition("_")[2]),
        gateway=gateway,
        amount_minor=49_900,
        currency="INR",
        payment_method="UPI",
        timeout_ms=2500,
        reason="first" if attempt == FIRST else "after_declined",
        started_at=BEGIN + timedelta(milliseconds=after_ms),
    )


def succeeded(
    attempt: AttemptId = FIRST, gateway: GatewayId = ALPHA, *, verified: bool = False
) -> AttemptSucceeded:
    return AttemptSucceeded(
        attempt_id=attempt,
        gateway=gateway,
        gateway_reference=f"ref_{gateway}",
        latency_ms=120,
        verified=verified,
    )


def declined(
    attempt: AttemptId = FIRST, gateway: GatewayId = ALPHA, *, verified: bool = False
) -> AttemptDeclined:
    return AttemptDeclined(
        attempt_id=attempt, gateway=gateway, decline=TIMEOUT, latency_ms=90, verified=verified
    )


def not_sent(attempt: AttemptId = FIRST, gateway: GatewayId = ALPHA) -> AttemptNotSent:
    return AttemptNotSent(attempt_id=attempt, gateway=gateway, reason="connect", latency_ms=3)


def in_doubt(attempt: AttemptId = FIRST, gateway: GatewayId = ALPHA) -> AttemptInDoubt:
    return AttemptInDoubt(attempt_id=attempt, gateway=gateway, reason="read_timeout", latency_ms=2500)


def awaiting(attempt: AttemptId = FIRST, gateway: GatewayId = ALPHA) -> AttemptAwaitingCustomer:
    return AttemptAwaitingCustomer(
        attempt_id=attempt,
        gateway=gateway,
        gateway_reference=f"ref_{gateway}",
        next_action=NextAction(type="upi_collect"),
        latency_ms=80,
    )


def paid(attempt: AttemptId = FIRST, gateway: GatewayId = ALPHA) -> PaymentSucceeded:
    return PaymentSucceeded(attempt_id=attempt, gateway=gateway, gateway_reference=f"ref_{gateway}")


def failed() -> PaymentFailed:
    return PaymentFailed(failure=Failure(code="gateway_timeout", blame="gateway", customer_may_retry=True))


def handed_over(*unsettled: AttemptId) -> PaymentHandedOver:
    return PaymentHandedOver(unsettled=unsettled)


def renamed(event: Event, payment: PaymentId) -> Event:
    """The same event of another payment: its attempts have ids of their own."""
    text = msgspec.json.encode(event).decode().replace(PAYMENT[4:], payment[4:])
    return msgspec.json.decode(text, type=type(event))
