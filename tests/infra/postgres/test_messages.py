"""Messages are stored once, with how far their topic has been read, and forgotten a week after they were used."""

import pytest
from msgspec.structs import replace

from infra.clock import SystemClock
from infra.postgres.database import Database
from infra.postgres.messages import PostgresMessages, forget_used
from infra.postgres.verification_queue import PostgresVerificationQueue
from schemas.envelope import Position
from schemas.errors import Unreadable
from schemas.ids import GatewayId
from schemas.notification import GatewayNotified
from schemas.verification import Received, StoredMessage
from schemas.views import Watermark
from tests.projections.story import FIRST, PAYMENT

pytestmark = pytest.mark.integration

TOPIC = "gateway.notifications.v1"


def a_message(offset: int, *, event_id: str | None = None, kind: str = "payment.captured") -> StoredMessage:
    notified = GatewayNotified(
        gateway=GatewayId("alpha"),
        event_id=event_id or f"event {offset}",
        kind=kind,
        attempt_id=FIRST,
        told="succeeded",
    )
    position = Position(topic=TOPIC, partition=3, offset=offset)
    return StoredMessage(
        payment_id=PAYMENT, received=Received(position=position, message=notified), stamp_ms=1_000 + offset
    )


def reached(next_offset: int) -> dict[int, Watermark]:
    return {3: Watermark(next_offset=next_offset, last_stamp_ms=1_000 + next_offset)}


async def stored(database: Database) -> list[int]:
    return [row[0] for row in await database.fetch('SELECT "offset" FROM notifications ORDER BY 1')]


async def watermark(messages: PostgresMessages) -> tuple[int, int]:
    mark = (await messages.watermarks())[TOPIC, 3]
    return mark.next_offset, mark.last_stamp_ms


async def test_messages_and_how_far_the_topic_was_read_are_stored_together(database: Database) -> None:
    messages = PostgresMessages(database)
    assert await messages.watermarks() == {}
    await messages.store(TOPIC, [a_message(0), a_message(1)], reached(2))

    assert await stored(database) == [0, 1]
    assert await watermark(messages) == (2, 1_002)


async def test_what_comes_again_is_stored_once_and_the_watermark_never_goes_back(database: Database) -> None:
    messages = PostgresMessages(database)
    await messages.store(TOPIC, [a_message(0), a_message(1, event_id="event 0"), a_message(2)], reached(3))
    await messages.store(TOPIC, [a_message(0)], reached(1))

    assert await stored(database) == [0, 2]
    assert await watermark(messages) == (3, 1_003)


async def test_a_topic_that_brought_nothing_to_keep_has_been_read_all_the_same(database: Database) -> None:
    messages = PostgresMessages(database)
    await messages.store(TOPIC, [], reached(7))

    assert await watermark(messages) == (7, 1_007)


async def test_a_message_that_cannot_be_held_is_refused_with_all_that_came_with_it(
    database: Database,
) -> None:
    messages = PostgresMessages(database)
    with pytest.raises(Unreadable):
        await messages.store(TOPIC, [a_message(0), a_message(1, kind="bad\0text")], reached(2))

    assert await stored(database) == []
    assert await messages.watermarks() == {}


async def test_used_messages_are_forgotten_after_a_week_and_unused_ones_never(database: Database) -> None:
    messages = PostgresMessages(database)
    kept, lately, long_ago = a_message(0), a_message(1), a_message(2)
    await messages.store(TOPIC, [kept, lately, long_ago], reached(3))
    queue = PostgresVerificationQueue(database, SystemClock(), guard_ms=750)
    await queue.used([lately.received, long_ago.received])
    await database.fetch(
        "UPDATE notifications SET used_at = used_at - interval '8 days' WHERE \"offset\" = 2"
    )

    assert await forget_used(database) == 1
    assert await stored(database) == [0, 1]
    await messages.store(TOPIC, [replace(lately, stamp_ms=5)], reached(3))
    assert await stored(database) == [0, 1]
