"""Exports of real topics: whole, the same in any number of processes, and the same after any stop."""

import asyncio
import time
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pyarrow.parquet
import pytest
from msgspec.structs import replace

from infra.kafka.producer import Message
from schemas.errors import LogBroken
from streams.replay.errors import FolderTaken
from streams.replay.export import Manifest, export
from streams.replay.plan import Asked
from streams.replay.source import Source
from tests.streams.replay.world import World, interrupted, messages

pytestmark = pytest.mark.integration


@pytest.fixture
async def written(world: World) -> World:
    for partition in range(world.partitions):
        await world.publish(messages(100 + partition, first=1_000 * partition), partition)
    return world


async def exported(world: World, folder: Path, asked: Asked | None = None, processes: int = 1) -> Manifest:
    plan = await world.source.plan(asked or Asked(topic=world.topic))
    return await asyncio.to_thread(partial(export, world.source, plan, folder, "parquet", processes))


def files(folder: Path) -> list[str]:
    return sorted(name for name in contents(folder) if name.endswith(".parquet"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


async def test_twice_and_in_any_number_of_processes_the_bytes_are_the_same(
    written: World, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        await exported(written, tmp_path / str(number), processes=number)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "3")


async def test_every_record_of_the_plan_is_there_once_and_in_order(written: World, tmp_path: Path) -> None:
    asked = Asked(topic=written.topic, since=3, until=400, partitions=frozenset({0, 2}))
    await exported(written, tmp_path, asked)
    for partition in (0, 2):
        (name,) = (name for name in files(tmp_path) if f"/{partition:02}-" in name)
        rows = pyarrow.parquet.read_table(tmp_path / name, partitioning=None)
        assert rows["offset"].to_pylist() == list(range(3, 400))
        assert set(rows["partition"].to_pylist()) == {partition}
    assert len(files(tmp_path)) == 2


async def test_an_export_that_is_whole_grows_from_where_it_ends(written: World, tmp_path: Path) -> None:
    await exported(written, tmp_path)
    before = contents(tmp_path)
    await written.publish(messages(10, first=5_000))
    manifest = await exported(written, tmp_path)
    after = contents(tmp_path)
    assert all(after[name] == before[name] for name in before if name.endswith(".parquet"))
    assert [(part.start, part.stop) for part in manifest.parts] == [(0, 550), (0, 505), (0, 510)]
    assert [(file.start, file.stop) for file in manifest.files if file.partition == 0] == [
        (0, 500),
        (500, 550),
    ]


def ranges(manifest: Manifest) -> list[tuple[int, int, int]]:
    return [(part.partition, part.start, part.stop) for part in manifest.parts]


def in_files(manifest: Manifest) -> list[tuple[int, int, int]]:
    """What the files together have, by partition."""
    found: dict[int, tuple[int, int, int]] = {}
    for file in manifest.files:
        first = found.get(file.partition, (file.partition, file.start, file.stop))
        found[file.partition] = (file.partition, first[1], file.stop)
    return list(found.values())


async def test_an_export_of_some_partitions_leaves_what_is_there_of_the_others_in_the_manifest(
    written: World, tmp_path: Path
) -> None:
    await exported(written, tmp_path)
    for partition in range(written.partitions):
        await written.publish(messages(10, first=5_000 + 1_000 * partition), partition)
    manifest = await exported(written, tmp_path, Asked(topic=written.topic, partitions=frozenset({1})))
    assert ranges(manifest) == in_files(manifest) == [(0, 0, 500), (1, 0, 555), (2, 0, 510)]
    manifest = await exported(written, tmp_path)
    assert ranges(manifest) == in_files(manifest) == [(0, 0, 550), (1, 0, 555), (2, 0, 560)]


async def test_an_export_of_everything_goes_on_from_one_of_some_partitions(
    written: World, tmp_path: Path
) -> None:
    await exported(written, tmp_path / "grown", Asked(topic=written.topic, partitions=frozenset({1})))
    await exported(written, tmp_path / "grown")
    await exported(written, tmp_path / "at once")
    assert contents(tmp_path / "grown") == contents(tmp_path / "at once")


async def test_a_partition_without_records_stays_in_the_manifest(world: World, tmp_path: Path) -> None:
    await world.publish(messages(2))
    await exported(world, tmp_path)
    manifest = await exported(world, tmp_path, Asked(topic=world.topic, partitions=frozenset({0})))
    assert ranges(manifest) == [(0, 0, 10), (1, 0, 0), (2, 0, 0)]


async def test_a_range_without_records_adds_nothing_to_what_is_there(written: World, tmp_path: Path) -> None:
    await exported(written, tmp_path, Asked(topic=written.topic, since=10, until=100))
    for offset in (0, 400):
        nothing = Asked(topic=written.topic, since=offset, until=offset)
        manifest = await exported(written, tmp_path, nothing)
        assert ranges(manifest) == in_files(manifest) == [(0, 10, 100), (1, 10, 100), (2, 10, 100)]


async def test_whoever_reads_files_of_partitions_that_were_exported_at_different_times_finds_an_exact_seam_of_each(
    written: World, tmp_path: Path
) -> None:
    await exported(written, tmp_path)
    await written.publish(messages(10, first=5_000), 1)
    await exported(written, tmp_path, Asked(topic=written.topic, partitions=frozenset({1})))
    before = await read(written.source, written.topic)
    await written.retire(before=400, partition=0)
    await written.retire(before=555, partition=1)
    cold = replace(written.source, cold=str(tmp_path))
    seams = (await cold.plan(Asked(topic=written.topic))).seams
    assert [(seam.partition, seam.offset, seam.is_compared) for seam in seams] == [
        (0, 500, True),
        (1, 555, False),
        (2, 510, True),
    ]
    assert await read(cold, written.topic) == before


async def read(source: Source, topic: str) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for part in (await source.plan(Asked(topic=topic))).parts:
        async with aclosing(source.batches(part)) as batches:
            async for batch in batches:
                found += [(part.partition, one.offset, one.timestamp, one.key, one.value) for one in batch]
    return found


@pytest.mark.parametrize("since", [101, 9])
async def test_an_export_that_does_not_join_what_is_in_its_folder_is_refused_and_changes_nothing(
    written: World, tmp_path: Path, since: int
) -> None:
    await exported(written, tmp_path, Asked(topic=written.topic, since=10, until=100))
    before = contents(tmp_path)
    asked = Asked(topic=written.topic, since=since, until=200, partitions=frozenset({1}))
    with pytest.raises(
        LogBroken, match=f"has offsets 10 to 100 of partition 1, and {since} to 200 were asked"
    ):
        await exported(written, tmp_path, asked)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("after", [[], messages(1, first=9)])
async def test_a_missing_record_is_refused_and_not_passed_over(
    world: World, tmp_path: Path, after: list[Message]
) -> None:
    await world.publish_in_a_transaction(messages(1)[0])
    await world.publish(after)
    with pytest.raises(LogBroken, match=f"{world.topic}-0: offset 1 is missing"):
        await exported(world, tmp_path)
    assert files(tmp_path) == []


async def test_what_retention_took_is_refused_unless_it_is_not_asked_for(
    written: World, tmp_path: Path
) -> None:
    await written.retire(before=7)
    with pytest.raises(LogBroken, match=f"{written.topic}-0 begins at offset 7 by now"):
        await exported(written, tmp_path)
    manifest = await exported(written, tmp_path, Asked(topic=written.topic, since="earliest"))
    assert manifest.parts[0].start == 7


async def test_what_retention_takes_after_the_plan_was_made_is_refused_too(
    written: World, tmp_path: Path
) -> None:
    plan = await written.source.plan(Asked(topic=written.topic))
    await written.retire(before=7)
    with pytest.raises(LogBroken, match="offset 0 is not, or no longer, on the log"):
        await asyncio.to_thread(partial(export, written.source, plan, tmp_path, "parquet", 2))


async def test_a_manifest_of_something_else_is_left_alone(written: World, tmp_path: Path) -> None:
    manifest = tmp_path / written.topic / "manifest.json"
    manifest.parent.mkdir()
    manifest.write_text('{"name": "an extension"}')
    with pytest.raises(FolderTaken, match=r"manifest\.json is not of an export"):
        await exported(written, tmp_path)
    assert manifest.read_text() == '{"name": "an extension"}'


async def test_a_folder_is_of_one_format(written: World, tmp_path: Path) -> None:
    await exported(written, tmp_path)
    plan = await written.source.plan(Asked(topic=written.topic))
    with pytest.raises(FolderTaken, match="is an export as parquet"):
        export(written.source, plan, tmp_path, "csv", 1)


@pytest.fixture
async def long(world: World) -> World:
    for partition in range(world.partitions):
        await world.publish(messages(4_000, first=10_000 * partition), partition)
    return world


def wait_for_a_file(folder: Path) -> None:
    while not files(folder):
        time.sleep(0.005)


@pytest.mark.parametrize("how", ["killed", "interrupted"])
async def test_after_a_stop_in_the_middle_the_same_command_comes_to_the_same_bytes(
    long: World, tmp_path: Path, how: str
) -> None:
    words = ("export", "--topic", long.topic, "--processes", "1")
    process = await long.begins(*words, str(tmp_path / "stopped"))
    await asyncio.wait_for(asyncio.to_thread(wait_for_a_file, tmp_path / "stopped"), 60)
    if how == "killed":
        process.kill()
        await process.wait()
    else:
        code, _, complained = await interrupted(process)
        assert (code, "stopped" in complained) == (130, True), complained
    assert len(files(tmp_path / "stopped")) < long.partitions
    await long.publish(messages(1, first=90_000))  # the end that it was to have stays the end
    code, _, complained = await long.types(*words, str(tmp_path / "stopped"))
    assert (code, "goes on" in complained) == (0, True), complained
    code, _, _ = await long.types(*words, "--to-offset", "20000", str(tmp_path / "at-once"))
    assert code == 0
    assert contents(tmp_path / "stopped") == contents(tmp_path / "at-once")
