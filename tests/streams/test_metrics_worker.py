"""The worker as it runs: a process of its own, killed and cut off, against a real log and real stores."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from urllib.parse import urlsplit

import msgspec
import pytest

from infra.clock import SystemClock
from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.producer import Message, Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import DEAD_LETTERS_TOPIC, Topic, make_topics
from infra.local.ports import free_ports
from infra.local.stack import Stack
from infra.postgres.migrate import migrate
from infra.redis.connection import connect
from infra.redis.publications import PublishedMetrics
from infra.redis.shards import RedisShards
from infra.settings import Settings
from projections.figures import window_figures
from projections.hot_metrics import fold
from projections.merge import Merge
from projections.shard import Shard
from schemas.base import Event
from schemas.codec import RELIABILITY_TOPIC
from schemas.envelope import Recorded
from schemas.metrics import BUCKET_S, SNAPSHOT_KEY, Cell, GatewayFigures, RoutingSnapshot, StoredShard
from schemas.outcome import Outcome
from schemas.reliability import SuccessRateDropEnded, SuccessRateDropped
from schemas.views import Watermark
from tests.product import read_records
from tests.projections.outcomes import DOUBT, LONG, SUCCESS, UNREACHED, decline, told
from tests.projections.story import paid, raw, recorded, renamed, requested, routed
from tests.streams.worker import Worker
from tests.waiting import ACKNOWLEDGED_WITHIN_MS, until

pytestmark = pytest.mark.integration

CATCHES_UP_WITHIN_S = 120
AT_ONCE = 100
"""Payments that are told at a time: making their records must not keep the loop for long."""
SAID = [SUCCESS, SUCCESS, decline("customer"), decline("gateway", "gateway_error"), UNREACHED, DOUBT]
_numbers = count(1)
_clock = SystemClock()


class World:
    """A topic, a database of Postgres and one of Redis of its own, and at most one worker."""

    def __init__(self, stack: Stack) -> None:
        number = next(_numbers)
        name, address = f"metrics-{os.getpid()}-{number}", f"127.0.0.1:{free_ports(1)[0]}"
        self.stack, self.topic = stack, name
        self.environment = {
            **os.environ,
            **stack.env,
            "DATABASE_URL": urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}").geturl(),
            "REDIS_URL": f"{stack.env['REDIS_URL'].rstrip('/')}/{number}",
            "METRICS_STREAM_KEY": name,
            "METRICS_STREAM_GROUP": name,
            "METRICS_CONSUMER_NAME": name,
            "METRICS_WORKER_WEB": address,
        }
        self.settings = Settings.from_environment(self.environment)
        self.worker = Worker(["streams", "metrics_worker"], self.environment, address)

    async def open(self) -> None:
        servers = self.settings.kafka_bootstrap_servers
        topics = [
            Topic(self.topic, PAYMENT_PARTITIONS),
            Topic(RELIABILITY_TOPIC, 1),
            Topic(DEAD_LETTERS_TOPIC, 1),
        ]
        await make_topics(self.settings, topics)
        await migrate(self.settings.database_url)
        self.redis = connect(self.settings.redis_url, timeout_s=10)
        self.shards = RedisShards(self.redis, self.topic, PAYMENT_PARTITIONS)
        self.reader = LogReader(servers)
        self.publisher = Publisher(servers, ACKNOWLEDGED_WITHIN_MS)
        await self.publisher.start()

    async def close(self) -> None:
        self.worker.close()
        await self.publisher.stop()
        await self.reader.stop()
        await self.redis.aclose()

    async def tell(self, payments: int) -> None:
        """Some of which are corrected, half of them by what was learned of the doubt."""
        for first in range(0, payments, AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for number in range(first, min(first + AT_ONCE, payments)):
                    group.create_task(self._tell(number))

    async def _tell(self, number: int) -> None:
        payment, said = _clock.payment_id(), SAID[number % len(SAID)]
        at = _clock.now() - timedelta(seconds=number % 900)
        issuer = f"bank{number % 7}"
        events = [
            requested(),
            routed(),
            told(said, gateway="alpha" if number % 3 else "beta", at=at, issuer=issuer),
        ]
        if said is DOUBT and number % 2:
            gateway = "alpha" if number % 3 else "beta"
            events.append(
                told(SUCCESS, gateway=gateway, at=at, issuer=issuer, instead_of=DOUBT, verified=True)
            )
        events.append(paid())
        records = [
            raw(recorded(renamed(event, payment), offset, payment=payment, window=LONG))
            for offset, event in enumerate(events)
        ]
        messages: list[Message] = [(one.key, one.value or b"", list(one.headers)) for one in records]
        await self.publisher.publish(self.topic, partition_for(payment), messages)

    async def tell_of(
        self, outcome: Outcome, times: int, at: datetime, instead_of: Outcome | None = None
    ) -> None:
        """So many outcomes of one gateway of this world's own."""
        event = told(
            outcome, gateway=self.topic, at=at, instead_of=instead_of, verified=instead_of is not None
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(times):
                payment = _clock.payment_id()
                one = raw(recorded(renamed(event, payment), 0, payment=payment, window=LONG))
                message: Message = (one.key, one.value or b"", list(one.headers))
                group.create_task(self.publisher.publish(self.topic, partition_for(payment), [message]))

    async def alarms(self) -> list[Recorded[Event]]:
        records = await read_records(self.stack, RELIABILITY_TOPIC)
        return [record for record in records if record.envelope.aggregate_id == f"{self.topic}:UPI"]

    async def are_told(self, how_many: int) -> list[Recorded[Event]]:
        async with asyncio.timeout(CATCHES_UP_WITHIN_S):
            while True:
                if len(found := await self.alarms()) >= how_many:
                    return found
                await asyncio.sleep(0.5)

    async def folded(self) -> dict[int, Shard]:
        shards = {}
        for partition, end in (await self.reader.end_offsets(self.topic)).items():
            nothing = StoredShard(Watermark(next_offset=0, last_stamp_ms=0), {})
            shards[partition] = Shard(partition, nothing)
            fold(shards[partition], await self.reader.read(self.topic, partition, 0, end, timeout_s=30))
        return shards

    async def reaches_the_end(self) -> None:
        ends = await self.reader.end_offsets(self.topic)
        async with asyncio.timeout(CATCHES_UP_WITHIN_S):
            while True:
                marks = await self.shards.watermarks()
                reached = {partition: mark.next_offset for (_, partition), mark in marks.items()}
                if all(reached.get(partition, 0) >= end for partition, end in ends.items()):
                    return
                await asyncio.sleep(0.05)

    async def redis_equals_a_fold_of_the_log(self) -> None:
        for partition, shard in (await self.folded()).items():
            stored = await self.shards.load(partition)
            assert stored is not None
            assert stored.watermark == shard.watermark
            assert _filled(stored.buckets) == _filled(shard.buckets)

    async def what_is_published_equals_a_fold_of_the_log(self) -> None:
        """When the next has been published: what is there now may be of before."""
        published = PublishedMetrics(self.redis, _clock.elapsed_ms)
        shards = await self.folded()
        newest = datetime.now(UTC)

        async def is_published() -> bool:
            content = await self.redis.get(SNAPSHOT_KEY)
            return bool(content) and msgspec.msgpack.decode(content, type=RoutingSnapshot).as_of > newest

        await until(is_published)
        for gateway in ("alpha", "beta"):
            figures, last = await published.figures(gateway)
            assert figures is not None
            assert last is not None
            shown = msgspec.json.decode(figures, type=GatewayFigures)
            merge = Merge(int(shown.as_of.timestamp()) // BUCKET_S)
            for partition, shard in shards.items():
                merge.replace(partition, shard.buckets)
            while merge.settle():
                pass
            sums = merge.windows.sums(Cell(gateway, "UPI", "method", ""))
            assert shown.methods["UPI"].windows == shown.total == window_figures(sums)
            assert shown.total["60m"].attempts > 0
        snapshot = msgspec.msgpack.decode(await self.redis.get(SNAPSHOT_KEY), type=RoutingSnapshot)
        assert {cell.gateway for cell in snapshot.cells} == {"alpha", "beta"}


def _filled(buckets: Mapping[int, Mapping[Cell, Mapping[str, int]]]) -> object:
    return {bucket: cells for bucket, cells in buckets.items() if cells}


@pytest.fixture
def opened(stack: Stack) -> Iterator[World]:
    world = World(stack)
    yield world
    stack.redis.resume()
    stack.postgres.resume()


@pytest.fixture
async def world(opened: World) -> AsyncIterator[World]:
    await opened.open()
    yield opened
    await opened.close()


async def test_what_is_stored_and_published_equals_a_fold_of_the_log(world: World) -> None:
    await world.tell(600)
    world.worker.start()
    await world.worker.becomes(200)
    await world.tell(300)
    await world.reaches_the_end()
    await world.redis_equals_a_fold_of_the_log()
    await world.what_is_published_equals_a_fold_of_the_log()


async def test_a_worker_that_is_killed_in_the_middle_counts_nothing_twice_and_loses_nothing(
    world: World,
) -> None:
    world.worker.start()
    telling = asyncio.create_task(world.tell(2_000))
    async with asyncio.timeout(CATCHES_UP_WITHIN_S):
        while not await world.shards.watermarks():  # noqa: ASYNC110  # another process moves it
            await asyncio.sleep(0.02)
    world.worker.signal(signal.SIGKILL)
    await telling
    world.worker.start()
    await world.reaches_the_end()
    await world.redis_equals_a_fold_of_the_log()
    assert world.worker.signal(signal.SIGTERM) == 0


async def test_a_redis_that_forgets_everything_in_the_middle_has_it_again_by_itself(world: World) -> None:
    world.worker.start()
    await world.tell(300)
    await world.reaches_the_end()
    telling = asyncio.create_task(world.tell(1_000))
    await asyncio.sleep(0.2)
    await world.redis.flushdb()
    await telling
    await world.reaches_the_end()
    await world.redis_equals_a_fold_of_the_log()

    await world.redis.flushdb()  # and nothing is appended any more
    await world.reaches_the_end()
    await world.redis_equals_a_fold_of_the_log()
    await world.what_is_published_equals_a_fold_of_the_log()


async def test_with_redis_and_the_worker_lost_the_figures_come_back_whatever_the_group_has_committed(
    world: World,
) -> None:
    world.worker.start()
    await world.tell(300)
    await world.reaches_the_end()
    assert world.worker.signal(signal.SIGTERM) == 0
    await world.redis.flushdb()
    world.worker.start()
    await world.reaches_the_end()
    await world.redis_equals_a_fold_of_the_log()


async def test_a_poisonous_record_is_a_dead_letter_and_those_behind_it_are_counted(world: World) -> None:
    before = await world.reader.end_offset(DEAD_LETTERS_TOPIC, 0)
    (good,) = [raw(recorded(told(SUCCESS, at=_clock.now()), window=LONG))]
    poison: list[Message] = [(None, b"", []), (good.key, b"{", list(good.headers)), (b"key", b"null", [])]
    await world.publisher.publish(world.topic, 0, poison)
    world.worker.start()
    await world.tell(100)
    await world.reaches_the_end()
    await world.redis_equals_a_fold_of_the_log()
    after = await world.reader.end_offset(DEAD_LETTERS_TOPIC, 0)
    letters = await world.reader.read(DEAD_LETTERS_TOPIC, 0, before, after)
    ours = ("dl_reader", world.settings.metrics_stream_group.encode())
    assert sum(ours in letter.headers for letter in letters) >= len(poison)


async def test_a_redis_that_does_not_answer_makes_the_worker_wait_and_lose_nothing(world: World) -> None:
    if world.stack.redis not in world.stack.servers:
        pytest.skip("somebody else's Redis is not ours to pause")
    world.worker.start()
    await world.tell(200)
    await world.reaches_the_end()
    world.stack.redis.pause()
    await world.tell(200)
    await world.worker.becomes(503)
    world.stack.redis.resume()
    await world.reaches_the_end()
    await world.redis_equals_a_fold_of_the_log()
    await world.worker.becomes(200)


async def test_a_postgres_that_does_not_answer_stops_nothing(world: World) -> None:
    if world.stack.postgres not in world.stack.servers:
        pytest.skip("somebody else's Postgres is not ours to pause")
    world.worker.start()
    await world.tell(100)
    await world.reaches_the_end()
    world.stack.postgres.pause()
    await asyncio.sleep(6)  # a checkpoint is due
    await world.tell(100)
    await world.reaches_the_end()
    await world.redis_equals_a_fold_of_the_log()


async def test_a_gateway_that_fails_is_told_once_though_the_worker_is_killed_and_its_recovery_too(
    world: World,
) -> None:
    now = _clock.now()
    await world.tell_of(SUCCESS, 200, now - timedelta(minutes=10))
    await world.tell_of(DOUBT, 30, now)
    world.worker.start()
    (record,) = await world.are_told(1)
    assert isinstance(record.event, SuccessRateDropped)
    assert (record.event.episode, record.event.rate, record.event.usual_rate) == (1, 0.0, 1.0)
    assert record.event.outcomes == 30

    world.worker.signal(signal.SIGKILL)
    world.worker.start()
    await world.worker.becomes(200)
    await world.tell_of(SUCCESS, 30, now, instead_of=DOUBT)
    drop, end = await world.are_told(2)
    assert drop.envelope.event_id == record.envelope.event_id
    assert isinstance(end.event, SuccessRateDropEnded)
    assert (end.event.episode, end.event.because, end.event.rate) == (1, "recovered", 1.0)
