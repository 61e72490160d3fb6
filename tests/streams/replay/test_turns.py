"""A long partition is folded a share of its keys at a time: read once, each record as it was, nothing left behind."""

import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from infra.kafka.stretches import Record
from projections.ports import RawRecord
from schemas.errors import Unreadable
from streams.replay.aside import Aside
from streams.replay.errors import Stopped
from streams.replay.plan import Part
from streams.replay.processes import Monitor
from streams.replay.source import Source
from streams.replay.turns import Fold, in_turns

PART = Part(partition=7, start=0, stop=200)
UNREADABLE = b"7"


class ReadOnce(Source, frozen=True, kw_only=True):
    """A topic in memory."""

    records: tuple[Record, ...]
    reads: list[Part]

    async def batches(self, part: Part) -> AsyncGenerator[Sequence[Record], None]:
        assert not self.reads, "a partition is read a second time"
        self.reads.append(part)
        for first in range(part.start, part.stop, 13):
            yield self.records[first : first + 13]


class Listed(Fold):
    """Records as they came, by key."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[bytes | None, list[RawRecord]] = {}

    def _take_in(self, record: RawRecord) -> None:
        if record.key == UNREADABLE:
            raise Unreadable("a seven")
        self.known.setdefault(record.key, []).append(record)


def record(
    offset: int,
    key: bytes | None,
    value: bytes | None = b"{}",
    headers: Sequence[tuple[str, bytes]] = (),
    stamp_ms: int = 1_700_000_000_000,
) -> Record:
    return Record("t", PART.partition, offset, stamp_ms, key, value, headers)


def source() -> ReadOnce:
    """Nineteen keys, whose records lie between one another's, and records without one."""
    records = [record(offset, str(offset % 19).encode()) for offset in range(PART.records)]
    records[50], records[150] = record(50, None), record(150, None)
    return ReadOnce(bootstrap_servers="", topic="t", records=tuple(records), reads=[])


@pytest.mark.parametrize("at_once", [9, 60, 199, 200])
async def test_each_key_is_in_one_turn_with_all_of_its_records_in_their_order(
    tmp_path: Path, at_once: int
) -> None:
    asked, found, dead = source(), dict[bytes | None, list[int]](), 0
    monitor = Monitor(lambda _: None)
    async with aclosing(in_turns(asked, PART, Listed, monitor, tmp_path, at_once)) as turns:
        async for turn in turns:
            assert not found.keys() & turn.known.keys()
            found |= {key: [one.offset for one in told] for key, told in turn.known.items()}
            dead += turn.dead
    expected: dict[bytes | None, list[int]] = {}
    for one in asked.records:
        expected.setdefault(one.key, []).append(one.offset)
    assert dead == len(expected.pop(UNREADABLE))
    assert found == expected


async def test_no_more_is_counted_than_was_folded_or_is_half_done(tmp_path: Path) -> None:
    counted = folded = 0

    def note(records: int) -> None:
        nonlocal counted
        counted += records

    async with aclosing(in_turns(source(), PART, Listed, Monitor(note), tmp_path, 70)) as turns:
        async for turn in turns:
            folded += turn.dead + sum(len(told) for told in turn.known.values())
            assert counted == (PART.records + folded) // 2
    assert counted == folded == PART.records


async def test_what_is_put_aside_has_no_name_that_could_stay_behind(tmp_path: Path) -> None:
    names: list[list[str]] = []

    def stop_when_it_is_folded(records: int) -> None:
        names.append(os.listdir(tmp_path))
        if len(names) > 16:
            raise Stopped

    with pytest.raises(Stopped):
        await all_turns(Monitor(stop_when_it_is_folded), tmp_path)
    assert names == [[]] * 17


async def all_turns(monitor: Monitor, folder: Path) -> list[Listed]:
    async with aclosing(in_turns(source(), PART, Listed, monitor, folder, 70)) as turns:
        return [turn async for turn in turns]


any_bytes = st.none() | st.binary(max_size=20)
any_record = st.builds(
    record,
    offset=st.integers(0, 2**63 - 1),
    key=any_bytes,
    value=any_bytes,
    headers=st.lists(st.tuples(st.text(max_size=5), any_bytes), max_size=3),
    stamp_ms=st.integers(-(2**63), 2**63 - 1),
)


@settings(max_examples=60, deadline=None)
@for_any(batches=st.lists(st.lists(any_record, max_size=5), max_size=5), shares=st.integers(1, 4))
def test_what_is_put_aside_comes_back_as_it_was(batches: list[list[Record]], shares: int) -> None:
    with TemporaryFile() as file:
        aside = Aside(file, shares)
        for batch in batches:
            aside.put(batch)
        found = [one for share in range(shares) for records in aside.share(share) for one in records]
    put = [one for batch in batches for one in batch]
    for key in {one.key or b"" for one in put}:
        assert of_key(found, key) == of_key(put, key)
    assert len(found) == len(put)


def of_key(records: Iterable[RawRecord], key: bytes) -> list[tuple[object, ...]]:
    return [
        (one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, one.headers)
        for one in records
        if (one.key or b"") == key
    ]
