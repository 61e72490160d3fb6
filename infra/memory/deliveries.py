"""Webhook deliveries without a server: a transaction is a copy that is kept when it ends well."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from msgspec.structs import asdict, replace

from infra.memory.projections import NOT_BEGUN
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
)
from schemas.errors import Unreadable
from schemas.ids import PaymentId
from schemas.payment import Order
from schemas.views import Watermark
from schemas.webhook import SubscriptionId


class Row:
    def __init__(self, delivery: Delivery, now_ms: float, given_up_after_ms: int) -> None:
        self.delivery = delivery
        self.due_at_ms = now_ms
        self.given_up_at_ms = now_ms + given_up_after_ms
        self.view = DeliveryView(
            delivery_id=delivery.delivery_id,
            subscription_id=delivery.subscription_id,
            event_id=delivery.event_id,
            event_type=delivery.event_type,
            subject=delivery.subject,
            merchant_id=delivery.merchant_id,
            status="waiting",
            attempts=0,
            created_at=_moment(now_ms),
            next_attempt_at=None,
            last_attempt_at=None,
            last_result=None,
            last_latency_ms=None,
            dead_because=None,
            replays=0,
        )

    @property
    def shown(self) -> DeliveryView:
        is_waiting = self.view.status == "waiting"
        return replace(self.view, next_attempt_at=_moment(self.due_at_ms) if is_waiting else None)

    def is_due(self, now_ms: float) -> bool:
        return self.view.status == "waiting" and self.due_at_ms <= now_ms


class MemoryDeliveries:
    """`orders` and `projected` are what the payments' projection knows."""

    def __init__(self, given_up_after_ms: int, now_ms: Callable[[], float]) -> None:
        self._given_up_after_ms = given_up_after_ms
        self._now_ms = now_ms
        self._turn = asyncio.Lock()
        self._marks: dict[tuple[str, int], Watermark] = {}
        self.rows: dict[DeliveryId, Row] = {}
        self.orders: dict[PaymentId, Order] = {}
        self.projected: dict[int, int] = {}

    @asynccontextmanager
    async def transaction(
        self, topic: str, partitions: Collection[int]
    ) -> AsyncIterator["MemoryDeliveryTransaction"]:
        async with self._turn:
            marks = {one: self._marks.get((topic, one), NOT_BEGUN) for one in partitions}
            transaction = MemoryDeliveryTransaction(self, marks)
            yield transaction
            for delivery in transaction.stored:
                self._add(delivery)
            self._marks |= {(topic, one): mark for one, mark in transaction.moved.items()}

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        return dict(self._marks)

    async def claim(self, room: Mapping[SubscriptionId, int], most: int, lease_ms: int) -> list[Claimed]:
        now_ms = self._now_ms()
        claimed: list[Row] = []
        for subscription_id, attempts in room.items():
            due = [row for row in self._of(subscription_id) if row.is_due(now_ms)]
            claimed += sorted(due, key=lambda row: row.due_at_ms)[:attempts]
        return [self._claimed(row, now_ms, lease_ms) for row in claimed[:most]]

    async def record(self, attempted: Sequence[Attempted]) -> None:
        for one in attempted:
            row = self.rows[one.delivery_id]
            if row.view.status != "waiting" or row.view.attempts != one.attempt:
                continue
            result = str(one.result.status) if isinstance(one.result, Answered) else one.result.reason
            row.view = replace(row.view, last_result=result, last_latency_ms=one.latency_ms)
            match one.next:
                case Delivered():
                    row.view = replace(row.view, status="delivered")
                case Again():
                    row.due_at_ms = self._now_ms() + one.next.after_ms
                case GivenUp():
                    row.view = replace(row.view, status="dead", dead_because=one.next.reason)

    async def give_up(self, ended: Collection[SubscriptionId], limit: int) -> int:
        now_ms, given_up = self._now_ms(), 0
        for row in self.rows.values():
            is_over = row.is_due(now_ms) and row.given_up_at_ms <= now_ms
            is_over |= row.view.status == "waiting" and row.view.subscription_id in ended
            if given_up < limit and is_over:
                reason = "unsubscribed" if row.view.subscription_id in ended else "exhausted"
                row.view = replace(row.view, status="dead", dead_because=reason)
                given_up += 1
        return given_up

    async def trim(self, before: DeliveryId, limit: int) -> int:
        old = [row.view for row in self.rows.values() if row.view.delivery_id < before]
        trimmed = [view.delivery_id for view in old if view.status != "waiting"][:limit]
        for delivery_id in trimmed:
            del self.rows[delivery_id]
        return len(trimmed)

    async def backlog(self) -> DeliveryBacklog:
        now_ms = self._now_ms()
        due = [row.due_at_ms for row in self.rows.values() if row.is_due(now_ms)]
        statuses = [row.view.status for row in self.rows.values()]
        return DeliveryBacklog(
            waiting=statuses.count("waiting"),
            dead=statuses.count("dead"),
            oldest_waiting_s=(now_ms - min(due, default=now_ms)) / 1000,
        )

    async def page(self, before: DeliveryId | None, wanted: DeliveryFilter, limit: int) -> list[DeliveryView]:
        newest_first = sorted((row.shown for row in self.rows.values()), key=_by_id, reverse=True)
        asked = {field: value for field, value in asdict(wanted).items() if value is not None}
        return [
            view
            for view in newest_first
            if (before is None or view.delivery_id < before)
            and all(getattr(view, field) == value for field, value in asked.items())
        ][:limit]

    async def find(self, delivery_id: DeliveryId) -> DeliveryView | None:
        row = self.rows.get(delivery_id)
        return row.shown if row is not None else None

    async def replay(self, delivery_id: DeliveryId) -> None:
        row = self.rows[delivery_id]
        row.due_at_ms = self._now_ms()
        row.given_up_at_ms = row.due_at_ms + self._given_up_after_ms
        attempts = row.view.attempts if row.view.status == "waiting" else 0
        row.view = replace(
            row.view, status="waiting", attempts=attempts, dead_because=None, replays=row.view.replays + 1
        )

    def _of(self, subscription_id: SubscriptionId) -> list[Row]:
        return [row for row in self.rows.values() if row.view.subscription_id == subscription_id]

    def _add(self, delivery: Delivery) -> None:
        if all(row.view.event_id != delivery.event_id for row in self._of(delivery.subscription_id)):
            self.rows[delivery.delivery_id] = Row(delivery, self._now_ms(), self._given_up_after_ms)

    def _claimed(self, row: Row, now_ms: float, lease_ms: int) -> Claimed:
        row.due_at_ms = now_ms + lease_ms
        row.view = replace(row.view, attempts=row.view.attempts + 1, last_attempt_at=_moment(now_ms))
        return Claimed(
            delivery_id=row.view.delivery_id,
            subscription_id=row.view.subscription_id,
            event_type=row.view.event_type,
            body=row.delivery.body,
            attempt=row.view.attempts,
            left_ms=round(row.given_up_at_ms - now_ms),
        )


class MemoryDeliveryTransaction:
    def __init__(self, deliveries: MemoryDeliveries, watermarks: Mapping[int, Watermark]) -> None:
        self._deliveries = deliveries
        self.watermarks = watermarks
        self.stored: list[Delivery] = []
        self.moved: dict[int, Watermark] = {}

    async def projected(self) -> dict[int, int]:
        return dict(self._deliveries.projected)

    async def orders(self, payment_ids: Collection[PaymentId]) -> dict[PaymentId, Order]:
        known = self._deliveries.orders
        return {payment_id: known[payment_id] for payment_id in payment_ids if payment_id in known}

    async def store(self, deliveries: Sequence[Delivery], watermarks: Mapping[int, Watermark]) -> None:
        if any("\0" in f"{one.subject}{one.body}{one.merchant_id}" for one in deliveries):
            raise Unreadable("Postgres cannot hold it")
        self.stored += deliveries
        self.moved |= watermarks


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _by_id(view: DeliveryView) -> DeliveryId:
    return view.delivery_id
