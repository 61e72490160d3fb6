"""The writer of circuits as it runs: a process of its own, killed and cut off, against a real log and a real store."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from typing import cast
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from commands.circuit_state import new_circuit
from infra.clock import SystemClock
from infra.kafka.circuits import KafkaCircuitMessages
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.tail import TopicTail
from infra.kafka.topics import make_topics
from infra.local.ports import free_ports
from infra.local.stack import Stack
from infra.postgres.circuits import PostgresCircuits
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.resources import tailed_circuits
from infra.settings import Settings
from projections.circuit_facts import CircuitFacts
from schemas.base import Event
from schemas.circuit import (
    CallObserved,
    CircuitEvent,
    CircuitKey,
    CircuitMessage,
    CircuitPolicy,
    CircuitTicked,
    CircuitView,
    ForceOpen,
    ProbeStarted,
    circuit_name,
    lease_id,
)
from schemas.codec import CIRCUIT_OUTCOMES_TOPIC, CIRCUITS_TOPIC, PAYMENTS_TOPIC, encode
from schemas.envelope import ALWAYS, Envelope, Outgoing, Recorded
from schemas.ids import GatewayId
from tests.builders import attempt_declined, attempt_in_doubt, attempt_succeeded, declined, started
from tests.commands.circuits import fold
from tests.product import read_records
from tests.streams.worker import Worker
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration

SETTLES_WITHIN_S = 120
POLICY = CircuitPolicy()
_numbers = count(1)
_clock = SystemClock()


class World:
    """A database and a gateway of its own, the shared topics, at most two workers, and the facts of another process."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.name = f"circuits_{os.getpid()}_{next(_numbers)}"
        self.gateway = GatewayId(self.name)
        self.environment = {
            **os.environ,
            **stack.env,
            "DATABASE_URL": urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{self.name}").geturl(),
            "REDIS_URL": "redis://127.0.0.1:1/",
            "CIRCUIT_CONSUMER_GROUP": self.name,
        }
        self.settings = Settings.from_environment(self.environment)
        self.worker, self.other = self._worker("first"), self._worker("second")
        self.offsets = count(1)

    def _worker(self, name: str) -> Worker:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        environment = {**self.environment, "CIRCUIT_CONSUMER_NAME": name, "CIRCUIT_WRITER_WEB": address}
        return Worker(["streams", "circuit_writer"], environment, address)

    async def open(self) -> None:
        servers = self.settings.kafka_bootstrap_servers
        await make_topics(self.settings)
        await migrate(self.settings.database_url)
        self.database = await Database.connect(self.settings.database_url)
        self.store = PostgresCircuits(self.database)
        self.reader, self.publisher = LogReader(servers), Publisher(servers, ACKNOWLEDGED_WITHIN_MS)
        await self.publisher.start()
        self.messages = KafkaCircuitMessages(self.publisher, _clock)
        self.facts = CircuitFacts()
        self.tail = TopicTail(servers, CIRCUITS_TOPIC, self.facts.take, _clock)
        assert await self.tail.start()

    async def close(self) -> None:
        self.worker.close()
        self.other.close()
        await self.tail.stop()
        await self.publisher.stop()
        await self.reader.stop()
        await self.database.close()

    def key(self, number: int = 0) -> CircuitKey:
        return GatewayId(f"{self.gateway}_{number}"), "UPI"

    def view(self, number: int = 0) -> CircuitView:
        return self.facts.views.get(self.key(number), CircuitView())

    async def pay(self, events: Sequence[Event], payment: int = 1) -> None:
        """Records of one payment's partition."""
        name = f"pay_{payment}"
        envelope = Envelope(
            event_id=_clock.event_id(),
            aggregate_id=name,
            sequence=1,
            at=_clock.now(),
            epoch=1,
            window=ALWAYS,
            correlation_id="req_1",
            causation_id="req_1",
        )
        messages = [(name.encode(), *encode(Outgoing(envelope=envelope, event=event))) for event in events]
        await self.publisher.publish(PAYMENTS_TOPIC, partition_for(name), messages)

    def call(
        self, *, number: int = 0, failed: bool = True, ago_s: float = 0, lease: str | None = None
    ) -> CallObserved:
        gateway, method = self.key(number)
        return CallObserved(
            gateway=gateway,
            payment_method=method,
            attempt_id=started().attempt_id,
            is_failure=failed,
            latency_ms=10,
            at=_clock.now() - timedelta(seconds=ago_s),
            source_partition=0,
            source_offset=next(self.offsets),
            lease=lease,
        )

    def probe(self, lease: str) -> ProbeStarted:
        gateway, method = self.key()
        return ProbeStarted(
            gateway=gateway,
            payment_method=method,
            attempt_id=started().attempt_id,
            lease=lease,
            at=_clock.now(),
            source_partition=0,
            source_offset=next(self.offsets),
        )

    def force(self, number: int = 0) -> ForceOpen:
        gateway, method = self.key(number)
        return ForceOpen(
            gateway=gateway,
            payment_method=method,
            at=_clock.now(),
            by="asha",
            note="maintenance",
            request_id=_clock.event_id(),
        )

    async def becomes(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SETTLES_WITHIN_S):
            while True:
                if holds():
                    return
                await asyncio.sleep(0.005)

    async def reaches_the_end(self) -> None:
        """Every message is in a checkpoint."""
        ends = await self.reader.end_offsets(CIRCUIT_OUTCOMES_TOPIC)
        async with asyncio.timeout(SETTLES_WITHIN_S):
            while True:
                marks = await self.store.watermarks()
                reached = {partition: mark.next_offset for (_, partition), mark in marks.items()}
                if all(reached.get(partition, 0) >= end for partition, end in ends.items()):
                    return
                await asyncio.sleep(0.05)

    async def told(self, number: int = 0) -> list[Recorded[Event]]:
        gateway, method = self.key(number)
        name = circuit_name(gateway, method)
        records = await read_records(self.stack, CIRCUITS_TOPIC)
        return [one for one in records if one.envelope.aggregate_id == name]

    async def once(self, number: int = 0) -> list[Event]:
        """What a reader makes of them that ignores a number it has seen; the same number is the same event."""
        told = await self.told(number)
        by_sequence: dict[int, Recorded[Event]] = {}
        for one in told:
            first = by_sequence.setdefault(one.envelope.sequence, one)
            assert (first.event, first.envelope.event_id) == (one.event, one.envelope.event_id)
        assert list(by_sequence) == list(range(1, len(by_sequence) + 1))
        return [one.event for one in by_sequence.values()]

    async def folded(self, number: int = 0) -> list[CircuitEvent]:
        """What the topic of messages comes to, by the decider alone."""
        gateway, method = self.key(number)
        name = circuit_name(gateway, method)
        records = await read_records(self.stack, CIRCUIT_OUTCOMES_TOPIC)
        ours = [cast(CircuitMessage, one.event) for one in records if one.envelope.aggregate_id == name]
        return fold(ours, new_circuit(gateway, method, POLICY), POLICY)[1]

    async def agrees(self, *numbers: int) -> None:
        """What was told is what a fold of the topic comes to; a tick may come between the two looks."""
        await self.reaches_the_end()
        for number in numbers:
            told, folded = await self.once(number), await self.folded(number)
            for _ in range(120):
                if told == folded:
                    break
                await asyncio.sleep(0.5)
                told, folded = await self.once(number), await self.folded(number)
            assert told == folded
            assert told


