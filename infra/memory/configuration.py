"""`configuration.events.v1` in memory: for tests, and for as many processes as share it."""

from collections.abc import Callable
from datetime import UTC, datetime

from schemas.base import Event
from schemas.codec import CONFIGURATION_TOPIC
from schemas.configuration import RoutingSet, aggregate_of
from schemas.envelope import Position, Recorded, unowned
from schemas.errors import LogUnavailable

Take = Callable[[Recorded[Event]], None]

_AT = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
_STAMP_MS = round(_AT.timestamp() * 1000)


class MemoryConfigurationTopic:
    """Whatever is appended is heard at once by every tail that is not paused."""

    def __init__(self) -> None:
        self.records: list[Recorded[RoutingSet]] = []
        self.is_available = True
        self._tails: list[MemoryConfigurationTail] = []

    def tail(self, take: Take) -> "MemoryConfigurationTail":
        tail = MemoryConfigurationTail(self, take)
        self._tails.append(tail)
        return tail

    async def append(self, event: RoutingSet, event_id: str, request_id: str) -> None:
        if not self.is_available:
            raise LogUnavailable("the broker does not answer")
        envelope = unowned(
            event_id, aggregate_of(event), _AT, correlation_id=request_id, causation_id=request_id
        )
        position = Position(topic=CONFIGURATION_TOPIC, partition=0, offset=len(self.records))
        self.records.append(Recorded(envelope=envelope, event=event, position=position, stamp_ms=_STAMP_MS))
        for tail in self._tails:
            tail.hear()


class MemoryConfigurationTail:
    """Not caught up before its start, nor current while it is paused."""

    def __init__(self, topic: MemoryConfigurationTopic, take: Take) -> None:
        self._topic = topic
        self.take = take
        self._next = 0
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
        while self.is_current and self._next < len(self._topic.records):
            self._next += 1
            self.take(self._topic.records[self._next - 1])
