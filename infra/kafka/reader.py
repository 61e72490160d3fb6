"""Reads ranges of a partition by offset, outside any consumer group. Every read is bounded in time and in records."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import LogUnavailable, NoSuchTopic

LEAST_FETCH_BYTES, MOST_FETCH_BYTES = 8_192, 262_144
RECORD_BYTES = 1_536
"""More than one of ours mostly has, headers included."""

Record = Any  # aiokafka, which has no types, calls it ConsumerRecord


class LogReader:
    """A few consumers taken in turn; one that failed or was interrupted is closed and replaced by the next reader."""

    def __init__(self, bootstrap_servers: str, readers: int = 4) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._idle: list[AIOKafkaConsumer] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(readers)

    async def start(self) -> None:
        """Nothing is opened before the first read."""

    async def stop(self) -> None:
        while self._idle:
            await _close(self._idle.pop())

    async def read(
        self, topic: str, partition: int, start: int, stop: int, timeout_s: float = 2.0
    ) -> list[Record]:
        """The records of offsets [start, stop), all of them.

        Raises LogUnavailable when the broker does not answer, or the range is not (or no longer) on the log.
        """
        records: list[Record] = []
        here = TopicPartition(topic, partition)
        async with self._consumer(timeout_s) as consumer:
            # What was fetched and not taken stays in a reference cycle of aiokafka's until the next garbage collection:
            # a quarter of a megabyte for five records is 200 MiB behind a backlog. There is no public way.
            consumer._fetcher._max_partition_fetch_bytes = fetch_bytes(stop - start)
            consumer.assign([here])
            consumer.seek(here, start)
            while start < stop:
                for record in (await consumer.getmany(here, timeout_ms=200, max_records=stop - start)).get(
                    here, []
                ):
                    if record.offset != start:
                        raise LogUnavailable(f"{topic}-{partition}: offset {start} is not on the log")
                    records.append(record)
                    start += 1
            consumer.pause(here)  # or it would fetch on; unsubscribing ends its fetcher for good
        return records

    async def end_offset(self, topic: str, partition: int, timeout_s: float = 2.0) -> int:
        here = TopicPartition(topic, partition)
        async with self._consumer(timeout_s) as consumer:
            return int((await consumer.end_offsets([here]))[here])

    async def offset_at(self, topic: str, partition: int, stamp_ms: int, timeout_s: float = 2.0) -> int:
        """Of the first record stamped then or later; the end where there is none."""
        here = TopicPartition(topic, partition)
        async with self._consumer(timeout_s) as consumer:
            found = (await consumer.offsets_for_times({here: max(0, stamp_ms)}))[here]
            return int(found.offset if found else (await consumer.end_offsets([here]))[here])

    async def beginning_offset(self, topic: str, partition: int, timeout_s: float = 2.0) -> int:
        """The first that is still on the log."""
        here = TopicPartition(topic, partition)
        async with self._consumer(timeout_s) as consumer:
            return int((await consumer.beginning_offsets([here]))[here])

    async def end_offsets(self, topic: str, timeout_s: float = 2.0) -> dict[int, int]:
        """The next offset of every partition of the topic. Raises LogUnavailable, and NoSuchTopic."""
        async with self._consumer(timeout_s) as consumer:
            # The public way knows only the topics that this consumer has read.
            cluster = await consumer._client.fetch_all_metadata()
            partitions = [TopicPartition(topic, p) for p in cluster.partitions_for_topic(topic) or ()]
            if not partitions:
                raise NoSuchTopic(f"there is no {topic}; `python -m infra.kafka topics` makes it")
            return {here.partition: end for here, end in (await consumer.end_offsets(partitions)).items()}

    @asynccontextmanager
    async def _consumer(self, timeout_s: float) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = None
        try:
            async with asyncio.timeout(timeout_s), self._turns:
                consumer = self._idle.pop() if self._idle else await self._open()
                yield consumer
                self._idle.append(consumer)
                consumer = None
        except (TimeoutError, KafkaError, OSError) as error:
            raise LogUnavailable(f"no read from the log: {type(error).__name__}") from error
        finally:
            if consumer is not None:
                closing = asyncio.create_task(_close(consumer))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    async def _open(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            # What is read is there. A wait for what comes after it would hold up the next read.
            fetch_max_wait_ms=1,
            request_timeout_ms=5000,
            retry_backoff_ms=50,
        )
        try:
            await consumer.start()
        except BaseException:
            await _close(consumer)
            raise
        return consumer


def fetch_bytes(records: int) -> int:
    """How much is fetched at a time for so many records; the broker gives a whole batch at least."""
    return max(LEAST_FETCH_BYTES, min(records * RECORD_BYTES, MOST_FETCH_BYTES))


async def _close(consumer: AIOKafkaConsumer) -> None:
    try:
        async with asyncio.timeout(3):
            await consumer.stop()
    except (TimeoutError, KafkaError, OSError):
        return
