"""Webhook deliveries without a server: a transaction is a copy that is kept when it ends well."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from msgspec.structs import asdict, replace

from infra.memory.customers import MemoryCustomers
from infra.memory.projections import NOT_BEGUN
from schemas.base import Value
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
    Paused,
)
from schemas.errors import Unreadable
from schemas.ids import CustomerToken, PaymentId
from schemas.payment import Order
from schemas.views import Watermark
from schemas.webhook import DeliveryId, SubscriptionId

_WELL = Flowing()


class Endpoint(Value, frozen=True, kw_only=True):
    failures: int = 0
    paused_until_ms: float = 0
    pause_ms: int | None = None


class Row:
    def __init__(self, delivery: Delivery, now_ms: float, given_up_after_ms: int) -> None:
        self.delivery = delivery
        self.unreported = 0
        self.leased_until_ms, self.leased_by = 0.0, ""
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
        return replace(self.view, next_attempt_at=_moment(self.due_at_ms) if self.is_waiting else None)

    @property
    def is_waiting(self) -> bool:
        return self.view.status == "waiting"

    def is_due(self, now_ms: float) -> bool:
        return self.is_waiting and self.due_at_ms <= now_ms

    def give_up(self, reason: str) -> None:
        self.view = replace(self.view, status="dead", dead_because=reason)


class MemoryDeliveries:
    """`orders` and `projected` are what the payments' projection knows, and `customers` what the vault does."""

    def __init__(self, given_up_after_ms: int, now_ms: Callable[[], float]) -> None:
        self._given_up_after_ms = given_up_after_ms
        self._now_ms = now_ms
        self._turn = asyncio.Lock()
        self._marks: dict[tuple[str, int], Watermark] = {}
        self._endpoints: dict[SubscriptionId, Endpoint] = {}
        self.rows: dict[DeliveryId, Row] = {}
        self.customers = MemoryCustomers()
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
        now_ms = self._now_ms()
        room = {one: self._room(one, at_once, now_ms) for one in to}
        due: list[Row] = []
        for one in sorted(to, key=lambda one: -room[one]):
            waiting = [row for row in self._of(one) if row.is_due(now_ms)]
            due += sorted(waiting, key=lambda row: row.due_at_ms)[: max(0, room[one])]
        claimed = [await self._claimed(row, by, now_ms, lease_ms, unreported_most) for row in due[:most]]
        return [one for one in claimed if one is not None]

    async def free(self, by: str) -> None:
        for row in self.rows.values():
            if row.leased_by == by:
                row.leased_until_ms = 0.0

    async def record(self, attempted: Sequence[Attempted], learn: Learn) -> None:
        for one in attempted:
            to, row = one.claimed.subscription_id, self.rows[one.claimed.delivery_id]
            self._learned(to, learn(self._circuit(to), one.result))
            is_newest = (row.view.attempts + 1, row.unreported) == (one.claimed.attempt, one.claimed.claim)
            if row.view.status != "waiting" or not is_newest:
                continue
            result = str(one.result.status) if isinstance(one.result, Answered) else one.result.reason
            row.unreported, row.leased_until_ms = 0, 0.0
            row.view = replace(
                row.view,
                attempts=one.claimed.attempt,
                last_attempt_at=_moment(self._now_ms()),
                last_result=result,
                last_latency_ms=one.latency_ms,
            )
            match one.next:
                case Delivered():
                    row.view = replace(row.view, status="delivered")
                case Again():
                    row.due_at_ms = self._now_ms() + one.next.after_ms
                case GivenUp():
                    row.give_up(one.next.reason)

    async def give_up_unwanted(self, delivery_id: DeliveryId) -> None:
        row = self.rows[delivery_id]
        if row.is_waiting:
            row.give_up("unwanted")
            row.leased_until_ms, row.unreported = 0.0, 0

    async def give_up_ended(self, ended: Collection[SubscriptionId], limit: int) -> int:
        for one in ended:
            self._learned(one, _WELL)
        return _given_up(
            [row for one in ended for row in self._of(one) if row.is_waiting], "unsubscribed", limit
        )

    async def give_up_overdue(self, limit: int) -> int:
        now_ms = self._now_ms()
        overdue = [row for row in self.rows.values() if row.is_due(now_ms) and row.given_up_at_ms <= now_ms]
        return _given_up(overdue, "exhausted", limit)

    async def give_up_crowded(self, waiting_most: int, limit: int) -> int:
        by_subscription: dict[SubscriptionId, list[Row]] = {}
        for row in sorted(self.rows.values(), key=lambda row: row.due_at_ms):
            if row.is_waiting:
                by_subscription.setdefault(row.view.subscription_id, []).append(row)
        beyond = [
            row for rows in by_subscription.values() for row in rows[: max(0, len(rows) - waiting_most)]
        ]
        return _given_up(beyond, "backlog", limit)

    async def trim(self, before: DeliveryId, limit: int) -> int:
        old = [row for row in self.rows.values() if row.view.delivery_id < before and not row.is_waiting]
        for row in old[:limit]:
            del self.rows[row.view.delivery_id]
        return len(old[:limit])

    async def backlog(self) -> DeliveryBacklog:
        now_ms = self._now_ms()
        due = [row.due_at_ms for row in self.rows.values() if row.is_due(now_ms)]
        statuses = [row.view.status for row in self.rows.values()]
        return DeliveryBacklog(
            waiting=statuses.count("waiting"),
            dead=statuses.count("dead"),
            oldest_waiting_s=(now_ms - min(due, default=now_ms)) / 1000,
            endpoints_paused=sum(one.pause_ms is not None for one in self._endpoints.values()),
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

    async def dead_of(
        self, subscription_id: SubscriptionId, after: DeliveryId | None, limit: int
    ) -> list[DeliveryId]:
        dead = [row.view for row in self._of(subscription_id) if row.view.status == "dead"]
        return sorted(one.delivery_id for one in dead if one.delivery_id > (after or ""))[:limit]

    async def replay(self, delivery_ids: Collection[DeliveryId]) -> None:
        for row in (self.rows[one] for one in delivery_ids):
            row.due_at_ms = self._now_ms()
            row.given_up_at_ms = row.due_at_ms + self._given_up_after_ms
            attempts = row.view.attempts if row.is_waiting else 0
            row.unreported = row.unreported if row.is_waiting else 0
            row.view = replace(
                row.view,
                status="waiting",
                attempts=attempts,
                dead_because=None,
                replays=row.view.replays + 1,
            )

    def _of(self, subscription_id: SubscriptionId) -> list[Row]:
        return [row for row in self.rows.values() if row.view.subscription_id == subscription_id]

    def _add(self, delivery: Delivery) -> None:
        if all(row.view.event_id != delivery.event_id for row in self._of(delivery.subscription_id)):
            self.rows[delivery.delivery_id] = Row(delivery, self._now_ms(), self._given_up_after_ms)

    def _room(self, to: SubscriptionId, at_once: int, now_ms: float) -> int:
        endpoint = self._endpoints.get(to)
        if endpoint is not None and endpoint.paused_until_ms > now_ms:
            return 0
        is_trial = endpoint is not None and endpoint.pause_ms is not None
        under_way = sum(row.is_waiting and row.leased_until_ms > now_ms for row in self._of(to))
        return (1 if is_trial else at_once) - under_way

    async def _claimed(
        self, row: Row, by: str, now_ms: float, lease_ms: int, unreported_most: int
    ) -> Claimed | None:
        if row.unreported >= unreported_most:
            row.give_up("unreported")
            return None
        row.due_at_ms = now_ms + (lease_ms << row.unreported)
        row.leased_until_ms, row.leased_by = now_ms + lease_ms, by
        row.unreported += 1
        return Claimed(
            delivery_id=row.view.delivery_id,
            subscription_id=row.view.subscription_id,
            event_type=row.view.event_type,
            merchant_id=row.delivery.merchant_id,
            body=await self._told(row.delivery.body),
            attempt=row.view.attempts + 1,
            claim=row.unreported,
            left_ms=round(row.given_up_at_ms - now_ms),
        )

    def _circuit(self, to: SubscriptionId) -> EndpointCircuit:
        if (endpoint := self._endpoints.get(to)) is None:
            return _WELL
        if endpoint.pause_ms is None:
            return Flowing(failures=endpoint.failures)
        left_ms = round(endpoint.paused_until_ms - self._now_ms())
        return Paused(left_ms=left_ms, pause_ms=endpoint.pause_ms)

    def _learned(self, to: SubscriptionId, circuit: EndpointCircuit) -> None:
        self._endpoints.pop(to, None)
        if isinstance(circuit, Paused):
            self._endpoints[to] = Endpoint(
                paused_until_ms=self._now_ms() + circuit.left_ms, pause_ms=circuit.pause_ms
            )
        elif circuit != _WELL:
            self._endpoints[to] = Endpoint(failures=circuit.failures)

    async def _told(self, body: str) -> str:
        """With the merchant's own id of the customer, while the vault has it."""
        if (named := _NAMED.search(body)) is None:
            return body
        ids = await self.customers.ids_of([CustomerToken(named[1])])
        return body.replace(named[0], named[0].replace(named[1], ids.get(CustomerToken(named[1]), named[1])))


_NAMED = re.compile(r'"customer_id":"(cus~[0-9a-z]{26})"')


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


def _given_up(rows: Sequence[Row], reason: str, limit: int) -> int:
    for row in rows[:limit]:
        row.give_up(reason)
    return len(rows[:limit])


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _by_id(view: DeliveryView) -> DeliveryId:
    return view.delivery_id
