"""Files of an export: they end where the records say, hold everything, and are the same however the records came."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from infra.memory.projections import RawRecord
from schemas.errors import LogBroken
from streams.replay.files import DAY_MS, FILE_OFFSETS, ROWS_AT_ONCE, Files, Format, PartitionWriter
from tests.projections.outcomes import LONG
from tests.projections.story import BEGIN_MS, junk, paid, raw, recorded, requested, routed, started, succeeded

EVENTS = [requested(), routed(), started(), succeeded(), paid()]
MIDNIGHT = BEGIN_MS // DAY_MS * DAY_MS


def records(stamps: Iterable[int], first: int = 0) -> list[RawRecord]:
    return [
        raw(recorded(EVENTS[offset % len(EVENTS)], offset, window=LONG, stamp_ms=stamp))
        for offset, stamp in enumerate(stamps, first)
    ]


def write(folder: Path, batches: Iterable[Sequence[RawRecord]], format: Format = "parquet") -> Files:
    files = Files(folder, "t", format)
    writer = PartitionWriter(files, 4)
    for batch in batches:
        writer.take(batch)
    writer.close()
    return files


def contents(files: Files) -> dict[str, bytes]:
    return {
        path.relative_to(files.folder).as_posix(): path.read_bytes() for path in files.folder.glob("day=*/*")
    }


def names(files: Files) -> list[str]:
    return sorted(contents(files))


def test_a_file_ends_with_its_day_and_says_which_offsets_it_holds(tmp_path: Path) -> None:
    files = write(tmp_path, [records([MIDNIGHT - 2, MIDNIGHT - 1, MIDNIGHT])])
    assert names(files) == [
        "day=2026-11-22/04-0000000000000000-0000000000000002.parquet",
        "day=2026-11-23/04-0000000000000002-0000000000000003.parquet",
    ]


def test_a_clock_that_goes_back_over_midnight_begins_another_file_of_the_day_before(tmp_path: Path) -> None:
    files = write(tmp_path, [records([MIDNIGHT - 1, MIDNIGHT, MIDNIGHT - 1])])
    assert [(one.start, one.stop) for one in files.finished()] == [(0, 1), (1, 2), (2, 3)]


def test_no_file_reaches_over_a_round_offset(tmp_path: Path) -> None:
    files = write(tmp_path, [records([BEGIN_MS] * 3, FILE_OFFSETS - 1)])
    assert [(one.start, one.stop) for one in files.finished()] == [
        (FILE_OFFSETS - 1, FILE_OFFSETS),
        (FILE_OFFSETS, FILE_OFFSETS + 2),
    ]


batches_of_any_size = st.lists(st.integers(0, 9), max_size=12)


@settings(max_examples=40, deadline=None)
@for_any(
    stamps=st.lists(st.integers(MIDNIGHT - 3, MIDNIGHT + 3), max_size=30),
    sizes=batches_of_any_size,
    first=st.integers(FILE_OFFSETS - 15, FILE_OFFSETS),
    format=st.sampled_from(["parquet", "csv"]),
)
def test_however_the_records_come_the_bytes_are_the_same(
    stamps: list[int], sizes: list[int], first: int, format: Format
) -> None:
    whole = records(stamps, first)
    pieces, rest = [], whole
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    with TemporaryDirectory() as at_once, TemporaryDirectory() as in_pieces:
        expected = contents(write(Path(at_once), [whole], format))
        assert contents(write(Path(in_pieces), [*pieces, rest], format)) == expected


def test_a_file_of_many_rows_is_the_same_too(tmp_path: Path) -> None:
    many = records([BEGIN_MS] * (ROWS_AT_ONCE + 50))
    at_once = contents(write(tmp_path / "a", [many]))
    assert contents(write(tmp_path / "b", [many[:7_001], many[7_001:]])) == at_once


def test_a_stop_leaves_no_file_that_is_not_whole_and_what_a_kill_leaves_is_cleared(tmp_path: Path) -> None:
    files = Files(tmp_path, "t", "parquet")
    stopped, killed = PartitionWriter(files, 4), PartitionWriter(files, 5)
    stopped.take(records([MIDNIGHT - 1, MIDNIGHT]))
    killed.take(records([MIDNIGHT - 1]))
    stopped.abandon()
    assert [(one.start, one.stop) for one in files.finished()] == [(0, 1)]
    files.clear_unfinished()
    assert names(files) == ["day=2026-11-22/04-0000000000000000-0000000000000001.parquet"]


@pytest.mark.parametrize(
    ("first", "why"), [(3, "begins at 3: there is a hole"), (1, "begins at 1: they overlap")]
)
def test_files_that_do_not_fit_together_are_found(tmp_path: Path, first: int, why: str) -> None:
    files = write(tmp_path, [records([BEGIN_MS] * 2, first=0)])
    write(tmp_path, [records([BEGIN_MS] * 2, first=first)])
    with pytest.raises(LogBroken, match=f"ends at offset 2, and .* {why}"):
        files.finished()


def test_a_row_has_the_record_its_envelope_and_what_is_asked_most(tmp_path: Path) -> None:
    (record,) = records([BEGIN_MS], first=3)
    write(tmp_path, [[record]])
    (path,) = tmp_path.glob("t/day=*/*")
    (row,) = pyarrow.parquet.read_table(path, partitioning=None).to_pylist()
    assert (row["key"], row["value"].encode(), row["raw"]) == (record.key, record.value, None)
    assert [(pair["name"], pair["value"]) for pair in row["headers"]] == record.headers
    assert (row["partition"], row["offset"], row["stamp"].timestamp() * 1000) == (
        record.partition,
        3,
        BEGIN_MS,
    )
    assert (row["type"], row["sequence"], row["epoch"], row["void"]) == ("AttemptSucceeded", 4, 1, False)
    assert (row["gateway"], row["latency_ms"], row["merchant_id"]) == ("alpha", 120, None)


def test_a_record_outside_its_window_stays_void(tmp_path: Path) -> None:
    late = raw(recorded(paid(), stamp_ms=BEGIN_MS + 15_000))
    write(tmp_path, [[late]], "csv")
    (path,) = tmp_path.glob("t/day=*/*")
    assert pyarrow.csv.read_csv(path)["void"].to_pylist() == [True]


def test_what_nobody_can_read_is_kept_as_it_is(tmp_path: Path) -> None:
    broken = [junk(4, 0), junk(4, 1, value=b"\xff"), junk(4, 2, value=None), *records([BEGIN_MS], first=3)]
    strange = broken[3]._replace(
        offset=4, headers=[("ce_sequence", b"many"), ("ce_type", b"\xff"), ("x", b"\xfe")]
    )
    write(tmp_path, [[*broken, strange]])
    (path,) = tmp_path.glob("t/day=*/*")
    rows = pyarrow.parquet.read_table(path, partitioning=None).to_pylist()
    assert [row["value"] for row in rows[:3]] == ["{", None, None]
    assert [row["raw"] for row in rows[:3]] == [None, b"\xff", None]
    assert [row["type"] for row in rows] == [None, None, None, "AttemptSucceeded", None]
    assert [row["void"] for row in rows] == [None, None, None, False, None]
    assert (rows[4]["sequence"], rows[4]["gateway"]) == (None, "alpha")
    assert [(pair["name"], pair["value"]) for pair in rows[4]["headers"]] == strange.headers
