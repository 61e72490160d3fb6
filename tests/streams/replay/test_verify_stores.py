"""Stores that hold what their topics say are found to, and what is wrong in them is named."""

import os
from contextlib import suppress
from itertools import count
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.memory.metrics import MemoryMetricsCheckpoints
from infra.memory.projections import MemoryDeadLetters
from infra.postgres.circuits import PostgresCircuits
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.redis.connection import connect
from infra.redis.shards import RedisShards
from infra.settings import Settings
from projections.circuit_facts import CircuitFacts
from projections.hot_metrics import HotMetrics
from schemas.circuit import CircuitView
from schemas.codec import CIRCUITS_TOPIC, decode, encode
from schemas.envelope import Outgoing, Position, unowned
from schemas.errors import Unreadable
from schemas.metrics import Changes
from streams.replay.verify_stores import Compared, compared, verify_circuits, verify_metrics
from tests.bench.history import messages_of
from tests.projections.outcomes import SUCCESS, told
from tests.projections.story import new_payment_id
from tests.projections.test_circuit_facts import OPENED
from tests.streams.replay.world import World
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

_numbers = count(1)


def test_what_only_one_side_has_differs_and_so_does_what_both_have_otherwise() -> None:
    found = compared({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "d": 1})
    assert (found.entries, [one.name for one in found.named]) == (4, ["b", "c", "d"])


@pytest.mark.integration
async def test_tallies_are_what_the_log_says_until_one_is_changed(stack: Stack) -> None:
    world = World(stack.env, partitions=12)
    await world.open()
    clock = SystemClock()
    for partition in (0, 5):
        events = [told(SUCCESS, at=clock.now(), latency_ms=ms) for ms in (90, 120)]
        await world.publish(messages_of(new_payment_id(partition), events), partition)
    settings = Settings.from_environment({**stack.env, "METRICS_STREAM_KEY": world.topic})
    redis, reader = connect(settings.redis_url), LogReader(settings.kafka_bootstrap_servers)
    shards = RedisShards(redis, world.topic, 12)
    hot = HotMetrics(
        world.topic, shards, MemoryMetricsCheckpoints(), reader, MemoryDeadLetters(), clock.now_ms
    )
    for partition in (0, 5):
        await hot.tend(partition)
    assert (await verify_metrics(settings)) == Compared(entries=4, differences=0, named=())
    stored = await shards.load(5)
    assert stored is not None
    ((bucket, cells),) = stored.buckets.items()
    wrong = {cell: {"succeeded": 7} for cell in list(cells)[:1]}
    mark = stored.watermark
    await shards.store(5, mark.next_offset, mark, Changes({bucket: wrong}, frozenset()))
    found = await verify_metrics(settings)
    assert (found.differences, found.named[0].stored) == (1, {"succeeded": 7})
    await reader.stop()
    await redis.aclose()


@pytest.mark.integration
async def test_views_of_circuits_are_what_the_log_says_until_one_is_changed(stack: Stack) -> None:
    name = f"circuits_{os.getpid()}_{next(_numbers)}"
    url = str(urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}").geturl())
    settings = Settings.from_environment({**stack.env, "DATABASE_URL": url})
    await make_topics(settings)
    await migrate(url)
    publisher, reader = (
        Publisher(settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS),
        LogReader(settings.kafka_bootstrap_servers),
    )
    await publisher.start()
    envelope = unowned("evt_1", "alpha:UPI", OPENED.at, sequence=1_000_000)
    value, headers = encode(Outgoing(envelope=envelope, event=OPENED))
    await publisher.publish(CIRCUITS_TOPIC, 0, [(b"alpha:UPI", value, headers), (b"junk", b"{", [])])
    await publisher.stop()
    facts, end = CircuitFacts(), await reader.end_offset(CIRCUITS_TOPIC, 0)
    for record in await reader.read(CIRCUITS_TOPIC, 0, 0, end):
        position = Position(topic=CIRCUITS_TOPIC, partition=0, offset=record.offset)
        with suppress(Unreadable):
            facts.take(decode(record.value, record.headers, position, record.timestamp))
    await reader.stop()

    database = await Database.connect(url)
    circuits = PostgresCircuits(database)
    await circuits.save_views(facts.known, end - 1)
    assert (await verify_circuits(settings)).agrees
    key = (OPENED.gateway, OPENED.payment_method)
    await circuits.save_views({key: replace(facts.known[key], view=CircuitView())}, end)
    await database.close()
    found = await verify_circuits(settings)
    assert [one.name for one in found.named] == ["alpha:UPI"]