async def test_a_gateway_that_breaks_is_avoided_by_another_process(world: World) -> None:
    """How soon, `./dev bench outage` shows."""
    gateway = world.key()[0]
    broken = [attempt_in_doubt(gateway=gateway), attempt_declined(declined(blame="gateway"), gateway=gateway)]
    ours = attempt_declined(declined(blame="caller"), gateway=gateway)
    late = replace(attempt_succeeded(gateway=gateway), verified=True)
    world.worker.start()
    await world.worker.becomes(200)
    await world.pay([attempt_succeeded(gateway=gateway), ours, late])
    await world.reaches_the_end()

    await world.pay([*broken] * 20)
    await world.becomes(lambda: world.view().status == "OPEN")

    await world.agrees(0)
    observed = [
        one.event
        for one in await read_records(world.stack, CIRCUIT_OUTCOMES_TOPIC)
        if isinstance(one.event, CallObserved) and one.event.gateway == gateway
    ]
    assert [one.is_failure for one in observed] == [False, *[True] * 40]


async def test_a_circuit_half_opens_by_ticks_and_closes_by_its_probes(world: World) -> None:
    world.worker.start()
    await world.worker.becomes(200)
    await world.messages.publish([world.call(ago_s=29) for _ in range(40)])
    await world.becomes(lambda: world.view().status == "HALF_OPEN")
    leases = [lease_id(world.view().trial, number) for number in range(1, 5)]
    await world.messages.publish([world.probe(lease) for lease in leases])
    await world.messages.publish([world.call(failed=False, lease=lease) for lease in leases])
    await world.becomes(lambda: world.view().status == "CLOSED")

    await world.agrees(0)
    ticks = [
        one.event
        for one in await read_records(world.stack, CIRCUIT_OUTCOMES_TOPIC)
        if isinstance(one.event, CircuitTicked) and one.event.gateway == world.key()[0]
    ]
    assert 1 <= len(ticks) <= 10  # one a second while nobody has heard of the last


