"""A disk that is full in the middle: said in a line, by a code, and nothing is left that looks whole."""

import os
from pathlib import Path

import pytest

from infra.kafka.partition import partition_for
from infra.kafka.topics import make_topics
from schemas.codec import PAYMENTS_TOPIC
from tests.streams.replay.world import World, messages

pytestmark = pytest.mark.integration

NOT_DONE = 1
LIMITED = """
import resource, sys
from streams.cli import run
largest = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
run()
"""
"""No file of this process, or of those that it begins, may grow beyond that: it is told so as by a full disk."""


async def types_with_little_room(world: World, largest: int, *words: str) -> tuple[int, str, str]:
    # Or what is compiled meanwhile would be cut off, and stay so.
    return await world.types(
        str(largest),
        *words,
        program=("-c", LIMITED),
        PYTHONDONTWRITEBYTECODE="1",
    )


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("format", ["parquet", "csv"])
async def test_an_export_leaves_no_file_that_is_not_whole_and_goes_on_when_there_is_room(
    world: World, tmp_path: Path, format: str
) -> None:
    """Of so many records that some are written before all of them are there."""
    await world.publish(messages(2_100))
    words = ("export", "--topic", world.topic, "--format", format, str(tmp_path))
    code, said, complained = await types_with_little_room(world, 4_096, *words)
    assert (code, said, complained.count("\n")) == (NOT_DONE, "", 1), complained
    assert "File too large" in complained
    assert files(tmp_path) == ["manifest.json"]
    code, _, complained = await world.types(*words)
    assert (code, "goes on" in complained) == (0, True), complained


async def test_a_replay_leaves_what_had_that_name_before(world: World, tmp_path: Path) -> None:
    await make_topics(world.settings)
    payment, *_ = life = messages(1)
    await world.on(PAYMENTS_TOPIC).publish(life, partition_for((payment[0] or b"").decode()))
    file = tmp_path / "payments.jsonl"
    file.write_text("of yesterday")
    words = ("replay", "payments", "--file", str(file))
    code, said, complained = await types_with_little_room(world, 100, *words)
    assert (code, said, complained.count("\n")) == (NOT_DONE, "", 1), complained
    assert "File too large" in complained
    assert os.listdir(tmp_path) == ["payments.jsonl"]
    assert file.read_text() == "of yesterday"
