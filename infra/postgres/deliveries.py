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
    DeliveryView,
    EndpointCircuit,
    Flowing,
    GivenUp,
    Learn,
    Next,
    Paused,
)
from schemas.ids import PaymentId
from schemas.payment import Order
from schemas.views import Watermark
from schemas.webhook import DeliveryId, SubscriptionId

PROJECTION = ("webhooks", 1)
"""The name and version of their watermarks."""

_sql = queries.load(Path(__file__).with_suffix(".sql"))
_order = msgspec.json.Decoder(Order)
_WELL = Flowing()
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

    async def claim(
        self,
        to: Collection[SubscriptionId],
        *,
        by: str,
        at_once: int,
        most: int,
        lease_ms: int,
        unreported_most: int,
    ) -> list[Claimed]:
        """What is due, `most` in all, and so many of each subscription that `at_once` are under way, whoever sends
        them; one of a subscription whose endpoint was paused. Ours until the lease ends."""
        rows = await self._database.fetch(_sql.claim, list(to), at_once, lease_ms, most, unreported_most, by)
        return [
            Claimed(
                delivery_id=row["delivery_id"],
                subscription_id=row["subscription_id"],
                event_type=row["event_type"],
                merchant_id=row["merchant_id"],
                body=row["body"],
                attempt=row["attempt"],
                claim=row["claim"],
                left_ms=row["left_ms"],
            )
            for row in rows
            if row["status"] == "waiting"
        ]

    async def free(self, by: str) -> None:
        """What it had claimed before it ended takes none of its endpoints' places any more, and is due as before."""
        await self._database.fetch(_sql.free, by, timeout_s=10.0)

    async def record(self, attempted: Sequence[Attempted], learn: Learn) -> None:
        """What attempts came to, and what is known of the endpoints then. One that somebody else has begun anew is not
        heard; its endpoint answered all the same."""
        async with self._database.transaction() as connection:
            await _learn(connection, attempted, learn)
            await execute_rows(connection, _sql.record, [_attempted_row(one) for one in attempted])

    async def give_up_unwanted(self, delivery_id: DeliveryId) -> None:
        """What was claimed and is not sent, since its subscription was amended and does not want it any more."""
        await self._database.fetch(_sql.give_up_unwanted, delivery_id)

    async def give_up_ended(self, ended: Collection[SubscriptionId], limit: int) -> int:
        """What is for a subscription that has ended; so many at most, as of all that follow."""
        await self._database.fetch(_sql.forget, list(ended))
        return await self._changed(_sql.give_up_ended, list(ended), limit)

    async def give_up_overdue(self, limit: int) -> int:
        """What has waited too long."""
        return await self._changed(_sql.give_up_overdue, limit)

    async def give_up_crowded(self, waiting_most: int, limit: int) -> int:
        """What waits beyond so many of its subscription: those that have been due longest."""
        return await self._changed(_sql.give_up_crowded, waiting_most, limit)

    async def trim(self, before: DeliveryId, limit: int) -> int:
        """Those of older events that wait for nothing."""
        return await self._changed(_sql.trim, before, limit)

    async def _changed(self, sql: str, *arguments: object) -> int:
        return len(await self._database.fetch(sql, *arguments, timeout_s=30.0))

    async def backlog(self) -> DeliveryBacklog:
        ((waiting, dead, oldest_ms, paused),) = await self._database.fetch(_sql.backlog, timeout_s=10.0)
        return DeliveryBacklog(
            waiting=waiting,
            dead=dead,
            oldest_waiting_s=max(0, oldest_ms) / 1000,
            endpoints_paused=paused,
        )

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

    async def dead_of(
        self, subscription_id: SubscriptionId, after: DeliveryId | None, limit: int
    ) -> list[DeliveryId]:
        """The oldest first."""
        rows = await self._database.fetch(_sql.dead_of, subscription_id, after or "", limit)
        return [DeliveryId(row["delivery_id"]) for row in rows]

    async def replay(self, delivery_ids: Collection[DeliveryId]) -> None:
        await self._database.fetch(_sql.replay, list(delivery_ids), self._given_up_after_ms, timeout_s=10.0)


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


async def _learn(connection: Connection, attempted: Sequence[Attempted], learn: Learn) -> None:
    """In the order in which they ended. Most endpoints are well, and stay so: of them nothing is written."""
    results = [(one.claimed.subscription_id, one.result) for one in attempted]
    rows = await connection.fetch(_sql.circuits, list({to for to, _ in results}))
    known = {row["subscription_id"]: _circuit(row) for row in rows}
    learned = dict(known)
    for to, result in results:
        learned[to] = learn(learned.get(to, _WELL), result)
    changed = {to: circuit for to, circuit in learned.items() if circuit != known.get(to, _WELL)}
    troubled = [_circuit_row(to, circuit) for to, circuit in changed.items() if circuit != _WELL]
    await execute_rows(connection, _sql.learn, troubled)
    if well := [to for to, circuit in changed.items() if circuit == _WELL]:
        await connection.execute(_sql.forget, well)


def _circuit(row: asyncpg.Record) -> EndpointCircuit:
    if row["pause_ms"] is None:
        return Flowing(failures=row["failures"])
    return Paused(left_ms=row["left_ms"], pause_ms=row["pause_ms"])


def _circuit_row(to: SubscriptionId, circuit: EndpointCircuit) -> tuple[object, ...]:
    if isinstance(circuit, Flowing):
        return to, circuit.failures, None, None
    return to, 0, circuit.left_ms, circuit.pause_ms


def _attempted_row(one: Attempted) -> tuple[object, ...]:
    made = one.claimed
    result = str(one.result.status) if isinstance(one.result, Answered) else one.result.reason
    return made.delivery_id, made.attempt, made.claim, *_state(one.next), result, one.latency_ms


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
