"""The worker as it runs: a process of its own, killed and cut off, against a real log and a real store."""

import asyncio
import os
import signal
from itertools import count
from urllib.parse import urlsplit

import pytest

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Message, Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topic_log import configuration_log
from infra.kafka.topics import DEAD_LETTERS_TOPIC, make_topics
from infra.local.ports import free_ports
from infra.local.stack import Stack
from infra.postgres.audit import PostgresAudit
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.postgres.payments import PaymentViews
from infra.settings import Settings
from projections.absorption import readable
from projections.payments import evolve
from schemas.audit import AuditEntry
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.configuration import KillSwitchTurnedOff, KillSwitchTurnedOn, kill_switch
from schemas.envelope import Window
from schemas.errors import Unavailable, Unreadable
from schemas.ids import PaymentId
from schemas.payment import AttemptStarted
from schemas.routing_configuration import MerchantSwitch
from schemas.views import PaymentHistory
from tests.projections.story import (
    BETA,
    FIRST,
    SECOND,
    declined,
    handed_over,
    in_doubt,
    paid,
    raw,
    recorded,
    renamed,
    requested,
    routed,
    started,
    succeeded,
)
from tests.streams.worker import Worker
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration

STORIES: list[list[Event]] = [
    [requested(), routed(), started(), succeeded(), paid()],
    [
        requested(),
        started(),
        declined(),
        started(SECOND, BETA, 20),
        succeeded(SECOND, BETA),
        paid(SECOND, BETA),
    ],
    [requested(), started(), in_doubt(), handed_over(FIRST)],
]
MOST_IN_POSTGRES = 2**31 - 1
"""What an integer column holds; the worker buries a record with more."""
LONG = Window(valid_from_ms=0, valid_until_ms=2**50)
CATCHES_UP_WITHIN_S = 120
REJOINS_WITHIN_S = 40
"""A group that waited for a dead member's session to end would take more than a minute."""
_numbers = count(1)
_clock = SystemClock()


class World:
    """A database of its own, the shared topic, and at most one worker."""

    def __init__(self, stack: Stack) -> None:
        name = f"worker_{os.getpid()}_{next(_numbers)}"
        (port,) = free_ports(1)
        self.stack = stack
        address = f"127.0.0.1:{port}"
        self.environment = {
            **os.environ,
            **stack.env,
            "DATABASE_URL": urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}").geturl(),
            "PROJECTION_CONSUMER_GROUP": name,
            "PROJECTION_CONSUMER_NAME": name,
            "PROJECTION_WORKER_WEB": address,
        }
        self.settings = Settings.from_environment(self.environment)
        self.worker = Worker(["streams", "projection_worker"], self.environment, address)

    async def open(self) -> None:
        servers = self.settings.kafka_bootstrap_servers
        await make_topics(self.settings)
        await migrate(self.settings.database_url)
        self.database = await Database.connect(self.settings.database_url)
        self.views = PaymentViews(self.database, partition_for)
        self.reader, self.letters = LogReader(servers), LogReader(servers)
        self.publisher = Publisher(servers, ACKNOWLEDGED_WITHIN_MS)
        await self.publisher.start()

    async def close(self) -> None:
        self.worker.close()
        await self.publisher.stop()
        await self.reader.stop()
        await self.letters.stop()
        await self.database.close()

    async def tell(self, payments: int) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(payments):
                payment = _clock.payment_id()
                messages = [
                    message(raw(recorded(renamed(event, payment), offset, payment=payment, window=LONG)))
                    for offset, event in enumerate(STORIES[number % len(STORIES)])
                ]
                group.create_task(self.publish(payment, messages))

    async def publish(self, payment: PaymentId, messages: list[Message]) -> None:
        await self.publisher.publish(PAYMENTS_TOPIC, partition_for(payment), messages)

    async def records_below_watermarks(self) -> int:
        return sum(watermark.next_offset for watermark in (await self.views.watermarks()).values())

    async def reaches(self, records: int) -> None:
        async with asyncio.timeout(CATCHES_UP_WITHIN_S):
            while True:
                try:
                    if await self.records_below_watermarks() >= records:
                        return
                except Unavailable:
                    pass
                await asyncio.sleep(0.05)

    async def reaches_the_end(self) -> None:
        await self.reaches(sum((await self.reader.end_offsets(PAYMENTS_TOPIC)).values()))

    async def folded(self) -> dict[PaymentId, PaymentHistory]:
        histories: dict[PaymentId, PaymentHistory] = {}
        for partition, end in (await self.reader.end_offsets(PAYMENTS_TOPIC)).items():
            for record in await self.reader.read(PAYMENTS_TOPIC, partition, 0, end, timeout_s=30):
                try:
                    told = readable(record)
                except Unreadable:
                    continue
                if isinstance(told.event, AttemptStarted) and told.event.number > MOST_IN_POSTGRES:
                    continue  # another test's
                payment = PaymentId(told.envelope.aggregate_id)
                histories[payment] = evolve(histories.get(payment), told)
        return histories

    async def assert_rows_equal_a_fold_of_the_topic(self) -> None:
        folded = await self.folded()
        rows = await self.database.fetch("SELECT payment_id FROM payments")
        assert {row["payment_id"] for row in rows} == set(folded)
        for payment, history in folded.items():
            assert (await self.views.find(payment))[0] == history


