"""Where a group begins to which the past tells nothing: it has never read a topic, or was away for a weekend."""

import asyncio
from contextlib import suppress

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError

from schemas.errors import LogUnavailable

log = structlog.get_logger(__name__)

_TIMEOUT_S = 10.0


async def begin_at(bootstrap_servers: str, group: str, topic: str, stamp_ms: int) -> None:
    """Commit the first offset stamped from then on, where the group has committed nothing or what lies before it.

    To be called before the group's workers read: a broker takes such a commit only while the group has no members. One
    that has is read on by them, and is left as it is. Raises LogUnavailable.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False, request_timeout_ms=5000
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await consumer.start()
            await _begin(consumer, topic, stamp_ms)
    except (TimeoutError, KafkaError, OSError) as error:
        raise LogUnavailable(f"the group {group} has no beginning: {type(error).__name__}") from error
    finally:
        with suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(3):
                await consumer.stop()


async def _begin(consumer: AIOKafkaConsumer, topic: str, stamp_ms: int) -> None:
    cluster = await consumer._client.fetch_all_metadata()  # the public way knows only what was read before
    places = [TopicPartition(topic, partition) for partition in cluster.partitions_for_topic(topic) or ()]
    consumer.assign(places)
    ends = await consumer.end_offsets(places)  # first: what is appended meanwhile is found by its time
    found = await consumer.offsets_for_times(dict.fromkeys(places, stamp_ms))
    begins = {place: found[place].offset if found.get(place) else ends[place] for place in places}
    committed = {place: await consumer.committed(place) for place in places}
    moved = {place: begin for place, begin in begins.items() if _is_before(committed[place], begin)}
    try:
        if moved:
            await consumer.commit(moved)
    except CommitFailedError:
        if any(committed[place] is None for place in moved):
            raise
        log.info("the group has members, who read on", topic=topic)


def _is_before(committed: int | None, begin: int) -> bool:
    return committed is None or committed < begin
