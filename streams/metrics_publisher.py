"""One worker publishes for all: it merges the shards of every partition and tells what the windows are now.

Its own shards it has in memory; those of other workers it follows through the store, by what changed there. Whoever
holds the lease publishes; when it dies, another one does two seconds later, with a higher version. A new one first sums
an hour of everything, which takes longer than the lease lasts: so it is renewed between the steps of the work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from msgspec import Struct

from infra.clock import SystemClock
from projections.gateway_health import gateway_health
from projections.hot_metrics import HotMetrics
from projections.merge import Merge
from projections.ports import ShardStore
from projections.publication import Publication
from projections.reach import MOST_MS, NOTHING_YET, behind_ms
from projections.shard import KEPT
from schemas.errors import Unavailable
from schemas.metrics import BUCKET_S, GatewayHealth, Published, StoredShard
from schemas.views import Watermark
from streams.agent import first_to_end

PUBLISH_EVERY_S = 0.15
LEASE_MS = 2_000
RENEW_EVERY_MS = 500
MERGED_KEPT_MS = 10_000
"""By who lost the lease, which may come back."""
SILENT_AFTER_MS = 5_000
"""Without a publication of anybody's it is complained of: the hour's sums take half of that on a busy machine."""
LOOK_EVERY_S = 1.0
"""At the ends of the log: the figures are known to hold what was there at the last look."""
BEHIND_AFTER_S = 10.0


class Publications(Protocol):
    async def lead(self, name: str, for_ms: int) -> bool: ...

    async def published(self) -> Published | None: ...

    async def publish(self, published: Published, gateways: Mapping[str, bytes], snapshot: bytes) -> None: ...


class PublisherCounts(Struct):
    published: int = 0
    leads: int = 0
    """1 while this worker publishes."""
    busy_ms: float = 0.0
    """Spent on all of them together."""


class Look(NamedTuple):
    at: datetime
    ends: Mapping[int, int]
    """Of every partition, not before that moment."""


class MetricsPublisher:
    def __init__(
        self,
        name: str,
        metrics: HotMetrics,
        store: ShardStore,
        publications: Publications,
        clock: SystemClock,
        partitions: int,
        ends: Callable[[], Awaitable[Mapping[int, int]]],
    ) -> None:
        self._name = name
        self._metrics = metrics
        self._store = store
        self._publications = publications
        self._clock = clock
        self._partitions = range(partitions)
        self._ends = ends
        self._look: Look | None = None
        self._led: Led | None = None
        self._asked_ms = 0.0
        self._heard: Published | None = None
        """What was published last, by whomever."""
        self._heard_ms = clock.elapsed_ms()
        self._waiting_for: str | None = None
        self._health: tuple[GatewayHealth, ...] | None = None
        self._wants_health = False
        self.counts = PublisherCounts()

    @property
    def complaint(self) -> str | None:
        """What it waits for, that nobody publishes, or that it is old; None when all is well."""
        if self._waiting_for is not None:
            return self._waiting_for
        silent_ms = self._clock.elapsed_ms() - self._heard_ms
        if silent_ms > SILENT_AFTER_MS:
            though = " though this worker leads" if self.counts.leads else ""
            return f"nothing was published for {silent_ms / 1000:.0f} s{though}"
        if self._heard is not None and self._heard.through is not None:
            behind_s = (self._clock.now() - self._heard.through).total_seconds()
            if behind_s > BEHIND_AFTER_S:
                return f"what is published is {behind_s:.0f} s behind the log"
        return None

    async def run(self) -> None:
        """Never returns."""
        await first_to_end(self._keep_looking(), self._keep_publishing())

    async def look(self) -> None:
        """Learn what there is to fold. Raises Unavailable."""
        at = self._clock.now()
        self._look = Look(at, await self._ends())

    async def _keep_looking(self) -> None:
        """While the log is away nothing is known of what was added, and what is published grows old."""
        while True:
            with suppress(Unavailable):
                await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _keep_publishing(self) -> None:
        """What is not published now is with the next turn."""
        self._heard_ms = self._clock.elapsed_ms()
        while True:
            begun_ms = self._clock.elapsed_ms()
            try:
                await self.turn()
            except Unavailable as error:
                self._waiting_for = f"{type(error).__name__}: {error}"
            else:
                self._waiting_for = None
            spent_s = (self._clock.elapsed_ms() - begun_ms) / 1000
            await asyncio.sleep(
                max(PUBLISH_EVERY_S - spent_s, spent_s)
            )  # half of the time is the agent's at least

    async def turn(self) -> None:
        """Publish once, if the lease is ours. Raises Unavailable."""
        begun_ms, led_before = self._clock.elapsed_ms(), self.counts.leads
        if not await self._lead():
            await self._stand_by()
            return
        if not led_before:
            await self._hear()
        self._led = self._led or Led(self._now())
        self._led.at_ms = begun_ms
        await self._gather(self._led)
        if await self._settle(self._led):
            await self._tell(self._led)
        self.counts.busy_ms += self._clock.elapsed_ms() - begun_ms

    async def _lead(self) -> bool:
        self._asked_ms = self._clock.elapsed_ms()
        leads = await self._publications.lead(self._name, LEASE_MS)
        self.counts.leads = int(leads)
        return leads

    async def _still_leads(self) -> bool:
        """Asked between any two steps: the lease is renewed long before it ends, or known to be lost."""
        if self._clock.elapsed_ms() - self._asked_ms < RENEW_EVERY_MS:
            return bool(self.counts.leads)
        return await self._lead()

    async def _stand_by(self) -> None:
        if self._led is not None and self._clock.elapsed_ms() - self._led.at_ms > MERGED_KEPT_MS:
            self._led = None
        for partition in self._partitions:
            news = self._metrics.take_news(partition)
            if self._led is not None:
                self._led.merge.note(news)
        await self._hear()

    async def _hear(self) -> None:
        last = await self._publications.published()
        if last is not None and last != self._heard:
            self._heard, self._heard_ms = last, self._clock.elapsed_ms()

    async def _settle(self, led: "Led") -> bool:
        """Whether the lease is still ours when all is summed and written; what was done stays."""
        while led.merge.settle():
            await asyncio.sleep(0)  # others have their turns between
            if not await self._still_leads():
                return False
        led.merge.windows.advance(self._now())
        for _ in led.publication.steps():
            await asyncio.sleep(0)
            if not await self._still_leads():
                return False
        return await self._still_leads()

    async def _gather(self, led: "Led") -> None:
        others = []
        for partition in self._partitions:
            news, shard = self._metrics.take_news(partition), self._metrics.shards.get(partition)
            if shard is None:
                others.append(partition)
                continue
            led.marks[partition] = shard.watermark
            if led.merge.holds(partition, shard.buckets):
                led.merge.note(news)
            else:
                led.merge.replace(partition, shard.buckets)
        await asyncio.gather(*(self._follow(led, partition) for partition in others))

    async def _follow(self, led: "Led", partition: int) -> None:
        known = led.copies.get(partition)
        if known is None or not led.merge.holds(partition, known.buckets):
            known = StoredShard(NOTHING_YET, {})
        changed = await self._store.changed_since(partition, known.watermark.next_offset)
        await self._still_leads()
        if changed is not None and changed.watermark.next_offset < known.watermark.next_offset:
            changed, known = await self._store.load(partition), StoredShard(NOTHING_YET, {})
        if changed is not None:
            led.follow(partition, known, changed)

    async def _tell(self, led: "Led") -> None:
        now = self._clock.now()
        before = self._heard.version if self._heard else 0
        version = max(before + 1, int(now.timestamp() * 1000))
        published = Published(version=version, as_of=now, through=self._through(led, now))
        gateways, snapshot = led.publication.gateways(published), led.publication.snapshot(published)
        await self._publications.publish(published, gateways, snapshot)
        self._heard, self._heard_ms = published, self._clock.elapsed_ms()
        self.counts.published += 1
        if self._wants_health and self.complaint is None:
            self._health, self._wants_health = tuple(gateway_health(led.merge.windows)), False

    def take_health(self) -> tuple[GatewayHealth, ...] | None:
        """As it was published since this was asked the last time; None from who does not publish, or is behind."""
        health, self._health, self._wants_health = self._health, None, True
        return health

    def _through(self, led: "Led", now: datetime) -> datetime:
        if self._look is None:
            return now - timedelta(milliseconds=MOST_MS)
        at, ends = self._look
        return at - timedelta(milliseconds=behind_ms(int(at.timestamp() * 1000), ends, led.marks))

    def _now(self) -> int:
        return int(self._clock.now().timestamp()) // BUCKET_S


class Led:
    """What is known as long as the lease is held, and for some seconds more."""

    def __init__(self, now: int) -> None:
        self.at_ms = 0.0
        """When it was last led with."""
        self.merge = Merge(now)
        self.publication = Publication(self.merge.windows)
        self.copies: dict[int, StoredShard] = {}
        self.marks: dict[int, Watermark] = {}
        """What of each partition is merged."""

    def follow(self, partition: int, known: StoredShard, changed: StoredShard) -> None:
        """A copy of another worker's shard, with the buckets that changed."""
        for bucket, tallies in changed.buckets.items():
            self.merge.note({bucket: known.buckets.get(bucket, {}).keys() | tallies.keys()})
            known.buckets[bucket] = tallies
        for bucket in [b for b in known.buckets if b <= self.merge.windows.now - KEPT]:
            del known.buckets[bucket]
        self.copies[partition] = StoredShard(changed.watermark, known.buckets)
        self.marks[partition] = changed.watermark
        if not self.merge.holds(partition, known.buckets):
            self.merge.replace(partition, known.buckets)
