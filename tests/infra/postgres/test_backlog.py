"""How much is due, waits for a person or has no end yet, as Postgres counts it."""

import pytest

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.memory.projections import MemoryDeadLetters, MemoryRecords
from infra.postgres.backlog import backlog
from infra.postgres.database import Database
from infra.postgres.payments import PostgresPaymentSink
from projections.project import Projection
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.ids import GatewayId
from schemas.payment import ChargeCompensated, LateSuccessDetected, ReviewRequested
from schemas.verification import Backlog, Due
from tests.infra.postgres.backlog import due_payments, told_payments
from tests.projections.story import (
    ALPHA,
    BEGIN_MS,
    FIRST,
    declined,
    failed,
    in_doubt,
    new_payment_id,
    paid,
    raw,
    recorded,
    renamed,
    requested,
    started,
    succeeded,
)

pytestmark = pytest.mark.integration

IN_REVIEW: list[Event] = [requested(), started(), in_doubt(), ReviewRequested(unsettled=(FIRST,))]
PAID: list[Event] = [requested(), started(), succeeded(), paid()]


def late(kept: bool) -> LateSuccessDetected:
    return LateSuccessDetected(attempt_id=FIRST, gateway=ALPHA, gateway_reference="txn_1", kept=kept)


TWICE: list[Event] = [requested(), started(), declined(), failed(), late(kept=False)]
GIVEN_BACK: list[Event] = [
    *TWICE,
    ChargeCompensated(attempt_id=FIRST, gateway=ALPHA, gateway_reference="txn_1", by="refund"),
]
KEPT: list[Event] = [*TWICE[:-1], late(kept=True)]


async def test_what_is_due_told_unsettled_and_in_review_is_counted(database: Database) -> None:
    assert await backlog(database) == Backlog(
        due={},
        unused_messages=0,
        oldest_message_ms=0,
        unsettled=0,
        oldest_unsettled=None,
        in_review=0,
        to_give_back=0,
        oldest_to_give_back_ms=0,
    )

    log = MemoryRecords()
    projection = Projection(
        PAYMENTS_TOPIC, PostgresPaymentSink(database), log, MemoryDeadLetters(), partition_for
    )
    for number, story in enumerate([PAID, IN_REVIEW, IN_REVIEW, IN_REVIEW[:3], TWICE, GIVEN_BACK, KEPT]):
        payment = new_payment_id(number)
        for offset, event in enumerate(story):
            topic, partition, _, stamp_ms, key, value, headers = raw(
                recorded(renamed(event, payment), offset, payment=payment)
            )
            await projection.absorb([log.append(topic, partition, stamp_ms, key, value, headers)])
    await database.fetch("DELETE FROM verifications")
    await due_payments(database, GatewayId("beta"), 7)
    await told_payments(database, ALPHA, 5)

    counted = await backlog(database)
    assert counted.due.keys() == {GatewayId("beta")}
    due = counted.due[GatewayId("beta")]
    assert due.payments == 7
    assert 1_007 <= due.oldest_ms < 60_000
    assert counted == Backlog(
        due={GatewayId("beta"): Due(payments=7, oldest_ms=due.oldest_ms)},
        unused_messages=5,
        oldest_message_ms=counted.oldest_message_ms,
        unsettled=3,
        oldest_unsettled=new_payment_id(1),
        in_review=2,
        to_give_back=1,
        oldest_to_give_back_ms=counted.oldest_to_give_back_ms,
    )
    since_then_ms = SystemClock().now_ms() - BEGIN_MS
    assert abs(counted.oldest_to_give_back_ms - since_then_ms) < 60_000
    assert counted.oldest_message_ms > 0
