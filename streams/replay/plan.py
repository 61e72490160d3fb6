"""What a replay reads: exact offsets of each partition, found once at its start, so that its end is fixed.

A moment is one of the broker's stamps. What is asked for and is no longer on the log is refused, not passed over.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Literal, Protocol

from schemas.base import Value
from schemas.errors import LogBroken, NoSuchTopic

Edge = datetime | int
"""A moment, or an offset of every partition that is read."""


class Part(Value, frozen=True, kw_only=True):
    """Offsets [start, stop) of one partition."""

    partition: int
    start: int
    stop: int

    @property
    def records(self) -> int:
        return self.stop - self.start


class Seam(Value, frozen=True, kw_only=True):
    """Where the files of an export end and the topic goes on."""

    partition: int
    offset: int
    """The first that only the topic has."""
    is_compared: bool
    """The last record of the files is still on the topic, and is the same there. Otherwise the topic begins here."""


class Stored(Value, frozen=True, kw_only=True):
    """What a database that goes on has already."""

    records: int
    is_longer: bool
    """It begins before what was asked for."""


class Plan(Value, frozen=True, kw_only=True):
    topic: str
    parts: tuple[Part, ...]
    """In the order of their partitions, one of each; those that have nothing to read, too."""
    seams: tuple[Seam, ...] = ()
    """Of the partitions that there are files of; none where nothing but the topic is read."""
    stored: Stored | None = None
    """None where a store begins, or none is filled."""

    @property
    def records(self) -> int:
        return sum(part.records for part in self.parts)


class Asked(Value, frozen=True, kw_only=True):
    topic: str
    since: Edge | Literal["earliest"] = 0
    """`earliest` is whatever is still there; the first record of all otherwise."""
    until: Edge | None = None
    """None for all that is there by now."""
    partitions: frozenset[int] | None = None


class Log(Protocol):
    """Raises LogUnavailable, and LogBroken where what was asked for is not there."""

    async def beginning_offset(self, topic: str, partition: int) -> int:
        """Of the first record that is still there."""

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        """The offset that the next record of each partition will have."""

    async def offset_at(self, topic: str, partition: int, stamp_ms: int) -> int:
        """Of the first record stamped then or later; the end where there is none."""


async def resolve(asked: Asked, log: Log) -> Plan:
    """Raises LogBroken, LogUnavailable, and NoSuchTopic, also where a partition is not there."""
    ends = await log.end_offsets(asked.topic)
    parts = [await _part(asked, log, partition, ends[partition]) for partition in _wanted(asked, ends)]
    return Plan(topic=asked.topic, parts=tuple(parts))


def _wanted(asked: Asked, there: Collection[int]) -> list[int]:
    wanted = sorted(there if asked.partitions is None else asked.partitions)
    if absent := [partition for partition in wanted if partition not in there]:
        raise NoSuchTopic(f"{asked.topic} has partitions 0 to {max(there)}, and no {absent[0]}")
    return wanted


async def _part(asked: Asked, log: Log, partition: int, end: int) -> Part:
    start = await _start(asked, log, partition)
    stop = end if asked.until is None else await _offset(asked.until, log, asked.topic, partition)
    if max(start, stop) > end:
        raise LogBroken(
            f"{asked.topic}-{partition} ends at offset {end}, and {max(start, stop)} was asked for"
        )
    return Part(partition=partition, start=start, stop=max(start, stop))


async def _start(asked: Asked, log: Log, partition: int) -> int:
    beginning = await log.beginning_offset(asked.topic, partition)
    if asked.since == "earliest":
        return beginning
    start = await _offset(asked.since, log, asked.topic, partition)
    # Of a moment nobody can say whether the first record that is left is also the first since then that there was.
    is_cut = start <= beginning if isinstance(asked.since, datetime) else start < beginning
    if is_cut and beginning > 0:
        raise LogBroken(
            f"{asked.topic}-{partition} begins at offset {beginning} by now, and {asked.since} was asked for: what was "
            "before has left the log"
        )
    return start


async def _offset(edge: Edge, log: Log, topic: str, partition: int) -> int:
    if isinstance(edge, datetime):
        return await log.offset_at(topic, partition, round(edge.timestamp() * 1000))
    return edge
