"""Payments that never were, as records: what hours of load would have left on the log, made in a minute."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Message, Publisher
from schemas.base import Event
from schemas.ids import PaymentId
from schemas.outcome import Outcome
from tests.projections.outcomes import DOUBT, LONG, SUCCESS, UNREACHED, decline, told
from tests.projections.story import paid, raw, recorded, requested, routed, started

SAID: tuple[Outcome, ...] = (
    *[SUCCESS] * 16,
    decline("customer", "insufficient_funds"),
    decline(),
    UNREACHED,
    DOUBT,
)
BATCH = 1_000
_chance = Random(7)
_GATEWAYS = ("razorpay", "stripe", "payu", "cashfree", "billdesk")

Made = list[tuple[PaymentId, Sequence[Message]]]
"""By payment."""


async def publish(publisher: Publisher, topic: str, payments: Made) -> None:
    partitions: dict[int, list[Message]] = {}
    for payment, messages in payments:
        partitions.setdefault(partition_for(payment), []).extend(messages)

    async def send(partition: int, messages: Sequence[Message]) -> None:
        for first in range(0, len(messages), BATCH):
            await publisher.publish(topic, partition, messages[first : first + BATCH])

    await asyncio.gather(*(send(*told) for told in partitions.items()))


def lives(payments: int, cells: int) -> Made:
    """Whole lives of payments, of five events each, one of them an outcome."""
    clock = SystemClock()
    made: Made = []
    for number in range(payments):
        payment = clock.payment_id()
        gateway, issuer = (
            (f"gateway{number % 10}", f"bank{number % 100}") if cells > 1 else ("gateway", "bank")
        )
        issuer = f"bank{_chance.randrange(cells // 10)}" if cells > 1 else issuer
        at = clock.now() - timedelta(seconds=_chance.random() * 60)
        made.append((payment, messages_of(payment, life(_chance.choice(SAID), gateway, issuer, at))))
    return made


def outcomes(begin: datetime, numbers: range, per_second: float, issuers: int) -> Made:
    """Outcomes only, in the order of their time: what else an hour of log holds is passed by."""
    clock = SystemClock()
    made: Made = []
    for number in numbers:
        payment = clock.payment_id()
        event = told(
            _chance.choice(SAID),
            gateway=_GATEWAYS[number % len(_GATEWAYS)],
            method=("UPI", "CARD")[number // 7 % 2],
            issuer=f"bank{_chance.randrange(issuers)}",
            at=begin + timedelta(seconds=number / per_second),
            latency_ms=round(_chance.lognormvariate(5.5, 0.8)),
        )
        made.append((payment, messages_of(payment, [event])))
    return made


def life(said: Outcome, gateway: str, issuer: str, at: datetime) -> list[Event]:
    latency_ms = round(_chance.lognormvariate(5.5, 0.8))
    outcome = told(said, gateway=gateway, issuer=issuer, at=at, latency_ms=latency_ms)
    return [requested(), routed(), started(), outcome, paid()]


def messages_of(payment: PaymentId, events: Sequence[Event]) -> list[Message]:
    records = (
        raw(recorded(event, offset, payment=payment, window=LONG)) for offset, event in enumerate(events)
    )
    return [(record.key, record.value or b"", list(record.headers)) for record in records]
