"""Several topics followed from given offsets on, without end: for somebody who watches."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import LogUnavailable

Record = Any  # aiokafka, which has no types, calls it ConsumerRecord
Place = tuple[str, int]
"""Topic and partition."""


async def follow(bootstrap_servers: str, starts: Mapping[Place, int]) -> AsyncGenerator[list[Record], None]:
    """What comes, as it comes; in the order of offsets within a partition. Raises LogUnavailable at the start only:
    a broker that is away later is waited for."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=200,
        request_timeout_ms=10_000,
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise LogUnavailable(f"no broker answers: {type(error).__name__}") from error
    try:
        consumer.assign([TopicPartition(*place) for place in starts])
        for place, offset in starts.items():
            consumer.seek(TopicPartition(*place), offset)
        while True:
            found = await consumer.getmany(timeout_ms=1_000)
            records = [record for batch in found.values() for record in batch]
            yield sorted(
                records, key=lambda record: (record.timestamp, record.topic, record.partition, record.offset)
            )
    finally:
        await consumer.stop()
