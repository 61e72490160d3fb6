"""Keeps the audit: reads the topics that people change things by, and stores an entry for each change.

It reads ranges of offsets beside the consumer groups, as a rebuild does. What an entry says of the state before it is
folded from the beginning of its topic; of reviews there is no state before. Any number of keepers may run side by side:
the watermarks let each entry in once, and where they were taken back all of it is made anew.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import structlog
from msgspec import Struct

from commands import experiment_state
from commands.routing import configuration
from projections.absorption import dead_letter, decoded
from projections.audit import OnceByNumber, Trail
from projections.ports import AuditSink, DeadLetters, RawRecord
from schemas.audit import AuditEntry
from schemas.base import Event
from schemas.codec import (
    CIRCUITS_TOPIC,
    CONFIGURATION_TOPIC,
    EXPERIMENTS_TOPIC,
    NOTIFICATIONS_TOPIC,
)
from schemas.envelope import Recorded
from schemas.errors import Unavailable, Unreadable
from schemas.notification import ReviewDecided
from schemas.views import DeadLetter, Watermark

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.25
CHUNK = 1_000
"""Records that are read and stored at a time."""

S = TypeVar("S")
Judge = Callable[[Recorded[Event]], bool]


class Log(Protocol):
    """Raises LogUnavailable."""

    async def read(self, topic: str, partition: int, start: int, stop: int) -> Sequence[RawRecord]: ...

    async def end_offsets(self, topic: str) -> Mapping[int, int]: ...


class Reading(Struct):
    """A partition as far as this process has read it."""

    trail: Trail
    next_offset: int


def begun(topic: str, stored: int) -> Reading:
    """Where a partition has to be read from, to keep what comes from `stored` on."""
    is_small = topic != NOTIFICATIONS_TOPIC
    trail = Trail(_JUDGES[topic](), from_beginning=is_small)
    return Reading(trail, 0 if is_small else stored)


class AuditKeeper:
    def __init__(self, sink: AuditSink, log: Log, dead_letters: DeadLetters) -> None:
        self._sink = sink
        self._log = log
        self._dead_letters = dead_letters
        self._readings: dict[tuple[str, int], Reading] = {}
        self.trouble: str | None = None
        """Why nothing is kept."""

    async def run(self) -> None:
        """For ever: payments' views are kept beside it, and must not stop for the audit."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                self.trouble = f"the audit is not kept: {error}"
                log.warning("the audit is not kept", reason=str(error))
            except Exception as error:  # a defect of ours: told by readiness, and tried again
                self.trouble = f"the audit is not kept: {type(error).__name__}: {error}"
                log.exception("the audit is not kept")
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Read and store what is new. Raises Unavailable; what was not stored is then read again."""
        marks = await self._sink.watermarks()
        for topic in TOPICS:
            for partition, end in (await self._log.end_offsets(topic)).items():
                mark = marks.get((topic, partition))
                await self._follow(topic, partition, mark.next_offset if mark is not None else 0, end)
        self.trouble = None

    async def _follow(self, topic: str, partition: int, stored: int, end: int) -> None:
        here = topic, partition
        reading = self._readings.pop(here, None)
        if reading is None or reading.next_offset > stored:  # never read, or taken back
            reading = begun(topic, stored)
        while reading.next_offset < end:
            first = reading.next_offset
            records = await self._log.read(topic, partition, first, min(end, first + CHUNK))
            if not await self.take(reading, records, stored):
                return
        self._readings[here] = reading

    async def take(self, reading: Reading, records: Sequence[RawRecord], stored: int) -> bool:
        """What comes next on that partition: it is kept where it is not below `stored`. False where the store is not as
        far as it was taken to be. Raises Unavailable."""
        first = reading.next_offset
        entries = await self._entries(reading.trail, records, stored)
        reading.next_offset += len(records)
        reached = Watermark(next_offset=reading.next_offset, last_stamp_ms=records[-1].timestamp)
        is_news = reading.next_offset > stored
        return not is_news or await self._keep(records, entries, first, reached)

    async def _keep(
        self, records: Sequence[RawRecord], entries: Sequence[AuditEntry], first: int, reached: Watermark
    ) -> bool:
        """What the store refuses is told of, and the rest is kept: halving finds the record that it belongs to."""
        topic, partition = records[0].topic, records[0].partition
        try:
            return await self._sink.keep(topic, partition, first, entries, reached)
        except Unreadable as refusal:
            if len(entries) <= 1:
                refused = {entry.position.offset for entry in entries}
                dead = [dead_letter(record, refusal) for record in records if record.offset in refused]
                await self._dead_letters.publish(dead)
                return await self._sink.keep(topic, partition, first, [], reached)
        half = len(entries) // 2
        last = entries[half - 1]
        between = Watermark(next_offset=last.position.offset + 1, last_stamp_ms=last.stamp_ms)
        return await self._keep(records, entries[:half], first, between) and await self._keep(
            records, entries[half:], between.next_offset, reached
        )

    async def _entries(self, trail: Trail, records: Sequence[RawRecord], stored: int) -> list[AuditEntry]:
        """What cannot be read is told of once, not at every start."""
        entries: list[AuditEntry] = []
        dead: list[DeadLetter] = []
        for record in records:
            try:
                if record.topic == NOTIFICATIONS_TOPIC and _REVIEW not in record.headers:
                    continue
                if (entry := trail.entry(decoded(record))) is not None:
                    entries.append(entry)
            except Exception as error:  # whatever a record does to us, it must not stop those behind it
                if record.offset >= stored:
                    dead.append(dead_letter(record, error))
        if dead:
            await self._dead_letters.publish(dead)
        return entries


_REVIEW = ("ce_type", ReviewDecided.__name__.encode())
"""All others of their topic are a gateway's."""


class Fold(Generic[S]):
    """Judges by what the topic comes to."""

    def __init__(self, initial: S, evolve: Callable[[S, Any], S], is_void: Callable[[S, Any], bool]) -> None:
        self._state, self._evolve, self._is_void = initial, evolve, is_void

    def __call__(self, record: Recorded[Event]) -> bool:
        before = self._state
        self._state = self._evolve(before, record)
        return not self._is_void(before, record)


_JUDGES: Mapping[str, Callable[[], Judge]] = {
    CONFIGURATION_TOPIC: lambda: Fold(configuration.INITIAL, configuration.evolve, configuration.is_void),
    EXPERIMENTS_TOPIC: lambda: Fold(
        experiment_state.INITIAL, experiment_state.evolve, experiment_state.is_void
    ),
    CIRCUITS_TOPIC: OnceByNumber,
    NOTIFICATIONS_TOPIC: lambda: lambda record: not record.is_void,
}
TOPICS = tuple(_JUDGES)
"""What the audit is made of."""
