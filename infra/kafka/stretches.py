"""A long stretch of a partition, in the order of its offsets and to an end that is fixed: what a replay reads.

Unlike `reader.py` it is not bounded in time as a whole: it goes on as long as records come.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from msgspec import Struct

from schemas.errors import LogBroken, LogUnavailable

FETCH_BYTES = 2**20
"""Of one answer: some eight hundred records of ours. Four times as much costs a third more of a core for each record,
since what has come of an answer is copied as it grows; less costs more answers."""
RECORDS_AT_ONCE = 100
"""An answer is read as far as it is asked for: so few records stay in a core's cache until they are folded."""
SILENT_S = 30.0
"""A broker that has records and brings none for so long is away."""
_STOP_TIMEOUT_S = 3.0


class Record(Struct, frozen=True, gc=False, array_like=True):
    """As it lies on its topic, or lay there before it was exported, with the broker's stamp: what was void stays void.

    What of aiokafka's own is of use: a raw read with these takes a sixth less of a core.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, Any]]
    """Bytes; None where somebody sent a header without any."""


class _Answers(dict[TopicPartition, Any]):
    """What was fetched and not yet asked for, where aiokafka keeps it: its records become ours when they are.

    There is no public way. Whatever else it does for each answer (checksums, the marks of transactions, positions) it
    does as ever.
    """

    def __setitem__(self, here: TopicPartition, answer: Any) -> None:
        if isinstance(answer, FetchResult):
            answer._partition_records._consumer_record = _record
        super().__setitem__(here, answer)


def _record(here: TopicPartition, found: Any) -> Record:
    return Record(
        here.topic,
        here.partition,
        found.offset,
        found.timestamp,
        found.key,
        found.value,
        found.headers,
    )


async def stretch(
    bootstrap_servers: str, topic: str, partition: int, start: int, stop: int
) -> AsyncGenerator[list[Record], None]:
    """The records of offsets [start, stop), all of them, a batch at a time.

    Raises LogBroken where one is missing, LogUnavailable when the broker does not answer.
    """
    here = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=100,
        request_timeout_ms=10_000,
        retry_backoff_ms=50,
    )
    try:
        async with asyncio.timeout(SILENT_S):
            await consumer.start()
        consumer._fetcher._records = _Answers()
        consumer.assign([here])
        consumer.seek(here, start)
        while start < stop:
            records = await _some(consumer, here, start)
            _require_unbroken(records, here, start)
            records = records[: stop - start]
            start += len(records)
            yield records
    except OffsetOutOfRangeError as error:
        raise LogBroken(f"{topic}-{partition}: offset {start} is not, or no longer, on the log") from error
    except (TimeoutError, KafkaError, OSError) as error:
        raise LogUnavailable(f"no read from {topic}-{partition}: {type(error).__name__}") from error
    finally:
        with suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await consumer.stop()


async def _some(consumer: AIOKafkaConsumer, here: TopicPartition, start: int) -> list[Record]:
    async with asyncio.timeout(SILENT_S):
        while not (found := await consumer.getmany(here, timeout_ms=1_000, max_records=RECORDS_AT_ONCE)):
            if (
                await consumer.position(here) > start
            ):  # what is there is no record: the mark of a transaction, say
                raise _missing(here, start)
    records: list[Record] = found[here]
    return records


def _require_unbroken(records: list[Record], here: TopicPartition, start: int) -> None:
    """Offsets rise, so that as many as there are places have no hole between them."""
    if records[0].offset == start and records[-1].offset - start + 1 == len(records):
        return
    raise _missing(
        here,
        next(
            place
            for place, record in enumerate([*records, None], start)
            if record is None or record.offset != place
        ),
    )


def _missing(here: TopicPartition, offset: int) -> LogBroken:
    return LogBroken(
        f"{here.topic}-{here.partition}: offset {offset} is missing, and what comes after it is there"
    )
