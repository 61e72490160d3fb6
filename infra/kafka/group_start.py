"""Where a group begins that has never read a topic, when its beginning would be years ago."""

import asyncio
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import LogUnavailable

_TIMEOUT_S = 10.0


async def begin_at(bootstrap_servers: str, group: str, topic: str, stamp_ms: int) -> None:
    """Commit, for partitions where the group has committed nothing, the first offset stamped from then on.

    To be called before the group's workers read: a broker takes such a commit only while the group has no members.
    Raises LogUnavailable.
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
    new = [place for place in places if await consumer.committed(place) is None]
    if not new:
        return
    found = await consumer.offsets_for_times(dict.fromkeys(new, stamp_ms))
    ends = await consumer.end_offsets(new)
    await consumer.commit({place: found[place].offset if found.get(place) else ends[place] for place in new})
