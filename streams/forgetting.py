"""Keeps out of the vault whom the log says to be forgotten, however they came back: it deletes what it reads of."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import structlog

from projections.absorption import decoded
from projections.ports import RawRecord
from schemas.codec import CONFIGURATION_TOPIC
from schemas.customer import CustomerForgotten
from schemas.errors import Unavailable, Unreadable
from schemas.ids import CustomerToken

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
AGAIN_AFTER_MS = 3_600_000
"""So long at most somebody is known again after a fail-over to a Postgres that had not heard of it."""
CHUNK = 1_000
"""Records that are read at a time."""


class Log(Protocol):
    """Raises LogUnavailable."""

    async def read(self, topic: str, partition: int, start: int, stop: int) -> Sequence[RawRecord]: ...

    async def end_offsets(self, topic: str) -> Mapping[int, int]: ...


class Customers(Protocol):
    """Raises StoreUnavailable."""

    async def forget(self, tokens: Collection[CustomerToken]) -> None: ...


class Forgetting:
    """It has no watermark: the topic is small, and read from its beginning at every start and every hour, since a vault
    that was put back from a backup, or that a fail-over left behind, is none that a watermark could tell of."""

    def __init__(self, customers: Customers, log: Log, elapsed_ms: Callable[[], float]) -> None:
        self._customers = customers
        self._log = log
        self._elapsed_ms = elapsed_ms
        self._next_offset = 0
        self._begun_ms = elapsed_ms()
        self.trouble: str | None = None
        """Why nobody is forgotten."""

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                self.trouble = f"nobody is forgotten: {error}"
                log.warning("nobody is forgotten", reason=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Read what is new, or everything again, and obey it. Raises Unavailable; what was not obeyed is then read
        again."""
        if self._elapsed_ms() - self._begun_ms >= AGAIN_AFTER_MS:
            self._next_offset, self._begun_ms = 0, self._elapsed_ms()
        end = (await self._log.end_offsets(CONFIGURATION_TOPIC)).get(0, 0)
        while (first := self._next_offset) < end:
            records = await self._log.read(CONFIGURATION_TOPIC, 0, first, min(end, first + CHUNK))
            if forgotten := [token for record in records if (token := _forgotten(record)) is not None]:
                await self._customers.forget(forgotten)
            self._next_offset += len(records)
        self.trouble = None


_KIND = ("ce_type", CustomerForgotten.__name__.encode())


def _forgotten(record: RawRecord) -> CustomerToken | None:
    """Also by a record that came late: it is never wrong to obey. What cannot be read the audit tells of."""
    if _KIND not in record.headers:
        return None
    try:
        event = decoded(record).event
    except Unreadable:
        return None
    return event.customer if isinstance(event, CustomerForgotten) else None
