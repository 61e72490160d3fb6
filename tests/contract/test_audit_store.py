"""What every store of the audit promises: an entry once, with its watermark, and pages in the order of stamps."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import pytest

from infra.memory.audit import MemoryAudit
from infra.postgres.audit import PostgresAudit
from infra.postgres.database import Database
from projections.ports import AuditSink
from schemas.audit import AuditEntry, Place, Said, place_of
from schemas.codec import CIRCUITS_TOPIC, CONFIGURATION_TOPIC
from schemas.envelope import Position
from schemas.views import Watermark


class Store(AuditSink, Protocol):
    async def entries(
        self, aggregate: str | None, by: str | None, before: Place | None, limit: int
    ) -> Sequence[AuditEntry]: ...


@pytest.fixture
def store(database: Database | None) -> Store:
    return MemoryAudit() if database is None else PostgresAudit(database)


def an_entry(
    offset: int,
    *,
    topic: str = CONFIGURATION_TOPIC,
    stamp_ms: int | None = None,
    aggregate: str = "scoring",
    by: str = "asha",
    before: Said | None = None,
) -> AuditEntry:
    return AuditEntry(
        position=Position(topic=topic, partition=0, offset=offset),
        stamp_ms=offset if stamp_ms is None else stamp_ms,
        aggregate=aggregate,
        what="ScoringWeightsSet",
        by=by,
        note="zu spät ☃",
        request_id=f"req_{offset}",
        before=before,
        after={"type": "ScoringWeightsSet", "weights": {"latency": 0.01, "cost": [1, None, "☃"]}},
    )


def mark(next_offset: int) -> Watermark:
    return Watermark(next_offset=next_offset, last_stamp_ms=next_offset)


async def keep(store: Store, *entries: AuditEntry, first: int = 0) -> bool:
    """Of one topic, without a hole."""
    position = entries[-1].position
    reached = mark(position.offset + 1)
    return await store.keep(position.topic, position.partition, first, entries, reached)


async def test_an_entry_is_told_as_it_was_kept(store: Store) -> None:
    entries = [an_entry(0), an_entry(1, before={"type": "ScoringWeightsSet", "weights": {}})]
    assert await keep(store, *entries)
    assert await store.entries(None, None, None, 10) == entries[::-1]
    kept = (await store.watermarks())[CONFIGURATION_TOPIC, 0]
    assert (kept.next_offset, kept.last_stamp_ms) == (2, 2)


async def test_what_is_kept_already_is_left_as_it_is(store: Store) -> None:
    await keep(store, an_entry(0), an_entry(1))
    assert await keep(store, an_entry(0, by="another"), an_entry(1), an_entry(2))
    assert await keep(store, an_entry(0, by="another"))
    assert [entry.by for entry in await store.entries(None, None, None, 10)] == ["asha"] * 3
    assert (await store.watermarks())[CONFIGURATION_TOPIC, 0].next_offset == 3


async def test_nothing_is_kept_behind_what_is_missing(store: Store) -> None:
    await keep(store, an_entry(0))
    assert not await keep(store, an_entry(5), first=2)
    assert len(await store.entries(None, None, None, 10)) == 1
    assert (await store.watermarks())[CONFIGURATION_TOPIC, 0].next_offset == 1


async def test_two_who_keep_the_same_at_once_keep_it_once(store: Store) -> None:
    entries = [an_entry(offset) for offset in range(20)]
    await asyncio.gather(*(keep(store, *entries) for _ in range(4)))
    assert await store.entries(None, None, None, 100) == entries[::-1]


async def test_what_no_table_can_hold_is_kept_without_it(store: Store) -> None:
    entry = AuditEntry(
        position=Position(topic=CONFIGURATION_TOPIC, partition=0, offset=0),
        stamp_ms=1,
        aggregate="a\0b",
        what="w",
        by="asha",
        note="",
        request_id="r",
        before=None,
        after={"text": "a\0b"},
    )
    assert await keep(store, entry)
    assert len(await store.entries(None, "asha", None, 10)) == 1


async def test_what_only_looks_like_it_is_kept_as_it_was_written(store: Store) -> None:
    """The six characters of JSON's escape, as somebody types them."""
    entry = an_entry(0, before={"rules": [{"note": r"a\u0000b", r"\u0000": r"\\u0000"}]})
    assert await keep(store, entry)
    assert await store.entries(None, None, None, 10) == [entry]


async def test_pages_follow_one_another_without_a_hole_also_where_stamps_are_equal(store: Store) -> None:
    await keep(store, *(an_entry(offset, stamp_ms=7) for offset in range(5)))
    await keep(store, *(an_entry(offset, stamp_ms=7, topic=CIRCUITS_TOPIC) for offset in range(3)))
    await keep(store, an_entry(5, stamp_ms=8), first=5)
    every = list(await store.entries(None, None, None, 100))
    assert every == sorted(every, key=place_of, reverse=True)
    assert len(every) == 9
    paged: list[AuditEntry] = []
    while page := await store.entries(None, None, place_of(paged[-1]) if paged else None, 2):
        paged += page
    assert paged == every


async def test_pages_are_of_an_aggregate_of_a_person_or_of_both(store: Store) -> None:
    who = [("scoring", "asha"), ("segmentation", "asha"), ("scoring", "ravi"), ("scoring", "asha")]
    await keep(store, *(an_entry(n, aggregate=what, by=by) for n, (what, by) in enumerate(who)))

    async def offsets(what: str | None, by: str | None, before: Place | None = None) -> list[int]:
        return [entry.position.offset for entry in await store.entries(what, by, before, 10)]

    assert await offsets("scoring", None) == [3, 2, 0]
    assert await offsets(None, "asha") == [3, 1, 0]
    assert await offsets("scoring", "asha") == [3, 0]
    assert await offsets("scoring", "asha", place_of(an_entry(3))) == [0]
    assert await offsets("moon", None) == []


async def test_what_was_done_with_a_key_is_found_by_the_key_for_whomever_it_was_done(store: Store) -> None:
    done = ["key:bot", "key:bot for asha", "key:bot-2", "asha", "key:bot-2 for asha", "key:bo"]
    await keep(store, *(an_entry(n, by=by) for n, by in enumerate(done)))
    for aggregate in (None, an_entry(0).aggregate):
        found = await store.entries(aggregate, "key:bot", None, 10)
        assert [entry.position.offset for entry in found] == [1, 0]
