"""Webhook deliveries in Postgres: made with the watermarks of what they tell, claimed, and what became of each."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec

from infra.postgres import payments, queries
from infra.postgres import watermarks as marks
from infra.postgres.database import Connection, Database, execute_rows, refusing
from schemas.codec import PAYMENTS_TOPIC
from schemas.delivery import (
    Again,
    Answered,
    Attempted,
    Claimed,
    Delivered,
    Delivery,
    DeliveryBacklog,
    DeliveryFilter,
    DeliveryId,
    DeliveryView,
    GivenUp,
    Next,
)
from schemas.ids import PaymentId
from schemas.payment import Order
from schemas.views import Watermark
from schemas.webhook import SubscriptionId

PROJECTION = ("webhooks", 1)
"""The name and version of their watermarks."""

_sql = queries.load(Path(__file__).with_suffix(".sql"))
_order = msgspec.json.Decoder(Order)
_LAST = "~"
"""Sorts behind every id."""


class PostgresDeliveries:
    """Raises StoreUnavailable. `given_up_after_ms` is how long one is tried from when it is made, or replayed."""

    def __init__(self, database: Database, given_up_after_ms: int) -> None:
        self._database = database
        self._given_up_after_ms = given_up_after_ms

    @asynccontextmanager
    async def transaction(
        self, topic: str, partitions: Collection[int]
    ) -> AsyncIterator["PostgresDeliveryTransaction"]:
        async with self._database.transaction() as connection:
            locked = await marks.locked(connection, PROJECTION, topic, partitions)
            yield PostgresDeliveryTransaction(connection, topic, locked, self._given_up_after_ms)

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        """By topic and partition; a partition that was never read has none."""
        return await marks.all_of(self._database, PROJECTION)

    async def claim(self, room: Mapping[SubscriptionId, int], most: int, lease_ms: int) -> list[Claimed]:
        """What is due, as many of each subscription as there is room for, in their order and `most` in all; ours
        until the lease ends."""
        rows = await self._database.fetch(_sql.claim, list(room), list(room.values()), lease_ms, most)
        return [
            Claimed(
                delivery_id=row["delivery_id"],
                subscription_id=row["subscription_id"],
                event_type=row["event_type"],
                body=row["body"],
                attempt=row["attempts"],
                left_ms=row["left_ms"],
            )
            for row in rows
        ]

    async def record(self, attempted: Sequence[Attempted]) -> None:
        """What attempts came to; one that somebody else has begun anew is not heard."""
        async with self._database.transaction() as connection:
            await execute_rows(connection, _sql.record, [_attempted_row(one) for one in attempted])

    async def give_up(self, ended: Collection[SubscriptionId], limit: int) -> int:
        """What has waited too long, and what is for a subscription that has ended."""
        return len(await self._database.fetch(_sql.give_up, list(ended), limit, timeout_s=30.0))

    async def trim(self, before: DeliveryId, limit: int) -> int:
        return len(await self._database.fetch(_sql.trim, before, limit, timeout_s=30.0))

    async def backlog(self) -> DeliveryBacklog:
        ((waiting, dead, oldest_ms),) = await self._database.fetch(_sql.backlog, timeout_s=10.0)
        return DeliveryBacklog(waiting=waiting, dead=dead, oldest_waiting_s=max(0, oldest_ms) / 1000)

    async def page(self, before: DeliveryId | None, wanted: DeliveryFilter, limit: int) -> list[DeliveryView]:
        """Newest first."""
        rows = await self._database.fetch(
            _sql.page,
            before or _LAST,
            wanted.subscription_id,
            wanted.status,
            wanted.event_type,
            wanted.subject,
            limit,
        )
        return [_view(row) for row in rows]

    async def find(self, delivery_id: DeliveryId) -> DeliveryView | None:
        rows = await self._database.fetch(_sql.find, delivery_id)
        return _view(rows[0]) if rows else None

    async def replay(self, delivery_id: DeliveryId) -> None:
        await self._database.fetch(_sql.replay, delivery_id, self._given_up_after_ms)


class PostgresDeliveryTransaction:
    def __init__(
        self,
        connection: Connection,
        topic: str,
        watermarks: Mapping[int, Watermark],
        given_up_after_ms: int,
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._given_up_after_ms = given_up_after_ms
        self.watermarks = watermarks

    async def projected(self) -> dict[int, int]:
        rows = await marks.seen(self._connection, payments.PROJECTION, PAYMENTS_TOPIC)
        return {partition: mark.next_offset for partition, mark in rows.items()}

    async def orders(self, payment_ids: Collection[PaymentId]) -> dict[PaymentId, Order]:
        rows = await self._connection.fetch(_sql.orders, list(payment_ids))
        return {row["payment_id"]: _order.decode(row["order"]) for row in rows}

    async def store(self, deliveries: Sequence[Delivery], watermarks: Mapping[int, Watermark]) -> None:
        rows = [
            (
                one.delivery_id,
                one.subscription_id,
                one.event_id,
                one.event_type,
                one.subject,
                one.merchant_id,
                one.body,
            )
            for one in deliveries
        ]
        with refusing():
            await execute_rows(self._connection, _sql.add, rows, self._given_up_after_ms)
        await marks.move(self._connection, PROJECTION, self._topic, watermarks)


def _attempted_row(one: Attempted) -> tuple[object, ...]:
    result = str(one.result.status) if isinstance(one.result, Answered) else one.result.reason
    return one.delivery_id, one.attempt, *_state(one.next), result, one.latency_ms


def _state(following: Next) -> tuple[str, int, str | None]:
    """Its status, after how many milliseconds it is due, and why it is dead."""
    match following:
        case Delivered():
            return "delivered", 0, None
        case Again():
            return "waiting", following.after_ms, None
        case GivenUp():
            return "dead", 0, following.reason


def _view(row: asyncpg.Record) -> DeliveryView:
    return DeliveryView(**dict(row))
