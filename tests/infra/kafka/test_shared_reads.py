"""Readers of one partition share their reads, and each gets what it asked for."""

import asyncio
from collections.abc import Sequence

import pytest

from infra.kafka.shared_reads import MOST_TOGETHER, SharedReads
from schemas.errors import LogUnavailable

TOPIC = "payments.events.v1"


class Partition:
    """Its records are their own offsets. `reads` are those that were made; nobody gets past a closed gate."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int, int]] = []
        self.gate = asyncio.Event()
        self.is_away = False
        self.gate.set()

    async def read(self, topic: str, partition: int, start: int, stop: int) -> Sequence[int]:
        self.reads.append((partition, start, stop))
        await self.gate.wait()
        if self.is_away:
            raise LogUnavailable("away")
        return list(range(start, stop))

    async def end_offset(self, topic: str, partition: int) -> int:
        return 1_000


async def many(log: Partition, *ranges: tuple[int, int]) -> list[list[int]]:
    """All of them wanted while the partition is being read for somebody else."""
    shared = SharedReads(log)
    log.gate.clear()
    first = asyncio.create_task(shared.read(TOPIC, 0, 0, 1))
    await asyncio.sleep(0)
    reads = [asyncio.create_task(shared.read(TOPIC, 0, start, stop)) for start, stop in ranges]
    await asyncio.sleep(0)
    log.gate.set()
    await asyncio.wait([first])
    return [list(records) for records in await asyncio.gather(*reads)]


async def test_a_single_read_is_made_at_once() -> None:
    log = Partition()
    assert list(await SharedReads(log).read(TOPIC, 3, 5, 9)) == [5, 6, 7, 8]
    assert log.reads == [(3, 5, 9)]


async def test_neighbours_share_a_read_and_each_gets_its_own() -> None:
    log = Partition()
    assert await many(log, (500, 505), (520, 523), (495, 501)) == [
        [500, 501, 502, 503, 504],
        [520, 521, 522],
        [495, 496, 497, 498, 499, 500],
    ]
    assert log.reads == [(0, 0, 1), (0, 495, 523)]


async def test_those_that_lie_far_apart_are_read_side_by_side() -> None:
    log = Partition()
    assert await many(log, (100, 101), (900, 902)) == [[100], [900, 901]]
    assert log.reads == [(0, 0, 1), (0, 100, 101), (0, 900, 902)]


async def test_a_shared_read_has_a_limit() -> None:
    log = Partition()
    await many(log, (0, MOST_TOGETHER), (10, MOST_TOGETHER + 1))
    assert log.reads[1:] == [(0, 0, MOST_TOGETHER), (0, 10, MOST_TOGETHER + 1)]


async def test_partitions_do_not_wait_for_one_another() -> None:
    log = Partition()
    shared = SharedReads(log)
    log.gate.clear()
    reads = [asyncio.create_task(shared.read(TOPIC, partition, 0, 1)) for partition in range(3)]
    await asyncio.sleep(0.01)
    assert log.reads == [(0, 0, 1), (1, 0, 1), (2, 0, 1)]
    log.gate.set()
    await asyncio.gather(*reads)


async def test_everybody_hears_that_the_log_is_away_and_may_ask_again() -> None:
    log = Partition()
    log.is_away = True
    shared = SharedReads(log)
    reads = [asyncio.create_task(shared.read(TOPIC, 0, 0, stop)) for stop in (1, 2, 3)]
    await asyncio.wait(reads)
    assert [type(read.exception()) for read in reads] == [LogUnavailable] * 3
    log.is_away = False
    assert list(await shared.read(TOPIC, 0, 7, 8)) == [7]


async def test_one_who_goes_away_takes_nothing_from_the_others() -> None:
    log = Partition()
    shared = SharedReads(log)
    log.gate.clear()
    gone, stays = (asyncio.create_task(shared.read(TOPIC, 0, 0, stop)) for stop in (1, 2))
    await asyncio.sleep(0.01)
    gone.cancel()
    log.gate.set()
    assert list(await stays) == [0, 1]
    with pytest.raises(asyncio.CancelledError):
        await gone
