"""Payments as a file: the fold of the log, byte for byte the same however it was made."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from infra.local.stack import Stack
from schemas.ids import PaymentId
from schemas.views import PaymentHistory
from streams.replay.errors import Stopped
from streams.replay.export import export
from streams.replay.histories import Histories
from streams.replay.into_file import payments_into_file
from streams.replay.processes import Monitor, Tell
from streams.replay.source import Source
from streams.replay.turns import in_turns
from tests.streams.replay.test_into_postgres import World
from tests.streams.replay.world import World as Topic
from tests.streams.replay.world import messages

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    world = World(stack)
    await world.open()
    yield world
    await world.close()


async def written(
    world: World,
    path: Path,
    processes: int = 1,
    source: Source | None = None,
    tell: Tell = lambda _: None,
) -> int:
    work = partial(payments_into_file, source or world.source, world.plan, path, processes, tell)
    return await asyncio.to_thread(work)


async def test_every_line_is_the_fold_of_a_payments_records_in_the_order_of_ids(
    world: World, tmp_path: Path
) -> None:
    dead = await written(world, tmp_path / "payments.jsonl")
    histories = msgspec.json.Decoder(PaymentHistory).decode_lines((tmp_path / "payments.jsonl").read_bytes())
    ids = [history.payment.payment_id for history in histories]
    assert ids == sorted(world.payments)
    assert dict(zip(ids, histories, strict=True)) == await world.folded()
    assert dead == len(world.plan.parts)


async def test_twice_in_other_numbers_of_processes_or_from_an_export_the_bytes_are_the_same(
    world: World, tmp_path: Path
) -> None:
    await asyncio.to_thread(partial(export, world.source, world.plan, tmp_path / "cold", "parquet", 1))
    await written(world, tmp_path / "one")
    await written(world, tmp_path / "two", processes=2)
    await written(world, tmp_path / "cold.jsonl", source=replace(world.source, cold=str(tmp_path / "cold")))
    one, two, cold = (tmp_path / name for name in ("one", "two", "cold.jsonl"))
    assert one.read_bytes() == two.read_bytes() == cold.read_bytes()
    assert one.read_bytes()


async def test_one_that_was_stopped_leaves_nothing(world: World, tmp_path: Path) -> None:
    def stop(read: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        await written(world, tmp_path / "payments.jsonl", tell=stop)
    assert os.listdir(tmp_path) == []


async def test_a_hole_in_the_log_is_no_file(stack: Stack, tmp_path: Path) -> None:
    topic = Topic(stack.env, partitions=1)
    await topic.open()
    first, second = messages(1)[:2]
    await topic.publish_in_a_transaction(first)
    await topic.publish([second])
    code, _, complained = await topic.types(
        "replay", "metrics", "--file", str(tmp_path / "holes"), METRICS_STREAM_KEY=topic.topic
    )
    assert (code, "offset 1 is missing" in complained) == (4, True), complained
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("at_once", [3, 7, 1_000])
async def test_a_partition_that_is_folded_in_turns_comes_to_the_same(world: World, at_once: int) -> None:
    folded: dict[PaymentId, PaymentHistory] = {}
    for part in world.plan.parts:
        monitor = Monitor(lambda _: None)
        async with aclosing(in_turns(world.source, part, Histories, monitor, at_once=at_once)) as turns:
            async for turn in turns:
                assert not folded.keys() & turn.known.keys()
                folded |= turn.known
    assert folded == await world.folded()
