"""Exports of real topics: whole, the same in any number of processes, and the same after any stop."""

import asyncio
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet
import pytest

from infra.kafka.producer import Message
from schemas.errors import LogBroken
from streams.replay.errors import FolderTaken
from streams.replay.export import Manifest, export
from streams.replay.plan import Asked
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


async def test_an_export_that_would_leave_a_hole_in_its_folder_is_refused(
    written: World, tmp_path: Path
) -> None:
    await exported(written, tmp_path, Asked(topic=written.topic, until=100))
    with pytest.raises(LogBroken, match="the folder has offsets 0 to 100 of partition 0"):
        await exported(written, tmp_path, Asked(topic=written.topic, since=101))


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
