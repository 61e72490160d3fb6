"""What gateways and persons have told, in Postgres until the verifier has used it, and for a week after."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from infra.postgres import queries, watermarks
from infra.postgres.database import Database, execute_rows, refusing
from schemas.ids import GatewayId
from schemas.notification import GatewayNotified, NotificationMessage, ReviewDecided
from schemas.verification import NO_GATEWAY, StoredMessage
from schemas.views import Watermark

PROJECTION = ("messages", 1)
"""The name and version of their watermarks."""
FORGOTTEN_AT_ONCE = 10_000
FORGETTINGS_A_DAY = 500
"""A day's worth at fifty messages a second; what is left is forgotten the next day."""

_SQL = queries.load(Path(__file__).with_suffix(".sql"))
_encode = msgspec.json.Encoder().encode


class PostgresMessages:
    """Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(
        self, topic: str, messages: Sequence[StoredMessage], next_offsets: Mapping[int, Watermark]
    ) -> None:
        """Each once, however often it comes, and together with how far the topic has been read.

        Raises Unreadable when a value is none that Postgres can hold; nothing is stored then.
        """
        with refusing():
            async with self._database.transaction() as connection:
                await execute_rows(connection, _SQL.add, [_row(message) for message in messages])
                await connection.execute(
                    _SQL.move_watermarks,
                    *PROJECTION,
                    topic,
                    list(next_offsets),
                    [mark.next_offset for mark in next_offsets.values()],
                    [mark.last_stamp_ms for mark in next_offsets.values()],
                )

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        """By topic and partition; a partition that was never read has none."""
        return await watermarks.all_of(self._database, PROJECTION)


async def forget_used(database: Database) -> int:
    """Messages that were used a week ago, a bounded number at a time; how many there were. Once a day is plenty."""
    forgotten = 0
    for _ in range(FORGETTINGS_A_DAY):
        ((count,),) = await database.fetch(_SQL.forget_used, FORGOTTEN_AT_ONCE, timeout_s=30.0)
        forgotten += int(count)
        if count < FORGOTTEN_AT_ONCE:
            break
    return forgotten


def _row(stored: StoredMessage) -> tuple[object, ...]:
    position, message = stored.received.position, stored.received.message
    return (
        position.topic,
        position.partition,
        position.offset,
        stored.stamp_ms,
        stored.payment_id,
        message.attempt_id,
        *_origin(message),
        _encode(message).decode(),
    )


def _origin(message: NotificationMessage) -> tuple[GatewayId, str, str | None]:
    """Who told it, no gateway for a person, under which id, and what it says where a gateway told it."""
    match message:
        case GatewayNotified():
            return message.gateway, message.event_id, message.told
        case ReviewDecided():
            return NO_GATEWAY, message.decision_id, None
