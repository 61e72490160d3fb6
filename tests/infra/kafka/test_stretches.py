"""What a replay reads is what anybody reads, though its records are made below aiokafka's public ways."""

from contextlib import aclosing

import pytest

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Message, Publisher
from infra.kafka.reader import LogReader
from infra.kafka.stretches import RECORDS_AT_ONCE, Record, stretch
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.settings import Settings
from schemas.codec import PAYMENTS_TOPIC
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration


async def test_a_stretch_has_the_very_records_that_a_read_of_its_offsets_has(stack: Stack) -> None:
    """From within an answer of the broker to within another, over more of them than are asked for at once."""
    settings = Settings.from_environment(stack.env)
    await make_topics(settings)
    payment = SystemClock().payment_id()
    here = PAYMENTS_TOPIC, partition_for(payment)
    publisher = Publisher(settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
    await publisher.start()
    messages: list[Message] = [
        (payment.encode(), b"%d" % number, [("one", b"%d" % number), ("empty", b"")])
        for number in range(2 * RECORDS_AT_ONCE + 20)
    ]
    await publisher.publish(*here, messages)
    await publisher.stop()
    reader = LogReader(settings.kafka_bootstrap_servers)
    end = await reader.end_offset(*here)
    start, stop = end - len(messages) + 5, end - 5
    expected = await reader.read(*here, start, stop)
    await reader.stop()
    found: list[Record] = []
    async with aclosing(stretch(settings.kafka_bootstrap_servers, *here, start, stop)) as batches:
        async for records in batches:
            found.extend(records)
    assert [type(record) for record in found] == [Record] * (stop - start)
    assert found == [
        Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, list(one.headers))
        for one in expected
    ]
