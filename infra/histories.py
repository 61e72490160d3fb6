"""A payment's records from the log itself: where the projection has seen them, beyond its watermark by searching."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from schemas.codec import PAYMENTS_TOPIC, decode
from schemas.envelope import Position, Recorded
from schemas.errors import ReadTooFarBehind, Unreadable
from schemas.ids import PaymentId
from schemas.payment import PaymentEvent

TAIL_MAX = 5000
"""Records of one partition that are searched beyond the watermark."""
NEIGHBOURS_WITHIN = 64
"""Records no further apart than this are cheaper to read in one go, with what lies between them."""


class Record(Protocol):
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Index(Protocol):
    async def offsets(self, payment_id: PaymentId) -> tuple[tuple[int, ...], int]:
        """Where a payment's records lie below its partition's watermark, and that watermark."""


class Reader(Protocol):
    async def read(self, topic: str, partition: int, start: int, stop: int) -> Sequence[Record]: ...

    async def end_offset(self, topic: str, partition: int) -> int: ...


class LogHistories:
    """Raises LogUnavailable, StoreUnavailable, ReadTooFarBehind."""

    def __init__(
        self, index: Index, reader: Reader, partition_of: Callable[[str], int], topic: str = PAYMENTS_TOPIC
    ) -> None:
        self._index = index
        self._reader = reader
        self._partition_of = partition_of
        self._topic = topic

    async def at_head(self, payment_id: PaymentId) -> list[Recorded[PaymentEvent]]:
        end = await self._reader.end_offset(self._topic, self._partition_of(payment_id))
        return await self._below(payment_id, end)

    async def through(self, payment_id: PaymentId, position: Position) -> list[Recorded[PaymentEvent]]:
        return await self._below(payment_id, position.offset + 1)

    async def _below(self, payment_id: PaymentId, stop: int) -> list[Recorded[PaymentEvent]]:
        offsets, watermark = await self._index.offsets(payment_id)
        if stop - watermark > TAIL_MAX:
            raise ReadTooFarBehind(f"the projection is {stop - watermark} records behind")
        ranges = neighbourhoods(offset for offset in offsets if offset < stop)
        if watermark < stop:
            ranges.append(range(watermark, stop))
        partition = self._partition_of(payment_id)
        reads = (self._reader.read(self._topic, partition, part.start, part.stop) for part in ranges)
        key = payment_id.encode()
        return [
            recorded
            for records in await asyncio.gather(*reads)
            for record in records
            if record.key == key and (recorded := self._recorded(record, partition)) is not None
        ]

    def _recorded(self, record: Record, partition: int) -> Recorded[PaymentEvent] | None:
        """None for what nobody can read: it is a dead letter."""
        position = Position(topic=self._topic, partition=partition, offset=record.offset)
        try:
            recorded = decode(record.value, record.headers, position, record.timestamp)
        except Unreadable:
            return None
        return cast(Recorded[PaymentEvent], recorded)


def neighbourhoods(offsets: Iterable[int]) -> list[range]:
    """Ranges that hold all of the ascending offsets, and little else."""
    ranges: list[range] = []
    for offset in offsets:
        if ranges and offset - ranges[-1].stop < NEIGHBOURS_WITHIN:
            ranges[-1] = range(ranges[-1].start, offset + 1)
        else:
            ranges.append(range(offset, offset + 1))
    return ranges
