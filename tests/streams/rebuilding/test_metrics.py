"""Shards made anew beside a worker that goes on: what the log does not say leaves, also from the worker's memory."""

import asyncio

import pytest

from infra.memory.metrics import MemoryMetricsCheckpoints, MemoryShards
from infra.memory.projections import MemoryDeadLetters, MemoryRecords
from projections.hot_metrics import HotMetrics, fold
from schemas.codec import PAYMENTS_TOPIC
from schemas.metrics import Buckets, Cell, Changes
from schemas.outcome import Outcome
from streams.rebuilding import metrics
from streams.rebuilding.metrics import ShardRebuild
from tests.folds import filled
from tests.projections.outcomes import NOW, SUCCESS, UPI, an_empty_shard, decline, records, told
from tests.projections.story import BEGIN_MS

STRAY = Cell("nobody", "UPI", "method", "")


class World:
    """One partition, and the worker that keeps its shard."""

    def __init__(self) -> None:
        self.log, self.store = MemoryRecords(), MemoryShards()
        self.worker = self.another_worker()

    def another_worker(self) -> HotMetrics:
        checkpoints, letters = MemoryMetricsCheckpoints(), MemoryDeadLetters()
        return HotMetrics(PAYMENTS_TOPIC, self.store, checkpoints, self.log, letters, lambda: BEGIN_MS)

    def append(self, *outcomes: Outcome) -> None:
        for record in records([told(outcome) for outcome in outcomes]):
            self.log.append(PAYMENTS_TOPIC, 0, BEGIN_MS, record.key, record.value, record.headers)

    async def take_in(self) -> None:
        end = await self.log.end_offset(PAYMENTS_TOPIC, 0)
        await self.worker.absorb(await self.log.read(PAYMENTS_TOPIC, 0, end - 1, end))

    async def spoil(self) -> None:
        """The worker remembers, and the store has, what no record says."""
        shard = self.worker.shards[0]
        shard.buckets[NOW][UPI] = {"success": 77}
        shard.buckets.setdefault(NOW - 3, {})[STRAY] = {"success": 5}
        changes = Changes({bucket: dict(cells) for bucket, cells in shard.buckets.items()}, frozenset())
        assert await self.store.store(0, shard.next_offset, shard.watermark, changes) == "expected"

    def rebuild(self) -> ShardRebuild:
        return ShardRebuild(PAYMENTS_TOPIC, 0, self.store, self.log, _not_at_all)

    async def stored(self) -> Buckets:
        stored = await self.store.load(0)
        assert stored is not None
        return filled(stored.buckets)

    async def folded(self) -> Buckets:
        shard = an_empty_shard(0)
        fold(shard, await self.log.read(PAYMENTS_TOPIC, 0, 0, await self.log.end_offset(PAYMENTS_TOPIC, 0)))
        return filled(shard.buckets)


async def _not_at_all(_: float) -> None:
    """Nobody is disturbed here."""


@pytest.fixture
async def world() -> World:
    world = World()
    world.append(SUCCESS, SUCCESS, decline())
    await world.take_in()
    return world


async def test_a_shard_that_is_what_the_log_says_is_left_alone(world: World) -> None:
    assert await world.rebuild().is_alike()


async def test_a_shard_that_says_something_else_is_replaced_while_its_worker_goes_on(world: World) -> None:
    await world.spoil()
    rebuild = world.rebuild()
    assert not await rebuild.is_alike()
    world.append(SUCCESS)  # the worker has not taken it in yet
    assert await rebuild.switch()
    assert await world.stored() == await world.folded()

    world.append(decline(), SUCCESS)
    await world.take_in()
    assert await world.stored() == await world.folded()
    assert filled(world.worker.shards[0].buckets) == await world.folded()
    assert await world.rebuild().is_alike()


async def test_a_worker_that_was_faster_is_waited_for_until_there_is_more(world: World) -> None:
    await world.spoil()
    rebuild = world.rebuild()
    await rebuild.is_alike()
    switching = asyncio.create_task(rebuild.switch())
    await asyncio.sleep(0.05)
    assert not switching.done()
    world.append(SUCCESS)
    assert await switching
    assert await world.stored() == await world.folded()


async def test_a_shard_to_which_nothing_is_appended_stays_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.spoil()
    before = await world.stored()
    monkeypatch.setattr(metrics, "AHEAD_WITHIN_S", 0.1)
    rebuild = world.rebuild()
    assert not await rebuild.is_alike()
    assert not await rebuild.switch()
    assert await world.stored() == before


async def test_whoever_follows_the_shard_hears_of_buckets_that_should_not_have_been(world: World) -> None:
    await world.spoil()
    mark = await world.store.watermark(0)
    assert mark is not None
    rebuild = world.rebuild()
    await rebuild.is_alike()
    world.append(SUCCESS)
    assert await rebuild.switch()
    changed = await world.store.changed_since(0, mark.next_offset)
    assert changed is not None
    assert changed.buckets[NOW - 3] == {}


async def test_a_shard_that_is_not_there_is_its_workers_to_bring_back(world: World) -> None:
    world.store.flush()
    assert await world.rebuild().is_alike()
