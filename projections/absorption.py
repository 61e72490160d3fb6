"""How records become a projection's, each once: what continues a partition's watermark is stored together with it.

Below the watermark a record is known and dropped; above it there is a gap, whose records are fetched first. What
cannot be taken in becomes a dead letter and counts as processed. A part that is away raises Unavailable: what was not
stored by then is taken in when the same batch is given again.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from msgspec import Struct

from projections.ports import Log, RawRecord
from schemas.base import Event
from schemas.codec import decode
from schemas.envelope import Position, Recorded
from schemas.errors import Unreadable
from schemas.ids import is_payment_id
from schemas.views import DeadLetter, Watermark

GAP_CHUNK = 2000
"""Records of a gap that are fetched and stored at a time."""

Records = Mapping[int, Sequence[RawRecord]]
Gaps = dict[int, range]


class Counts(Struct):
    """Since the process began."""

    taken_in: int = 0
    known_already: int = 0
    fetched_from_gaps: int = 0
    dead: int = 0


class Absorption(ABC):
    def __init__(self, topic: str, log: Log) -> None:
        self._topic = topic
        self._log = log
        self.counts = Counts()

    @abstractmethod
    async def _store(self, batch: Records, refusal: Unreadable | None = None) -> Gaps:
        """What of it continues the watermarks, in one transaction; the first gap of each partition is returned.

        Dead letters are told of last in it: when the store refuses a value, the halves would tell of them again.

        Raises Unreadable when the store refuses a value. With a `refusal` the batch is the one record it is about.
        """

    async def absorb(self, records: Iterable[RawRecord]) -> None:
        """Take in all of them, whatever is missing before them included. Raises Unavailable."""
        batch = grouped(records)
        while gaps := await self._take(batch):
            for partition, gap in gaps.items():
                stop = min(gap.stop, gap.start + GAP_CHUNK)
                missing = await self._log.read(self._topic, partition, gap.start, stop)
                self.counts.fetched_from_gaps += len(missing)
                await self._take({partition: missing})

    async def _take(self, batch: Records) -> Gaps:
        """One transaction, or several when the store refuses a value: halving finds the record that it belongs to."""
        try:
            return await self._store(batch)
        except Unreadable as refusal:
            records = [record for partition in sorted(batch) for record in batch[partition]]
            if len(records) == 1:
                return await self._store(batch, refusal)
            half = len(records) // 2
            first = await self._take(grouped(records[:half]))
            return await self._take(grouped(records[half:])) | first

    def _count(
        self, batch: Records, run: Sequence[RawRecord], gaps: Gaps, dead: Sequence[DeadLetter]
    ) -> None:
        above = sum(record.offset >= gap.stop for p, gap in gaps.items() for record in batch[p])
        self.counts.taken_in += len(run)
        self.counts.known_already += sum(map(len, batch.values())) - len(run) - above
        self.counts.dead += len(dead)


def continuing(batch: Records, watermarks: Mapping[int, Watermark]) -> tuple[list[RawRecord], Gaps]:
    """The records that continue each partition's watermark without a hole, and the first hole of each."""
    run: list[RawRecord] = []
    gaps: Gaps = {}
    for partition, records in batch.items():
        expected = watermarks[partition].next_offset
        for record in records:
            if record.offset > expected:
                gaps[partition] = range(expected, record.offset)
                break
            if record.offset == expected:
                run.append(record)
                expected += 1
    return run, gaps


def reached(run: Iterable[RawRecord]) -> dict[int, Watermark]:
    """The watermark of each partition after them."""
    last = {record.partition: record for record in run}
    return {
        partition: Watermark(next_offset=record.offset + 1, last_stamp_ms=record.timestamp)
        for partition, record in last.items()
    }


def dead_letter(record: RawRecord, error: Exception) -> DeadLetter:
    return DeadLetter(
        position=position_of(record),
        stamp_ms=record.timestamp,
        reason=f"{type(error).__name__}: {error}"[:500].replace("\0", "�"),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


def grouped(records: Iterable[RawRecord]) -> dict[int, list[RawRecord]]:
    """By partition, in offset order."""
    batch: dict[int, list[RawRecord]] = {}
    for record in records:
        batch.setdefault(record.partition, []).append(record)
    for partition in batch.values():
        partition.sort(key=attrgetter("offset"))
    return batch


def position_of(record: RawRecord, topic: str | None = None) -> Position:
    return Position(topic=topic or record.topic, partition=record.partition, offset=record.offset)


def decoded(record: RawRecord, topic: str | None = None) -> Recorded[Event]:
    """Whatever event it is. Raises Unreadable.

    A record of another topic, such as a copy, is read as one of the `topic` whose events it holds.
    """
    return decode(record.value, record.headers, position_of(record, topic), record.timestamp)


def readable(record: RawRecord, topic: str | None = None) -> Recorded[Event]:
    """The event, if it is one of the payment that the record's key names. Raises Unreadable."""
    recorded = decoded(record, topic)
    if record.key != recorded.envelope.aggregate_id.encode():
        raise Unreadable("its key is not its subject")
    if not is_payment_id(recorded.envelope.aggregate_id):
        raise Unreadable("its subject is no payment id")
    return recorded
