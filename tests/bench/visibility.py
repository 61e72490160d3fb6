"""From the answer to the row: how long after its answer a payment's last event is in Postgres.

The answer names its last event by its offset (`Consistency-Token`); the row is there when the projection's watermark,
which moves in the same transaction, has passed it. The watermarks are read every few milliseconds, from outside.
"""

import asyncio
import time
from array import array
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable

import asyncpg
from msgspec import Struct

from tests.bench.generator import Answer
from tests.bench.report import Report, quantile
from tests.product import Product

POLL_S = 0.004
DRAIN_S = 30.0
_WATERMARKS = "SELECT partition, next_offset FROM watermarks WHERE topic = 'payments.events.v1'"


class Visibility(Struct, frozen=True, kw_only=True):
    """Milliseconds after the answer; `drained_s` is how long after the last answer everything was visible."""

    count: int
    p50_ms: float
    p99_ms: float
    drained_s: float


async def watch_visibility(
    product: Product, load: Callable[[Callable[[Answer], None]], Awaitable[Report]]
) -> Visibility:
    watcher = _Watcher()
    connection = await asyncpg.connect(product.stack.env["DATABASE_URL"])
    polling = asyncio.create_task(watcher.poll(connection))
    try:
        await load(watcher.answered)
        ended = time.perf_counter()
        async with asyncio.timeout(DRAIN_S):
            while watcher.waits:  # noqa: ASYNC110  # what it waits for is polled as well
                await asyncio.sleep(POLL_S)
        drained_s = time.perf_counter() - ended
    finally:
        polling.cancel()
        await asyncio.wait([polling])
        await connection.close()
    ordered = sorted(watcher.samples_s)
    return Visibility(
        count=len(ordered),
        p50_ms=round(quantile(ordered, 0.5) * 1000, 1),
        p99_ms=round(quantile(ordered, 0.99) * 1000, 1),
        drained_s=round(drained_s, 2),
    )


class _Watcher:
    def __init__(self) -> None:
        self.samples_s: array[float] = array("d")
        self._waiting: dict[int, deque[tuple[int, float]]] = defaultdict(deque)

    @property
    def waits(self) -> bool:
        return any(self._waiting.values())

    def answered(self, answer: Answer) -> None:
        place, _, offset = answer.headers.get(b"consistency-token", b"").decode().rpartition(":")
        if offset:
            self._waiting[int(place.rpartition("-")[2])].append((int(offset), time.perf_counter()))

    async def poll(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        while True:
            rows = await connection.fetch(_WATERMARKS)
            now = time.perf_counter()
            for row in rows:
                waiting = self._waiting[row["partition"]]
                still = deque(item for item in waiting if item[0] >= row["next_offset"])
                self.samples_s.extend(now - since for offset, since in waiting if offset < row["next_offset"])
                self._waiting[row["partition"]] = still
            await asyncio.sleep(POLL_S)
