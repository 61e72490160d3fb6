"""How far each consumer is behind the log, by group, topic and partition, and whether it still moves.

Health is *the watermark advances while the log grows*. Where Kafka or a store is away, the rows show what was known,
the sources show how old that is, and nobody is called stalled for what we could not see.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from api import metrics
from api.ports import EndOffsets, GroupOffsets, Watermarks
from api.progress import LagStatus, Progress
from api.watch import Watched, repeating
from commands.ports import Clock
from commands.standing_alarms import JudgeProjection
from schemas.base import Value
from schemas.views import Watermark

_Place = tuple[str, str, int]
"""Group, topic, partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """A group, what it reads, and where its projections stand; where it has none there are only its offsets."""

    group: str
    topics: tuple[str, ...]
    watermarks: Watermarks | None = None


class PartitionLag(Value, frozen=True, kw_only=True):
    """None where it was never seen. `lag` counts from the watermark, or from the group's offset where there is none."""

    group: str
    topic: str
    partition: int
    group_offset: int | None
    watermark: int | None
    end_offset: int | None
    lag: int | None
    time_lag_ms: int | None
    """How long records have waited to be applied, to within a second or two."""
    status: LagStatus | None


class SourceState(Value, frozen=True, kw_only=True):
    name: str
    ok: bool
    detail: str
    age_ms: int | None


class LagAnswer(Value, frozen=True, kw_only=True):
    partitions: tuple[PartitionLag, ...]
    sources: tuple[SourceState, ...]


class LagMonitor:
    def __init__(
        self, clock: Clock, ends: EndOffsets, offsets: GroupOffsets, consumers: Sequence[Consumer]
    ) -> None:
        self._clock = clock
        self._consumers = consumers
        topics = sorted({topic for consumer in consumers for topic in consumer.topics})
        self._ends = {topic: Watched(_asking(ends, topic), clock) for topic in topics}
        self._offsets = {
            consumer.group: Watched(_asking(offsets, consumer.group), clock) for consumer in consumers
        }
        self._marks = {
            (consumer.group, topic): Watched(consumer.watermarks, clock)
            for consumer in consumers
            if consumer.watermarks
            for topic in consumer.topics
        }
        self._progress: dict[_Place, Progress] = {}

    def running(self) -> AbstractAsyncContextManager[None]:
        return repeating(self.look)

    async def look(self) -> None:
        await asyncio.gather(*(watched.look() for _, watched in self._sources()))
        for place in self._places():
            self._see(place)

    def answer(self) -> LagAnswer:
        return LagAnswer(
            partitions=tuple(self._row(place) for place in self._places()),
            sources=tuple(
                SourceState(
                    name=name,
                    ok=watched.trouble is None,
                    detail=watched.trouble or "ok",
                    age_ms=watched.age_ms,
                )
                for name, watched in self._sources()
            ),
        )

    def judgeable(self) -> Iterator[JudgeProjection]:
        """Of each group and topic whose log and consumer were both seen a moment ago."""
        now_ms = round(self._clock.elapsed_ms())
        for consumer in self._consumers:
            for topic in consumer.topics:
                watched = self._marks.get((consumer.group, topic)) or self._offsets[consumer.group]
                if watched.trouble or self._ends[topic].trouble:
                    continue
                rows = {
                    place: self._row(place)
                    for place in self._places()
                    if place[:2] == (consumer.group, topic) and place in self._progress
                }
                still_s = {place[2]: self._progress[place].still_ms(now_ms) / 1000 for place in rows}
                yield JudgeProjection(
                    group=consumer.group,
                    topic=topic,
                    still_s={partition: seconds for partition, seconds in still_s.items() if seconds},
                    records=sum(row.lag or 0 for row in rows.values()),
                    behind_s=max((row.time_lag_ms or 0 for row in rows.values()), default=0) / 1000,
                )

    def _sources(self) -> Iterator[tuple[str, Watched[Any]]]:
        yield from ((f"end offsets of {topic}", watched) for topic, watched in self._ends.items())
        yield from ((f"offsets of {group}", watched) for group, watched in self._offsets.items())
        yield from ((f"watermarks of {group}", watched) for (group, _), watched in self._marks.items())

    def _places(self) -> Iterator[_Place]:
        for consumer in self._consumers:
            for topic in consumer.topics:
                known = set(self._ends[topic].latest or ())
                for watched in (self._offsets[consumer.group], self._marks.get((consumer.group, topic))):
                    seen: Mapping[tuple[str, int], object] = (watched and watched.latest) or {}
                    known |= {partition for its_topic, partition in seen if its_topic == topic}
                yield from ((consumer.group, topic, partition) for partition in sorted(known))

    def _see(self, place: _Place) -> None:
        """Only what was seen just now, of both the log and the consumer, says anything about progress."""
        group, topic, partition = place
        position, end = self._position(place), (self._ends[topic].latest or {}).get(partition)
        consumer = self._marks.get((group, topic)) or self._offsets[group]
        if position is None or end is None or consumer.trouble or self._ends[topic].trouble:
            return
        now_ms = round(self._clock.elapsed_ms())
        if place not in self._progress:
            self._progress[place] = Progress(
                position, end, now_ms, now_ms - self._since_last_applied_ms(place)
            )
        progress = self._progress[place]
        progress.see(position, end, now_ms)
        metrics.CONSUMER_LAG.labels(group, topic, partition).set(max(0, end - position))
        metrics.CONSUMER_LAG_SECONDS.labels(group, topic, partition).set(progress.time_lag_ms(now_ms) / 1000)

    def _row(self, place: _Place) -> PartitionLag:
        group, topic, partition = place
        position, end = self._position(place), (self._ends[topic].latest or {}).get(partition)
        progress, mark = self._progress.get(place), self._mark(place)
        now_ms = round(self._clock.elapsed_ms())
        return PartitionLag(
            group=group,
            topic=topic,
            partition=partition,
            group_offset=(self._offsets[group].latest or {}).get((topic, partition)),
            watermark=mark.next_offset if mark else None,
            end_offset=end,
            lag=None if position is None or end is None else max(0, end - position),
            time_lag_ms=progress.time_lag_ms(now_ms) if progress else None,
            status=progress.status(now_ms) if progress else None,
        )

    def _mark(self, place: _Place) -> Watermark | None:
        group, topic, partition = place
        watched = self._marks.get((group, topic))
        return ((watched and watched.latest) or {}).get((topic, partition))

    def _position(self, place: _Place) -> int | None:
        """Who has never been in a partition stands at its beginning; None while nobody could tell us."""
        group, topic, partition = place
        if watched := self._marks.get((group, topic)):
            mark = self._mark(place)
            return mark.next_offset if mark else self._beginning(watched)
        offsets = self._offsets[group]
        return (offsets.latest or {}).get((topic, partition), self._beginning(offsets))

    @staticmethod
    def _beginning(told: Watched[Any]) -> int | None:
        return None if told.latest is None else 0

    def _since_last_applied_ms(self, place: _Place) -> int:
        mark = self._mark(place)
        return max(0, round(self._clock.now().timestamp() * 1000) - mark.last_stamp_ms) if mark else 0


T = TypeVar("T")


def _asking(ask: Callable[[str], Awaitable[T]], name: str) -> Callable[[], Awaitable[T]]:
    return lambda: ask(name)
