"""Files and topic as one history: whoever reads both reads what the topic had, and a seam that is none is refused."""

import asyncio
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from schemas.errors import LogBroken
from streams.replay.export import export
from streams.replay.plan import Asked
from streams.replay.source import Source
from tests.streams.replay.world import World, messages

pytestmark = pytest.mark.integration


@pytest.fixture
async def written(world: World) -> World:
    await world.publish([*messages(60), (None, b"\xff", [("x", b"\xfe")]), (b"k", b"", [])])
    return world


async def exported(world: World, folder: Path, until: int) -> Source:
    plan = await world.source.plan(Asked(topic=world.topic, until=until, partitions=frozenset({0})))
    await asyncio.to_thread(partial(export, world.source, plan, folder, "parquet", 1))
    return replace(world.source, cold=str(folder))


async def contents(source: Source, asked: Asked) -> list[tuple[object, ...]]:
    (part, *_) = (await source.plan(asked)).parts
    async with aclosing(source.batches(part)) as batches:
        return [
            (record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
            async for batch in batches
            for record in batch
        ]


@pytest.mark.parametrize("until", [1, 77, 302])
async def test_files_and_then_the_topic_are_what_the_topic_had_before_retention_took_its_beginning(
    written: World, tmp_path: Path, until: int
) -> None:
    asked = Asked(topic=written.topic, partitions=frozenset({0}))
    before = await contents(written.source, asked)
    cold = await exported(written, tmp_path, until)
    assert await contents(cold, asked) == before
    await written.retire(before=until)
    assert await contents(cold, asked) == before
    assert await contents(cold, replace(asked, since=50, until=90)) == before[50:90]


async def test_a_moment_is_found_in_the_files_and_on_the_topic(written: World, tmp_path: Path) -> None:
    await asyncio.sleep(0.01)
    await written.publish(messages(20, first=100))
    records = await contents(written.source, Asked(topic=written.topic))
    cold = await exported(written, tmp_path, 77)
    for offset in (0, 76, 77, len(records) - 1):
        stamp_ms = records[offset][1]
        first = next(place for place, record in enumerate(records) if record[1] >= stamp_ms)  # type: ignore[operator]
        since = written.moment(int(str(stamp_ms)))
        assert (await contents(cold, Asked(topic=written.topic, since=since)))[0][0] == first


async def test_a_hole_between_the_files_and_the_topic_is_refused(written: World, tmp_path: Path) -> None:
    cold = await exported(written, tmp_path, 77)
    await written.retire(before=78)
    with pytest.raises(LogBroken, match="which begins at 78 by now: there is a hole"):
        await cold.plan(Asked(topic=written.topic))


async def test_files_of_another_log_are_refused(written: World, tmp_path: Path) -> None:
    cold = await exported(written, tmp_path, 77)
    other = written.beside()
    await other.open()
    (tmp_path / written.topic).rename(tmp_path / other.topic)
    with pytest.raises(LogBroken, match="ends at 0: they are of another log"):
        await replace(cold, topic=other.topic).plan(Asked(topic=other.topic))
    await other.publish(messages(80, first=500))
    with pytest.raises(LogBroken, match="have another record at offset 76"):
        await replace(cold, topic=other.topic).plan(Asked(topic=other.topic))


async def test_a_file_that_is_not_what_its_name_says_is_refused(written: World, tmp_path: Path) -> None:
    cold = await exported(written, tmp_path, 77)
    (path,) = sorted(tmp_path.rglob("*.parquet"))  # noqa: ASYNC240  # a test has time
    path.rename(path.with_name(path.name.replace("0000000000000077", "0000000000000078")))
    with pytest.raises(LogBroken, match="ends at offset 77, and its name says 78"):
        await contents(cold, Asked(topic=written.topic))


async def test_a_file_that_is_lost_after_the_plan_was_made_is_no_shorter_history(
    written: World, tmp_path: Path
) -> None:
    await exported(written, tmp_path, 30)
    cold = await exported(written, tmp_path, 77)
    (part, *_) = (await cold.plan(Asked(topic=written.topic))).parts
    sorted(tmp_path.rglob("*.parquet"))[0].unlink()  # noqa: ASYNC240  # a test has time
    with pytest.raises(LogBroken, match=r"offset 0 is in no file of .*, which begins at 30"):
        async with aclosing(cold.batches(part)) as batches:
            _ = [batch async for batch in batches]


async def test_a_folder_without_an_export_is_refused(written: World, tmp_path: Path) -> None:
    with pytest.raises(LogBroken, match="there is no export"):
        await replace(written.source, cold=str(tmp_path)).plan(Asked(topic=written.topic))
