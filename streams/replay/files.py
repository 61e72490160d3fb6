"""The files of an export: one for each run of records of a day and a partition, named by its exact offsets.

`payments.events.v1/day=2026-11-23/07-0000000000000000-0000000000012345.parquet`: offsets from the first up to, and
without, the second. A file has this name only when it is whole. Where files end follows from the records alone.
"""

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from projections.ports import RawRecord
from schemas.errors import LogBroken
from streams.replay.columns import FOR_PEOPLE, SCHEMA, table

Format = Literal["parquet", "csv"]

DAY_MS = 24 * 3600 * 1000
FILE_OFFSETS = 250_000
"""A file holds no offsets of two of these: so much at most is read again after a stop."""
ROWS_AT_ONCE = 10_000
"""In memory, and in a row group."""
_NAME = re.compile(r"day=\d{4}-\d\d-\d\d/(\d+)-(\d{16})-(\d{16})\.(parquet|csv)")


class Stretch(NamedTuple):
    """A file that is there, of offsets [start, stop)."""

    partition: int
    start: int
    stop: int
    path: Path


class _Sheet(Protocol):
    def write_table(self, table: pa.Table) -> None: ...
    def close(self) -> None: ...


class Files:
    """Of one topic, in a folder."""

    def __init__(self, folder: Path, topic: str, format: Format) -> None:
        self.folder = folder / topic
        self.format = format

    def finished(self) -> list[Stretch]:
        """In the order of partitions and offsets. Raises LogBroken where two of them do not fit together."""
        found = sorted(
            Stretch(int(name[1]), int(name[2]), int(name[3]), path)
            for path in self.folder.glob(f"day=*/*.{self.format}")
            if (name := _NAME.fullmatch(path.relative_to(self.folder).as_posix()))
        )
        for one, next_ in pairwise(found):
            if one.partition == next_.partition and one.stop != next_.start:
                why = "there is a hole" if one.stop < next_.start else "they overlap"
                raise LogBroken(
                    f"{one.path} ends at offset {one.stop}, and {next_.path} begins at {next_.start}: {why}"
                )
        return found

    def clear_unfinished(self) -> None:
        for path in self.folder.glob("day=*/.*.part"):
            path.unlink()


class PartitionWriter:
    """Takes all records of one partition in the order of their offsets; the last file is there when it is closed."""

    def __init__(self, files: Files, partition: int) -> None:
        self._files = files
        self._partition = partition
        self._rows: list[RawRecord] = []
        self._sheet: _Sheet | None = None
        self._part = Path()
        self._start = self._next = self._end = 0
        self._day = -1

    def take(self, records: Sequence[RawRecord]) -> None:
        rows = self._rows
        for record in records:
            if record.timestamp // DAY_MS != self._day or record.offset == self._end:
                self.close()
                self._open(record)
                rows = self._rows
            rows.append(record)
            if len(rows) == ROWS_AT_ONCE:
                self._write()
                rows = self._rows

    def close(self) -> None:
        """Finish the file that is open, if one is."""
        if self._sheet is None:
            return
        self._write()
        self._sheet.close()
        self._sheet = None
        name = f"{self._partition:02}-{self._start:016}-{self._next:016}.{self._files.format}"
        with self._part.open("rb") as written:
            os.fsync(written.fileno())
        self._part.rename(self._part.with_name(name))

    def abandon(self) -> None:
        if self._sheet is not None:
            self._sheet.close()
            self._sheet = None
            self._part.unlink()

    def _open(self, first: RawRecord) -> None:
        self._day = first.timestamp // DAY_MS
        self._start = first.offset
        self._end = (first.offset // FILE_OFFSETS + 1) * FILE_OFFSETS
        day = datetime.fromtimestamp(self._day * DAY_MS / 1000, UTC).date()
        folder = self._files.folder / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        # Two that write the same, as where one was believed dead, write the same bytes, each into a file of its own.
        self._part = folder / f".{self._partition:02}-{self._start:016}.{os.getpid()}.part"
        self._sheet = _sheet(self._part, self._files.format)

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            assert self._sheet is not None
            self._next = rows[-1].offset + 1
            self._sheet.write_table(table(rows))


class _Parquet:
    def __init__(self, path: Path) -> None:
        self._writer = pyarrow.parquet.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=3)

    def write_table(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=ROWS_AT_ONCE)

    def close(self) -> None:
        self._writer.close()


class _Csv:
    def __init__(self, path: Path) -> None:
        schema = pa.schema([SCHEMA.field(name) for name in FOR_PEOPLE])
        self._writer = pyarrow.csv.CSVWriter(path, schema)

    def write_table(self, table: pa.Table) -> None:
        self._writer.write_table(table.select(FOR_PEOPLE))

    def close(self) -> None:
        self._writer.close()


def _sheet(path: Path, format: Format) -> _Sheet:
    return _Parquet(path) if format == "parquet" else _Csv(path)
