"""Two who subscribed to webhooks, to everything and to one merchant's payments, and what they should have been told."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from commands.webhook_subscription import INITIAL, Subscription, evolve, recipients
from infra.kafka.reader import LogReader
from infra.kafka.tail import STALE_AFTER_MS
from infra.local.ports import HOST
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.deliveries import PostgresDeliveries
from projections.webhooks import delivery_id, payment_of
from schemas.base import Event, Value
from schemas.codec import CIRCUITS_TOPIC, CONFIGURATION_TOPIC, PAYMENTS_TOPIC, RELIABILITY_TOPIC
from schemas.envelope import Recorded
from schemas.errors import Unavailable
from schemas.ids import PaymentId
from schemas.payment import PaymentRequested
from schemas.webhook import DeliveryId, SubscriptionId
from schemas.webhook_types import TYPES, is_wanted
from tests.product import Client, read_records

LISTENERS: Mapping[str, Mapping[str, object]] = {
    "everything": {"event_types": ["payment.*", "circuit.*", "reliability.*"]},
    "one-merchant": {"event_types": ["payment.*", "reliability.*"], "merchant_ids": ["m_keeps"]},
}
TOPICS = (PAYMENTS_TOPIC, CIRCUITS_TOPIC, RELIABILITY_TOPIC)
TOLD_WITHIN_S = 300.0
"""What dispatchers that died had in their hands comes after its lease, or a few of them."""
ROUND_S = 1.0


class Heard(Value, frozen=True, kw_only=True):
    """`due` are the events that each listener was to be told of by then, by name and the event's id, each with the ids
    that its delivery may have; `of_anything` are those of whatever it may have been told of."""

    due: Mapping[tuple[str, str], frozenset[str]]
    of_anything: frozenset[str]
    received: Mapping[str, Mapping[str, int]]
    """How often each delivery came, by listener, with a signature that fits."""
    unverified: int

    @property
    def figures(self) -> dict[str, int]:
        times = [count for received in self.received.values() for count in received.values()]
        return {
            "due": len(self.due),
            "received": len(times),
            "again": sum(times) - len(times),
            "unverified": self.unverified,
        }


class Listeners:
    """They answer at once. Nothing befalls them."""

    def __init__(self) -> None:
        self._secrets: dict[str, Webhook] = {}
        self._subscriptions: dict[SubscriptionId, str] = {}
        self._received = {name: Counter[str]() for name in LISTENERS}
        self._unverified = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{name}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def subscribe(self, client: Client) -> None:
        """Returns when everybody has heard of it."""
        port = self._runner.addresses[0][1]
        for name, wanted in LISTENERS.items():
            answer = await client.order(
                "/webhooks/subscriptions", {"url": f"http://{HOST}:{port}/{name}", **wanted}
            )
            assert answer.status == 201, answer
            self._secrets[name] = Webhook(answer.body["secret"])
            self._subscriptions[SubscriptionId(answer.body["subscription"]["subscription_id"])] = name
        await asyncio.sleep(STALE_AFTER_MS / 1000)

    async def _receive(self, request: web.Request) -> web.Response:
        name, body = request.match_info["name"], await request.read()
        try:
            self._secrets[name].verify(body, dict(request.headers))
        except (WebhookVerificationError, KeyError):
            self._unverified += 1
            return web.Response(status=400)
        self._received[name][request.headers["webhook-id"]] += 1
        return web.Response(status=204)

    async def heard(
        self, stack: Stack, database: Database, reader: LogReader, say: Callable[[str], None]
    ) -> Heard:
        """When everything that had happened by then is read and delivered, or the time is up."""
        until = await _all_delivered(PostgresDeliveries(database, 1), reader, say)
        received = {name: dict(times) for name, times in self._received.items()}
        told = await self._told(stack)
        due = dict[tuple[str, str], frozenset[str]]()
        for record, name, delivery in told:
            here, event = record.position, (name, record.envelope.event_id)
            if here.offset < until[here.topic, here.partition]:
                due[event] = due.get(event, frozenset()) | {delivery}
        return Heard(
            due=due,
            of_anything=frozenset(delivery for _, _, delivery in told),
            received=received,
            unverified=self._unverified,
        )

    async def _told(self, stack: Stack) -> list[tuple[Recorded[Event], str, DeliveryId]]:
        """Of all that is on the topics: who is to be told of it, and under which id."""
        state = INITIAL
        for record in await read_records(stack, CONFIGURATION_TOPIC):
            state = evolve(state, record)
        records = [record for topic in TOPICS for record in await read_records(stack, topic)]
        merchants = {
            PaymentId(record.envelope.aggregate_id): record.event.order.merchant_id
            for record in records
            if isinstance(record.event, PaymentRequested) and not record.is_void
        }
        return [
            (record, self._subscriptions[to], delivery_id(record.envelope.at, record.envelope.event_id, to))
            for record in records
            if not record.is_void
            for to in _recipients(record, state.known.values(), merchants)
        ]


def _recipients(
    record: Recorded[Event], known: Iterable[Subscription], merchants: Mapping[PaymentId, str]
) -> Iterator[SubscriptionId]:
    name, payment_id = TYPES.get(type(record.event)), payment_of(record)
    if name is not None:
        wanting = [one for one in known if is_wanted(name, one.event_types)]
        merchant_id = merchants.get(payment_id) if payment_id is not None else None
        yield from recipients(wanting, merchant_id, record.stamp_ms, record.stamp_ms)


async def _all_delivered(
    store: PostgresDeliveries, reader: LogReader, say: Callable[[str], None]
) -> Mapping[tuple[str, int], int]:
    """Where each partition ended then."""
    give_up_at, said_at, ends = time.monotonic() + TOLD_WITHIN_S, 0.0, dict[tuple[str, int], int]()
    while time.monotonic() < give_up_at:
        try:
            ends = {
                (topic, partition): end
                for topic in TOPICS
                for partition, end in (await reader.end_offsets(topic, timeout_s=10)).items()
            }
            read = {where: mark.next_offset for where, mark in (await store.watermarks()).items()}
            unread = sum(max(0, end - read.get(where, 0)) for where, end in ends.items())
            waiting = (await store.backlog()).waiting
            if not unread and not waiting:
                break
            if time.monotonic() > said_at + 10:
                said_at = time.monotonic()
                say(f"  {unread} records not read, {waiting} deliveries wait")
        except Unavailable as error:
            say(f"  {type(error).__name__}: {error}")
        await asyncio.sleep(ROUND_S)
    return ends
