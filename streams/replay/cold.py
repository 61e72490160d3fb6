"""An export as the beginning of a log: the files up to where they end, and the topic from there on.

The two must be one history. Where the topic begins later than the files end, or has another record where the files have
their last one, it is refused.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from infra.kafka.reader import LogReader
from infra.kafka.stretches import Record
from projections.ports import RawRecord
from schemas.errors import LogBroken
from streams.replay.files import Files, Stretch
from streams.replay.plan import Part, Seam

_RECORD = ["offset", "stamp", "key", "value", "raw", "headers"]


class Cold:
    """The files of one topic in the folder of an export."""

    def __init__(self, folder: Path, topic: str) -> None:
        self.topic = topic
        self._files: dict[int, list[Stretch]] = {}
        for one in Files(folder, topic, "parquet").finished():
            self._files.setdefault(one.partition, []).append(one)
        if not self._files:
            raise LogBroken(f"there is no export of {topic} in {folder}")

    @property
    def partitions(self) -> Sequence[int]:
        return sorted(self._files)

    def start(self, partition: int) -> int:
        return self._files[partition][0].start if partition in self._files else 0

    def stop(self, partition: int) -> int:
        """The first offset that the files do not have."""
        return self._files[partition][-1].stop if partition in self._files else 0

    def offset_at(self, partition: int, stamp_ms: int) -> int | None:
        """Of the first record stamped then or later; None where the files have none."""
        for one in self._files.get(partition, []):
            if self._newest_ms(one) >= stamp_ms:
                whole = Part(partition=partition, start=one.start, stop=one.stop)
                return next(
                    record.offset
                    for records in self._read(one, whole)
                    for record in records
                    if record.timestamp >= stamp_ms
                )
        return None

    def batches(self, part: Part) -> Iterator[list[Record]]:
        """Those of the part that are in the files."""
        for one in self._files.get(part.partition, []):
            if one.start < part.stop and part.start < one.stop:
                for records in self._read(one, part):
                    if wanted := [record for record in records if part.start <= record.offset < part.stop]:
                        yield wanted

    def last(self, partition: int) -> Record:
        stop = self.stop(partition)
        ((record,),) = self.batches(Part(partition=partition, start=stop - 1, stop=stop))
        return record

    def _newest_ms(self, one: Stretch) -> int:
        with _opened(one) as file:
            stamps = file.read(columns=["stamp"])["stamp"]
        return int(max(stamps.cast(pa.int64()).to_pylist())) // 1000

    def _read(self, one: Stretch, part: Part) -> Iterator[list[Record]]:
        """Of the row groups that have some of the part."""
        with _opened(one) as file:
            start = one.start
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                if start < part.stop and part.start < stop:
                    rows = file.read_row_group(group, columns=_RECORD).combine_chunks()
                    (batch,) = rows.to_batches()
                    records = list(_records(batch, self.topic, one.partition))
                    if [record.offset for record in records] != list(range(start, stop)):
                        raise LogBroken(f"{one.path} does not hold the offsets that its name says")
                    yield records
                start = stop


@contextmanager
def _opened(one: Stretch) -> Iterator[pyarrow.parquet.ParquetFile]:
    """Raises LogBroken where it is not whole."""
    try:
        with pyarrow.parquet.ParquetFile(one.path) as file:
            if (stop := one.start + file.metadata.num_rows) != one.stop:
                raise LogBroken(f"{one.path} ends at offset {stop}, and its name says {one.stop}")
            yield file
    except (pa.ArrowException, OSError) as error:
        raise LogBroken(
            f"{one.path} cannot be read, which should have offsets {one.start} to {one.stop - 1}: {error}"
        ) from error


class ColdThenTopic:
    """What a plan asks of a log that has both."""

    def __init__(self, cold: Cold, reader: LogReader) -> None:
        self._cold = cold
        self._reader = reader

    async def beginning_offset(self, topic: str, partition: int) -> int:
        if partition not in self._cold.partitions:
            return await self._reader.beginning_offset(topic, partition)
        return self._cold.start(partition)

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        return await self._reader.end_offsets(topic)

    async def offset_at(self, topic: str, partition: int, stamp_ms: int) -> int:
        found = self._cold.offset_at(partition, stamp_ms)
        return await self._reader.offset_at(topic, partition, stamp_ms) if found is None else found


async def seams(cold: Cold, reader: LogReader, partitions: Iterable[int]) -> tuple[Seam, ...]:
    """Of those of the partitions that there are files of. Raises LogBroken where the files and the topic are not one
    history."""
    ends = await reader.end_offsets(cold.topic)
    found = [
        await _seam(cold, partition, ends.get(partition, 0), reader)
        for partition in partitions
        if partition in cold.partitions
    ]
    return tuple(found)


async def _seam(cold: Cold, partition: int, end: int, reader: LogReader) -> Seam:
    stop, begins = cold.stop(partition), await reader.beginning_offset(cold.topic, partition)
    here = f"{cold.topic}-{partition}"
    if begins > stop:
        raise LogBroken(
            f"the files end at offset {stop} of {here}, which begins at {begins} by now: there is a hole"
        )
    if stop > end:
        raise LogBroken(
            f"the files end at offset {stop} of {here}, which ends at {end}: they are of another log"
        )
    if begins < stop:
        (there,) = await reader.read(cold.topic, partition, stop - 1, stop)
        if _content(there) != _content(cold.last(partition)):
            raise LogBroken(
                f"the files have another record at offset {stop - 1} of {here}: they are of another log"
            )
    return Seam(partition=partition, offset=stop, is_compared=begins < stop)


def _content(record: RawRecord) -> tuple[Any, ...]:
    return record.timestamp, record.key, record.value, tuple(record.headers)


def _records(batch: pa.RecordBatch, topic: str, partition: int) -> Iterator[Record]:
    offset, stamp, key, value, raw, headers = (batch.column(name) for name in _RECORD)
    first, ends = headers.offsets[0].as_py(), headers.offsets.to_pylist()
    pairs = list(
        zip(
            headers.values.field("name").to_pylist(),
            headers.values.field("value").to_pylist(),
            strict=True,
        )
    )
    rows = zip(
        offset.to_pylist(),
        stamp.cast(pa.int64()).to_pylist(),
        key.to_pylist(),
        value.cast(pa.binary()).to_pylist(),
        raw.to_pylist(),
        strict=True,
    )
    for place, (its_offset, stamp_us, its_key, text, bytes_) in enumerate(rows):
        yield Record(
            topic,
            partition,
            its_offset,
            stamp_us // 1000,
            its_key,
            bytes_ if text is None else text,
            tuple(pairs[ends[place] - first : ends[place + 1] - first]),
        )
