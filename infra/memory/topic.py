"""A topic of one partition in memory: for tests, and for as many processes as share it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar

from schemas.base import Event
from schemas.envelope import Position, Recorded, unowned
from schemas.errors import LogUnavailable

E = TypeVar("E", bound=Event)
Take = Callable[[Recorded[Event]], None]

_AT = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
_STAMP_MS = round(_AT.timestamp() * 1000)


class MemoryTopic(Generic[E]):
    """Whatever is appended is heard at once by every tail that is not paused."""

    def __init__(self, name: str, key: Callable[[E], str]) -> None:
        self.records: list[Recorded[E]] = []
        self.is_available = True
        self._name = name
        self._key = key
        self._tails: list[MemoryTail] = []

    def tail(self, take: Take) -> "MemoryTail":
        tail = MemoryTail(self.records, take)
        self._tails.append(tail)
        return tail

    async def append(self, event: E, event_id: str, caused_by: str) -> None:
        if not self.is_available:
            raise LogUnavailable("the broker does not answer")
        envelope = unowned(event_id, self._key(event), _AT, correlation_id=caused_by, causation_id=caused_by)
        position = Position(topic=self._name, partition=0, offset=len(self.records))
        self.records.append(Recorded(envelope=envelope, event=event, position=position, stamp_ms=_STAMP_MS))
        for tail in self._tails:
            tail.hear()


class MemoryTail:
    """Not caught up before its start, nor current while it is paused."""

    def __init__(self, records: Sequence[Recorded[Event]], take: Take) -> None:
        self._records = records
        self.take = take
        self.next_offset = 0
        self.is_caught_up = False
        self.is_paused = False

    async def start(self) -> bool:
        self.is_caught_up = True
        self.hear()
        return True

    async def stop(self) -> None:
        self.is_paused = True

    @property
    def is_current(self) -> bool:
        return self.is_caught_up and not self.is_paused

    @property
    def behind_s(self) -> float:
        return 0 if self.is_current else 60

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        self.hear()

    def hear(self) -> None:
        while self.is_current and self.next_offset < len(self._records):
            self.next_offset += 1
            self.take(self._records[self.next_offset - 1])
