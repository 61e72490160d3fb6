"""Faust brings records by the bundle: all of them, in order, and none again once they are acknowledged."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faust.contrib.asgi import faust_app_running
from faust.types import TP

from infra.kafka.lag import GroupOffsets
from infra.local.stack import Stack
from projections.ports import RawRecord
from schemas.errors import StoreUnavailable
from streams.agent import Patience, add_agent
from streams.app import BUNDLE_MAX, STOP_WITHIN_S, make_app

pytestmark = pytest.mark.integration

PARTITIONS = 3
COMES_WITHIN_S = 120
_numbers = count(1)


class Log:
    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.topic = f"bundles-{next(_numbers)}"
        self.group = f"{self.topic}-group"
        self.appended = [0] * PARTITIONS

    async def make(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])
        finally:
            await admin.close()

    async def append(self, records: int) -> None:
        """So many to the first partition, half of it to the second, nothing to the third."""
        async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
            for partition, number in enumerate((records, records // 2, 0)):
                for value in range(self.appended[partition], self.appended[partition] + number):
                    await producer.send(self.topic, b"%d" % value, partition=partition)
                self.appended[partition] += number

    @asynccontextmanager
    async def taken_in(self, absorb: Callable[[Sequence[RawRecord]], Awaitable[None]]) -> Any:
        app = make_app(self.servers, self.group, f"{self.group}-worker")
        add_agent(app, self.topic, Patience(absorb))
        async with faust_app_running(app, stop_timeout=STOP_WITHIN_S):
            yield app

    async def committed(self) -> list[int]:
        offsets = GroupOffsets(self.servers)
        try:
            found = await offsets.offsets(self.group)
        finally:
            await offsets.stop()
        return [found.get((self.topic, partition), 0) for partition in range(PARTITIONS)]


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(COMES_WITHIN_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.1)


class Taken:
    """What was taken in by partition; the first attempts fail, as when a store is away."""

    def __init__(self, failures: int = 0) -> None:
        self.values: dict[int, list[int]] = defaultdict(list)
        self.largest = 0
        self._failures = failures

    async def absorb(self, records: Sequence[RawRecord]) -> None:
        if self._failures:
            self._failures -= 1
            raise StoreUnavailable("away")
        self.largest = max(self.largest, len(records))
        for record in records:
            self.values[record.partition].append(int(record.value or b""))

    async def holds(self, log: Log) -> bool:
        return sum(map(len, self.values.values())) >= sum(log.appended)


async def test_every_record_is_brought_once_in_its_partitions_order_and_acknowledged(stack: Stack) -> None:
    log, taken = Log(stack.env["KAFKA_BOOTSTRAP_SERVERS"]), Taken(failures=2)
    await log.make()
    await log.append(3_000)
    async with log.taken_in(taken.absorb):
        await eventually(lambda: taken.holds(log))
        for _ in range(5):
            await log.append(2)
        await eventually(lambda: taken.holds(log))
        await eventually(lambda: _are(log.committed, log.appended))
    assert taken.values == {p: list(range(n)) for p, n in enumerate(log.appended) if n}
    assert 1 < taken.largest <= BUNDLE_MAX


async def test_a_worker_goes_on_where_the_one_before_it_has_acknowledged(stack: Stack) -> None:
    log, before, after = Log(stack.env["KAFKA_BOOTSTRAP_SERVERS"]), Taken(), Taken()
    await log.make()
    await log.append(40)
    async with log.taken_in(before.absorb):
        await eventually(lambda: before.holds(log))
        await eventually(lambda: _are(log.committed, log.appended))
    known = list(log.appended)
    await log.append(10)
    async with log.taken_in(after.absorb):
        await eventually(lambda: _are(log.committed, log.appended))
    assert after.values == {p: list(range(known[p], n)) for p, n in enumerate(log.appended) if n}


async def test_what_was_not_taken_in_is_not_acknowledged(stack: Stack) -> None:
    log, never, later = Log(stack.env["KAFKA_BOOTSTRAP_SERVERS"]), Taken(failures=1_000_000), Taken()
    await log.make()
    await log.append(40)
    tried = asyncio.Event()

    async def absorb(records: Sequence[RawRecord]) -> None:
        tried.set()
        await never.absorb(records)

    async with log.taken_in(absorb):
        async with asyncio.timeout(COMES_WITHIN_S):
            await tried.wait()
    assert await log.committed() == [0] * PARTITIONS
    async with log.taken_in(later.absorb):
        await eventually(lambda: later.holds(log))
    assert later.values == {p: list(range(n)) for p, n in enumerate(log.appended) if n}


async def test_what_a_rebalance_drops_comes_again_also_where_nothing_was_committed(stack: Stack) -> None:
    log, taken = Log(stack.env["KAFKA_BOOTSTRAP_SERVERS"]), Taken()
    await log.make()
    await log.append(2)
    held, back = asyncio.Event(), asyncio.Event()

    async def absorb(records: Sequence[RawRecord]) -> None:
        held.set()
        await back.wait()
        await taken.absorb(records)

    async with log.taken_in(absorb) as app:
        async with asyncio.timeout(COMES_WITHIN_S):
            await held.wait()
        await log.append(20)
        await eventually(lambda: _are(lambda: _fetched(app, log), log.appended))
        app.flow_control.clear()  # what waits for the agent; then Faust seeks, before records flow again
        await app.consumer.perform_seek()
        back.set()
        await eventually(lambda: _are(log.committed, log.appended))
    assert {p: sorted(set(values)) for p, values in taken.values.items()} == {
        p: list(range(n)) for p, n in enumerate(log.appended) if n
    }


async def _fetched(app: faust.App, log: Log) -> list[int]:
    return [await app.consumer.position(TP(log.topic, partition)) or 0 for partition in range(PARTITIONS)]


async def _are(asked: Callable[[], Awaitable[list[int]]], wanted: list[int]) -> bool:
    return await asked() == wanted
