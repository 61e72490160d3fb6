"""Looks at how late the live projection is, and has a rebuild rest as that asks."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from infra.clock import SystemClock
from schemas.errors import Unavailable
from schemas.views import Watermark
from streams.rebuilding.lateness import Lateness
from streams.rebuilding.pace import LOOK_EVERY_MS, Pace, paced

HELD_AT_MOST_S = 600.0


class LiveTooLate(Exception):
    """It stayed so for all the time that we may wait for it: something else is wrong."""


class Views(Protocol):
    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]: ...


class Log(Protocol):
    async def end_offsets(self, topic: str) -> Mapping[int, int]: ...


class Pacer:
    def __init__(self, topic: str, views: Views, log: Log) -> None:
        self._topic = topic
        self._views = views
        self._log = log
        self._clock = SystemClock()
        self._lateness = Lateness()
        self._pace = Pace()
        self._late_ms = 0.0

    @property
    def note(self) -> str:
        late = f", live {self._late_ms / 1000:.1f} s late"
        return f"{late}, standing still for it" if self._pace.is_holding else late

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def rest(self, worked_ms: float) -> None:
        """Raises LiveTooLate."""
        await asyncio.sleep(worked_ms / 1000 * self._pace.rest)
        begun_ms = self._clock.elapsed_ms()
        while self._pace.is_holding:
            if self._clock.elapsed_ms() - begun_ms > HELD_AT_MOST_S * 1000:
                raise LiveTooLate(f"the live projection has been late for {HELD_AT_MOST_S / 60:g} minutes")
            await asyncio.sleep(LOOK_EVERY_MS / 1000)

    async def _watch(self) -> None:
        while True:
            try:
                self._late_ms = await self._look()
            except Unavailable:
                self._late_ms = float("inf")  # while it cannot be seen it may be late
            self._pace = paced(self._pace, self._late_ms)
            await asyncio.sleep(LOOK_EVERY_MS / 1000)

    async def _look(self) -> float:
        marks = {partition: mark for (_, partition), mark in (await self._views.watermarks()).items()}
        ends = await self._log.end_offsets(self._topic)
        return self._lateness.see(marks, ends, self._clock.now_ms())
