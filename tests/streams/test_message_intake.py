"""The verifier's intake as it runs: killed and cut off, against a real log and a real store."""

import asyncio
import os
import signal
from itertools import count
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from infra.clock import SystemClock
from infra.kafka.messages import KafkaMessages
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import DEAD_LETTERS_TOPIC, make_topics
from infra.local.ports import free_ports
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.messages import PostgresMessages
from infra.postgres.migrate import migrate
from infra.settings import Settings
from schemas.codec import NOTIFICATIONS_TOPIC
from schemas.errors import Unavailable
from schemas.ids import GatewayId, attempt_id, payment_of
from schemas.notification import GatewayNotified
from tests.streams.worker import Worker
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration

CATCHES_UP_WITHIN_S = 120
_numbers = count(1)
_clock = SystemClock()


def a_notification() -> GatewayNotified:
    return GatewayNotified(
        gateway=GatewayId("razorpay"),
        event_id=_clock.event_id(),
        kind="payment.captured",
        attempt_id=attempt_id(_clock.payment_id(), 1, 1),
        told="succeeded",
    )


class World:
    """A database of its own, the shared topic, and at most one worker."""

    def __init__(self, stack: Stack) -> None:
        name = f"intake_{os.getpid()}_{next(_numbers)}"
        (port,) = free_ports(1)
        self.stack = stack
        address = f"127.0.0.1:{port}"
        environment = {
            **os.environ,
            **stack.env,
            "DATABASE_URL": urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}").geturl(),
            "VERIFIER_CONSUMER_GROUP": name,
            "VERIFIER_CONSUMER_NAME": name,
            "PAYMENT_VERIFIER_WEB": address,
        }
        self.settings = Settings.from_environment(environment)
        self.worker = Worker(["tests.streams.intake"], environment, address)

    async def open(self) -> None:
        servers = self.settings.kafka_bootstrap_servers
        await make_topics(self.settings)
        await migrate(self.settings.database_url)
        self.database = await Database.connect(self.settings.database_url)
        self.stored = PostgresMessages(self.database)
        self.reader = LogReader(servers)
        self.publisher = Publisher(servers, ACKNOWLEDGED_WITHIN_MS)
        self.messages = KafkaMessages(self.publisher, _clock)
        await self.publisher.start()

    async def close(self) -> None:
        self.worker.close()
        await self.publisher.stop()
        await self.reader.stop()
        await self.database.close()

    async def tell(self, *messages: GatewayNotified) -> None:
        await asyncio.gather(
            *(self.messages.publish(message, payment_of(message.attempt_id), "req_1") for message in messages)
        )

    async def reaches_the_end(self) -> None:
        ends = await self.reader.end_offsets(NOTIFICATIONS_TOPIC)
        async with asyncio.timeout(CATCHES_UP_WITHIN_S):
            while True:
                if await self._records_below_watermarks() >= sum(ends.values()):
                    return
                await asyncio.sleep(0.05)

    async def _records_below_watermarks(self) -> int:
        try:
            return sum(mark.next_offset for mark in (await self.stored.watermarks()).values())
        except Unavailable:
            return 0

    async def assert_stored_once(self, *messages: GatewayNotified) -> None:
        rows = await self.database.fetch("SELECT event_id, payment_id FROM notifications")
        stored = [(row["event_id"], row["payment_id"]) for row in rows]
        assert len(stored) == len(set(stored))
        assert {(one.event_id, payment_of(one.attempt_id)) for one in messages} <= set(stored)


async def test_a_worker_that_is_killed_in_the_middle_loses_no_message(world: World) -> None:
    told = [a_notification() for _ in range(1500)]
    await world.tell(*told[:1000])
    world.worker.start()
    telling = asyncio.create_task(world.tell(*told[1000:]))
    await world.worker.becomes(200)
    world.worker.signal(signal.SIGKILL)
    await telling
    await world.tell(*(late := [a_notification() for _ in range(50)]))

    world.worker.start()
    await world.reaches_the_end()
    await world.assert_stored_once(*told, *late)
    assert world.worker.signal(signal.SIGTERM) == 0


async def test_what_a_gateway_sends_twice_is_stored_once(world: World) -> None:
    message = a_notification()
    await world.tell(message, message)
    world.worker.start()
    await world.tell(replace(message, kind="payment.authorized"), message)
    await world.reaches_the_end()
    await world.assert_stored_once(message)


async def test_a_store_that_was_emptied_is_filled_again_whatever_the_group_has_committed(
    world: World,
) -> None:
    told = [a_notification() for _ in range(50)]
    await world.tell(*told)
    world.worker.start()
    await world.reaches_the_end()
    world.worker.signal(signal.SIGTERM)
    await world.database.fetch("TRUNCATE notifications, watermarks")

    world.worker.start()
    await world.reaches_the_end()
    await world.assert_stored_once(*told)


async def test_what_cannot_be_read_or_stored_is_a_dead_letter_and_those_behind_it_are_taken_in(
    world: World,
) -> None:
    good, unstorable = a_notification(), replace(a_notification(), kind="a\0b")
    payment_id = payment_of(good.attempt_id)
    before = await world.reader.end_offset(DEAD_LETTERS_TOPIC, 0)
    partition = partition_for(payment_id)
    await world.publisher.publish(NOTIFICATIONS_TOPIC, partition, [(payment_id.encode(), b"{", [])])
    await world.tell(unstorable)
    await world.tell(good)
    world.worker.start()
    await world.reaches_the_end()

    await world.assert_stored_once(good)
    after = await world.reader.end_offset(DEAD_LETTERS_TOPIC, 0)
    ours = ("dl_reader", world.settings.verifier_consumer_group.encode())
    letters = await world.reader.read(DEAD_LETTERS_TOPIC, 0, before, after)
    keys = {letter.key for letter in letters if ours in letter.headers}
    assert {payment_id.encode(), payment_of(unstorable.attempt_id).encode()} <= keys


async def test_a_store_that_does_not_answer_makes_the_worker_wait_and_lose_nothing(world: World) -> None:
    if world.stack.postgres not in world.stack.servers:
        pytest.skip("somebody else's Postgres is not ours to pause")
    world.worker.start()
    await world.worker.becomes(200)
    world.stack.postgres.pause()
    await world.tell(*(told := [a_notification() for _ in range(100)]))
    await world.worker.becomes(503)
    world.stack.postgres.resume()
    await world.reaches_the_end()

    await world.assert_stored_once(*told)
    await world.worker.becomes(200)
