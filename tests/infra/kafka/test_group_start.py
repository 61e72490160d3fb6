"""A group that has never read a topic, or not for long, begins where it is told to, and any other goes on."""

import asyncio
import os

import pytest
from aiokafka import AIOKafkaConsumer

from infra.clock import SystemClock
from infra.kafka.group_start import begin_at
from infra.kafka.lag import GroupOffsets
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.settings import Settings
from schemas.codec import NOTIFICATIONS_TOPIC as TOPIC
from schemas.errors import LogUnavailable
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

_clock = SystemClock()


def now_ms() -> int:
    return round(_clock.now().timestamp() * 1000)


@pytest.mark.integration
async def test_a_group_begins_at_a_moment_and_is_moved_forward_to_it_but_never_back_nor_under_its_members(
    stack: Stack,
) -> None:
    settings = Settings.from_environment(stack.env)
    await make_topics(settings)
    servers, group = settings.kafka_bootstrap_servers, f"begins_{os.getpid()}"
    publisher, reader, groups = (
        Publisher(servers, ACKNOWLEDGED_WITHIN_MS),
        LogReader(servers),
        GroupOffsets(servers),
    )
    await publisher.start()

    async def tell() -> int:
        return int((await publisher.publish(TOPIC, 3, [(b"k", b"{", [])]))[0].offset)

    await tell()
    await asyncio.sleep(0.05)
    moment_ms = now_ms()
    await asyncio.sleep(0.05)
    first = await tell()
    second = await tell()
    await begin_at(servers, group, TOPIC, moment_ms)
    offsets = await groups.offsets(group)
    ends = await reader.end_offsets(TOPIC)
    assert offsets[TOPIC, 3] == first
    assert {place: offset for place, offset in offsets.items() if place != (TOPIC, 3)} == {
        (TOPIC, partition): end for partition, end in ends.items() if partition != 3
    }

    await begin_at(servers, group, TOPIC, moment_ms - 60_000)
    assert await groups.offsets(group) == offsets

    member = AIOKafkaConsumer(TOPIC, bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
    await member.start()
    await begin_at(servers, group, TOPIC, now_ms() + 1_000)
    assert await groups.offsets(group) == offsets
    await member.stop()

    await begin_at(servers, group, TOPIC, now_ms() + 1_000)
    assert await groups.offsets(group) == {**offsets, (TOPIC, 3): second + 1}
    await groups.stop()
    await reader.stop()
    await publisher.stop()


async def test_a_log_that_is_away_is_named() -> None:
    with pytest.raises(LogUnavailable):
        await begin_at("127.0.0.1:1", "a_group", TOPIC, 0)