async def test_after_kills_in_the_middle_the_events_are_those_of_a_fold_of_the_topic(world: World) -> None:
    circuits = range(6)
    world.worker.start()
    await world.worker.becomes(200)

    async def tell() -> None:
        for turn in range(60):
            batch = [world.call(number=n, failed=turn % 20 < 15, ago_s=3_600 - 60 * turn) for n in circuits]
            await world.messages.publish(batch)
            if turn % 17 == 16:
                await world.messages.publish([world.force(number=turn % 6)])
            await asyncio.sleep(0.03)

    telling = asyncio.create_task(tell())
    for _ in range(2):
        await asyncio.sleep(0.8)
        world.worker.signal(signal.SIGKILL)
        world.worker.start()
        await world.worker.becomes(200)
    await telling
    await world.agrees(*circuits)
    assert world.worker.signal(signal.SIGTERM) == 0


async def test_what_is_forwarded_again_changes_nothing(world: World) -> None:
    world.worker.start()
    await world.worker.becomes(200)
    few = [world.call() for _ in range(3)]
    for _ in range(20):
        await world.messages.publish(few)
    await world.reaches_the_end()
    assert await world.told() == []
    assert await world.folded() == []


async def test_a_lost_checkpoint_is_made_again_from_the_topic_and_tells_nothing_twice(world: World) -> None:
    world.worker.start()
    await world.worker.becomes(200)
    await world.messages.publish([world.call() for _ in range(40)])
    await world.messages.publish([world.force(number=1)])
    await world.becomes(lambda: world.view(1).status == "FORCED_OPEN")
    await world.reaches_the_end()
    world.worker.signal(signal.SIGTERM)
    told = [await world.told(number) for number in (0, 1)]
    await world.database.fetch("TRUNCATE circuit_checkpoints, circuits, watermarks")

    world.worker.start()
    await world.worker.becomes(200)
    await world.reaches_the_end()
    assert [await world.told(number) for number in (0, 1)] == told
    await world.messages.publish([world.force()])
    await world.becomes(lambda: world.view().status == "FORCED_OPEN")
    assert [one.envelope.sequence for one in await world.told()] == [1, 2]


async def test_an_operators_word_names_the_request_that_it_came_by(world: World) -> None:
    world.worker.start()
    await world.worker.becomes(200)
    await world.messages.publish([world.force()], "req_7")
    await world.becomes(lambda: world.view().status == "FORCED_OPEN")
    (told,) = await world.told()
    assert told.envelope.correlation_id == "req_7"


async def test_without_postgres_a_circuit_opens_in_time_and_a_crash_loses_nothing(world: World) -> None:
    if world.stack.postgres not in world.stack.servers:
        pytest.skip("somebody else's Postgres is not ours to pause")
    world.worker.start()
    await world.worker.becomes(200)
    await world.messages.publish([world.call(failed=False)])
    await world.reaches_the_end()
    world.stack.postgres.pause()
    await world.messages.publish([world.call() for _ in range(40)])
    await world.becomes(lambda: world.view().status == "OPEN")
    await world.worker.becomes(503)
    world.worker.signal(signal.SIGKILL)
    world.stack.postgres.resume()
    world.worker.start()
    await world.agrees(0)


async def test_circuits_move_to_the_worker_that_is_left(world: World) -> None:
    world.worker.start()
    world.other.start()
    await world.worker.becomes(200)
    await world.other.becomes(200)
    circuits = range(12)
    for _ in range(5):
        await world.messages.publish([world.call(number=number) for number in circuits])
    world.other.signal(signal.SIGKILL)
    for _ in range(35):
        await world.messages.publish([world.call(number=number) for number in circuits])
    await world.becomes(lambda: all(world.view(number).status == "OPEN" for number in circuits))
    await world.agrees(*circuits)


async def test_a_process_that_starts_knows_the_views_of_the_store_and_what_came_after(world: World) -> None:
    world.worker.start()
    await world.worker.becomes(200)
    await world.messages.publish([world.force()])
    await world.becomes(lambda: world.view().status == "FORCED_OPEN")
    await world.reaches_the_end()
    world.worker.signal(signal.SIGTERM)
    _, next_offset = await world.store.views()
    assert next_offset == world.tail.next_offset
    facts = CircuitFacts()
    async with tailed_circuits(world.settings, _clock, world.store, facts) as tail:
        assert facts.known == world.facts.known
        assert (tail.is_current, tail.next_offset) == (True, next_offset)
