"""Every partition is tended by itself."""

import asyncio
from collections.abc import Callable, Collection

from infra.memory.metrics import MemoryMetricsCheckpoints, MemoryShards
from infra.memory.projections import MemoryDeadLetters, MemoryRecords
from projections.hot_metrics import HotMetrics
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import LogUnavailable
from streams.metrics_worker import tend
from tests.projections.outcomes import SUCCESS, records, told
from tests.projections.story import BEGIN_MS


class Log(MemoryRecords):
    """Of one partition nothing can be read."""

    async def end_offset(self, topic: str, partition: int) -> int:
        if partition == 0:
            raise LogUnavailable("its leader is away")
        return await super().end_offset(topic, partition)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  # another task makes it so
            await asyncio.sleep(0.01)


async def test_a_partition_that_is_stuck_keeps_no_other_from_being_tended() -> None:
    log, store = Log(), MemoryShards()
    metrics = HotMetrics(
        PAYMENTS_TOPIC, store, MemoryMetricsCheckpoints(), log, MemoryDeadLetters(), lambda: BEGIN_MS
    )
    for partition in range(3):
        for record in records([told(SUCCESS)]):
            log.append(PAYMENTS_TOPIC, partition, BEGIN_MS, record.key, record.value, record.headers)
    assigned: Collection[int] = [0, 1]
    tending = asyncio.create_task(tend(metrics, lambda: assigned))
    await until(lambda: 1 in metrics.shards)

    assigned = [0, 1, 2]
    await until(lambda: 2 in metrics.shards)
    store.flush()
    async with asyncio.timeout(5):
        while await store.watermark(1) is None:  # noqa: ASYNC110  # another task makes it so
            await asyncio.sleep(0.01)

    tending.cancel()
    await asyncio.wait([tending])