def message(record: object) -> Message:
    key, value, headers = record.key, record.value, list(record.headers)  # type: ignore[attr-defined]
    return key, value, headers


async def test_a_worker_that_is_killed_in_the_middle_counts_nothing_twice_and_loses_nothing(
    world: World,
) -> None:
    await world.tell(1500)
    already = sum((await world.reader.end_offsets(PAYMENTS_TOPIC)).values())
    world.worker.start()
    await world.reaches(1)
    world.worker.signal(signal.SIGKILL)
    assert await world.records_below_watermarks() < already

    await world.tell(100)
    world.worker.start()
    await world.reaches_the_end()
    await world.assert_rows_equal_a_fold_of_the_topic()


async def test_a_store_that_was_emptied_is_filled_again_whatever_the_group_has_committed(
    world: World,
) -> None:
    await world.tell(60)
    world.worker.start()
    await world.reaches_the_end()
    world.worker.signal(signal.SIGTERM)
    await world.database.fetch("TRUNCATE payments, attempts, routing_decisions, watermarks")
    await world.database.fetch("DELETE FROM reservations")

    world.worker.start()
    await world.reaches_the_end()
    await world.assert_rows_equal_a_fold_of_the_topic()


async def test_a_worker_goes_on_within_seconds_of_its_death_and_leaves_at_once_when_asked(
    world: World,
) -> None:
    world.worker.start()
    await world.tell(10)
    await world.reaches_the_end()
    world.worker.signal(signal.SIGKILL)
    await world.tell(1)
    world.worker.start()
    async with asyncio.timeout(REJOINS_WITHIN_S):
        await world.reaches_the_end()

    assert world.worker.signal(signal.SIGTERM) == 0


async def test_a_poisonous_record_is_a_dead_letter_and_those_behind_it_are_taken_in(world: World) -> None:
    payment = _clock.payment_id()
    good = message(raw(recorded(requested(), payment=payment, window=LONG)))
    before = await world.letters.end_offset(DEAD_LETTERS_TOPIC, 0)
    poison: list[Message] = [(None, b"", []), (payment.encode(), b"{", good[2]), (b"key", b"null", [])]
    await world.publish(payment, [*poison, good])
    world.worker.start()
    await world.reaches_the_end()

    await world.assert_rows_equal_a_fold_of_the_topic()
    errors = await world.database.fetch("SELECT reason FROM projection_errors")
    after = await world.letters.end_offset(DEAD_LETTERS_TOPIC, 0)
    ours = ("dl_reader", world.settings.projection_consumer_group.encode())
    read = await world.letters.read(DEAD_LETTERS_TOPIC, 0, before, after)
    letters = [letter for letter in read if ours in letter.headers]
    assert len(errors) >= len(poison)
    assert len(letters) == len(errors)
    assert all({"dl_reason", "dl_offset"} <= {name for name, _ in letter.headers} for letter in letters)


async def test_a_store_that_does_not_answer_makes_the_worker_wait_and_lose_nothing(world: World) -> None:
    if world.stack.postgres not in world.stack.servers:
        pytest.skip("somebody else's Postgres is not ours to pause")
    world.worker.start()
    await world.tell(200)
    await world.reaches(1)
    world.stack.postgres.pause()
    await world.tell(200)
    await world.worker.becomes(503)
    await asyncio.sleep(5)
    world.stack.postgres.resume()
    await world.reaches_the_end()

    await world.assert_rows_equal_a_fold_of_the_topic()
    await world.worker.becomes(200)


# The audit


async def test_what_people_change_is_in_the_audit_once_whatever_becomes_of_its_worker(world: World) -> None:
    """Killed in the middle, and with watermarks taken back."""
    log, audit = configuration_log(world.publisher, _clock), PostgresAudit(world.database)
    switch = MerchantSwitch(name=_clock.payment_id())

    async def become(entries: int) -> list[AuditEntry]:
        async with asyncio.timeout(CATCHES_UP_WITHIN_S):
            while True:
                if len(found := await audit.entries(kill_switch(switch), None, None, 10)) >= entries:
                    return found
                await asyncio.sleep(0.05)

    on = KillSwitchTurnedOn(switch=switch, by="asha", note="a test", instead_of_version=0)
    await log.append(on, _clock.event_id(), "req_on")
    world.worker.start()
    (first,) = await become(1)
    assert (first.by, first.request_id, first.before) == ("asha", "req_on", None)

    world.worker.signal(signal.SIGKILL)
    off = KillSwitchTurnedOff(switch=switch, by="ravi", note="", instead_of_version=first.position.offset + 1)
    await log.append(off, _clock.event_id(), "req_off")
    await log.append(off, _clock.event_id(), "req_void")
    world.worker.start()
    last, again = await become(2)
    assert again == first
    assert (last.by, last.request_id, last.before) == ("ravi", "req_off", first.after)

    await world.database.fetch("DELETE FROM watermarks WHERE projection = 'audit'")
    await world.database.fetch("DELETE FROM audit_entries WHERE said_by = 'asha'")
    assert await become(2) == [last, first]
