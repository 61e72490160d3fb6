"""What waits for a person, as Postgres tells it."""

import pytest

from infra.kafka.partition import partition_for
from infra.memory.projections import MemoryDeadLetters, MemoryRecords
from infra.postgres.database import Database
from infra.postgres.payments import PaymentViews, PostgresPaymentSink
from infra.postgres.reviews import PostgresReviews
from projections.project import Projection
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.ids import PaymentId
from schemas.payment import ReviewRequested, ReviewSettled
from tests.projections.story import (
    BETA,
    FIRST,
    SECOND,
    declined,
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
ALSO_PAID: list[Event] = [
    *IN_REVIEW[:3],
    started(SECOND, BETA, 20),
    succeeded(SECOND, BETA),
    paid(SECOND, BETA),
    ReviewRequested(unsettled=(FIRST,)),
]
SETTLED: list[Event] = [
    *IN_REVIEW,
    ReviewSettled(attempt_id=FIRST, verdict="declined", settled_by="asha", note="seen"),
    declined(),
]
PAID: list[Event] = [requested(), started(), succeeded(), paid()]


async def test_payments_in_review_come_in_pages_with_the_attempts_that_wait(database: Database) -> None:
    told = {
        new_payment_id(n): story for n, story in enumerate([IN_REVIEW, PAID, ALSO_PAID, SETTLED], start=1)
    }
    await _project(database, told)
    waiting = [payment for payment, story in told.items() if story in (IN_REVIEW, ALSO_PAID)]
    views, reviews = PaymentViews(database, partition_for), PostgresReviews(database)

    found = await reviews.reviews(None, 10)
    assert [one.payment.payment_id for one in found] == waiting
    for one in found:
        history, _ = await views.find(one.payment.payment_id)
        assert history is not None
        assert one.payment == history.payment
        assert one.attempts == tuple(attempt for attempt in history.attempts if attempt.in_review)
        assert len(one.attempts) == 1

    (first,) = await reviews.reviews(None, 1)
    (second,) = await reviews.reviews(first.payment.payment_id, 1)
    assert [first, second] == found
    assert await reviews.reviews(second.payment.payment_id, 1) == []


async def _project(database: Database, told: dict[PaymentId, list[Event]]) -> None:
    log = MemoryRecords()
    projection = Projection(
        PAYMENTS_TOPIC, PostgresPaymentSink(database), log, MemoryDeadLetters(), partition_for
    )
    for payment, story in told.items():
        for offset, event in enumerate(story):
            topic, partition, _, stamp_ms, key, value, headers = raw(
                recorded(renamed(event, payment), offset, payment=payment)
            )
            await projection.absorb([log.append(topic, partition, stamp_ms, key, value, headers)])
