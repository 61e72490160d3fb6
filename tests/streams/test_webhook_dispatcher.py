"""Dispatchers as they run: processes of their own, killed, with real servers and receivers that listen."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import count
from urllib.parse import urlsplit

import msgspec
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.tail import TopicTail
from infra.kafka.topic_log import webhook_log
from infra.kafka.topics import make_topics
from infra.local.ports import free_ports
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.deliveries import PostgresDeliveries
from infra.postgres.migrate import migrate
from infra.settings import Settings
from infra.webhooks.secrets import Secrets
from schemas.base import Event
from schemas.circuit import CircuitReleased
from schemas.codec import CIRCUITS_TOPIC, CONFIGURATION_TOPIC, PAYMENTS_TOPIC, encode
from schemas.delivery import DeliveryFilter
from schemas.envelope import Outgoing, unowned
from schemas.ids import GatewayId, PaymentId
from schemas.webhook import SecretVersion, SubscriptionId, WebhookSubscribed
from streams.webhook_subscriptions import HeardSubscriptions
from tests.projections.story import paid, renamed, requested, started, succeeded
from tests.streams.worker import Worker
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration

WITHIN_S = 120
PAID: tuple[Event, ...] = (requested(), started(), succeeded(), paid())
_numbers = count(1)
_clock = SystemClock()


class World:
    """A database of its own, the shared topics, a projection, two dispatchers and a receiver."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.name = f"webhooks_{os.getpid()}_{next(_numbers)}"
        self.environment = {
            **os.environ,
            **stack.env,
            "DATABASE_URL": urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{self.name}").geturl(),
            "WEBHOOK_CONSUMER_GROUP": self.name,
            "PROJECTION_CONSUMER_GROUP": f"{self.name}_projection",
            "WEBHOOK_ALLOWED_TARGETS": "127.0.0.0/8",
        }
        self.settings = Settings.from_environment(self.environment)
        self.projection = self._worker("projection_worker", "PROJECTION_WORKER_WEB", {})
        self.dispatchers = [
            self._worker("webhook_dispatcher", "WEBHOOK_DISPATCHER_WEB", {"WEBHOOK_CONSUMER_NAME": name})
            for name in ("first", "second")
        ]
        self.secrets = Secrets(self.settings.webhook_secret_keys)
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: dict[str, int] = {}

    def _worker(self, module: str, variable: str, environment: dict[str, str]) -> Worker:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        return Worker(["streams", module], {**self.environment, **environment, variable: address}, address)

    async def open(self) -> None:
        await make_topics(self.settings)
        await migrate(self.settings.database_url)
        self.database = await Database.connect(self.settings.database_url)
        self.store = PostgresDeliveries(self.database, 1)
        self.publisher = Publisher(self.settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
        await self.publisher.start()
        servers = self.settings.kafka_bootstrap_servers
        self.heard = HeardSubscriptions(
            _clock.now_ms, lambda take: TopicTail(servers, CONFIGURATION_TOPIC, take, _clock)
        )
        await self.heard.start()
        app = web.Application()
        app.router.add_post("/{name}", self._receive)
        self._receiver = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._receiver.setup()
        await web.TCPSite(self._receiver, "127.0.0.1", 0).start()
        self.port = self._receiver.addresses[0][1]
        self.projection.start()

    async def close(self) -> None:
        for worker in (self.projection, *self.dispatchers):
            worker.close()
        await self._receiver.cleanup()
        await self.heard.stop()
        await self.publisher.stop()
        await self.database.close()

    async def _receive(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.received.append((name, dict(request.headers), await request.read()))
        return web.Response(status=self.answers.get(name, 204))

    async def subscribe(self, name: str, *event_types: str, merchant: str) -> SubscriptionId:
        to = SubscriptionId("whs_" + _clock.event_id())
        event = WebhookSubscribed(
            subscription_id=to,
            url=f"http://127.0.0.1:{self.port}/{name}",
            event_types=event_types,
            merchant_ids=(merchant,) if merchant else (),
            secret=SecretVersion(number=1, key=self.secrets.newest),
            by="asha",
            note="",
        )
        await webhook_log(self.publisher, _clock).append(event, _clock.event_id(), "req_1")
        return to

    async def append(self, topic: str, partition: int, aggregate: str, events: Sequence[Event]) -> None:
        messages = []
        for number, event in enumerate(events, start=1):
            envelope = unowned(_clock.event_id(), aggregate, _clock.now(), sequence=number)
            value, headers = encode(Outgoing(envelope=envelope, event=event))
            messages.append((aggregate.encode(), value, headers))
        await self.publisher.publish(topic, partition, messages)

    def merchant(self, number: int) -> str:
        """Topics are shared: what other worlds have on them is about others."""
        return f"{self.name}_{number}"

    async def pay(self, merchant: str) -> PaymentId:
        payment = _clock.payment_id()
        events = [renamed(event, payment) for event in (requested(merchant), *PAID[1:])]
        await self.append(PAYMENTS_TOPIC, partition_for(payment), payment, events)
        return payment

    async def receives(self, name: str, least: int) -> None:
        """So many different ones, however often each."""
        await until(lambda: len(self.ids(name)) >= least)

    def ids(self, name: str) -> set[str]:
        return {headers["webhook-id"] for one, headers, _ in self.received if one == name}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            if is_so():
                return
            await asyncio.sleep(0.02)


@pytest.fixture
def opened(stack: Stack) -> Iterator[World]:
    yield World(stack)
    stack.postgres.resume()


@pytest.fixture
async def world(opened: World) -> AsyncIterator[World]:
    await opened.open()
    yield opened
    await opened.close()


async def test_a_subscriber_is_told_of_what_it_asked_for_in_words_that_verify(world: World) -> None:
    to = await world.subscribe("shop", "payment.succeeded", merchant=world.merchant(1))
    await world.subscribe("ops", "circuit.*", merchant="")
    world.dispatchers[0].start()
    await world.dispatchers[0].becomes(200)
    payment = await world.pay(world.merchant(1))
    await world.pay(world.merchant(2))
    released = CircuitReleased(
        gateway=GatewayId("alpha"),
        payment_method="UPI",
        at=_clock.now(),
        by="asha",
        note="",
        request_id="req_1",
    )
    await world.append(CIRCUITS_TOPIC, 0, "alpha:UPI", [released])
    await world.receives("shop", 1)
    await world.receives("ops", 1)
    told = {name: (headers, body) for name, headers, body in world.received}
    headers, body = told["shop"]
    secret = world.secrets.shown(to, SecretVersion(number=1, key=world.secrets.newest))
    assert Webhook(secret).verify(body, headers)["data"]["payment_id"] == payment
    assert b"circuit.released" in told["ops"][1]
    assert len(world.received) == 2


async def test_a_receiver_that_is_gone_ends_its_subscription_on_the_log(world: World) -> None:
    to = await world.subscribe("gone", "payment.*", merchant=world.merchant(1))
    world.answers["gone"] = 410
    world.dispatchers[0].start()
    await world.dispatchers[0].becomes(200)
    await world.pay(world.merchant(1))
    await until(lambda: world.heard.active(to) is None)
    assert len(world.received) == 1


async def test_what_happens_while_the_store_does_not_answer_is_told_when_it_does(world: World) -> None:
    await world.subscribe("shop", "payment.*", merchant=world.merchant(1))
    world.dispatchers[0].start()
    await world.dispatchers[0].becomes(200)
    world.stack.postgres.pause()
    payments = {await world.pay(world.merchant(1)) for _ in range(20)}
    await world.dispatchers[0].becomes(503)
    world.stack.postgres.resume()
    await world.receives("shop", 20)
    assert {msgspec.json.decode(body)["data"]["payment_id"] for _, _, body in world.received} == payments
    await world.dispatchers[0].becomes(200)


async def test_dispatchers_that_are_killed_lose_nothing_and_make_each_delivery_once(world: World) -> None:
    merchants = [world.merchant(number) for number in range(4)]
    for merchant in merchants:
        await world.subscribe(merchant, "payment.*", merchant=merchant)
    for dispatcher in world.dispatchers:
        dispatcher.start()
    for dispatcher in world.dispatchers:
        await dispatcher.becomes(200)
    for round_number in range(4):
        for _ in range(10):
            await asyncio.gather(*(world.pay(merchant) for merchant in merchants))
        victim = world.dispatchers[round_number % 2]
        victim.signal(signal.SIGKILL)
        victim.start()
    for merchant in merchants:
        await world.receives(merchant, 40)
    every = await world.store.page(None, DeliveryFilter(), 1_000)
    deliveries = [one for one in every if one.merchant_id in merchants]
    assert Counter(one.merchant_id for one in deliveries) == dict.fromkeys(merchants, 40)
    assert {one.delivery_id for one in deliveries} == {
        delivery for merchant in merchants for delivery in world.ids(merchant)
    }
