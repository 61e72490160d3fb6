"""Health is *the watermark advances while the log grows*. That a process runs, or that its group has no lag, is not."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple, Protocol

from schemas.errors import Unavailable
from schemas.views import Watermark

LOOK_EVERY_S = 1.0
STALLED_AFTER_MS = 15_000
GIVEN_UP_AFTER_MS = 60_000
SEEN_FOR_MS = 5_000
"""Between two looks, when all is well, at most."""


class Log(Protocol):
    async def end_offsets(self, topic: str) -> dict[int, int]: ...


class Views(Protocol):
    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]: ...


class Progress(NamedTuple):
    next_offset: int
    end_offset: int
    last_stamp_ms: int
    moved_at_ms: float
    """When it last advanced or had nothing to do, on a clock that never jumps and stops while nobody looks."""

    @property
    def lag(self) -> int:
        return max(0, self.end_offset - self.next_offset)


class Watchdog:
    def __init__(
        self,
        topic: str,
        log: Log,
        views: Views,
        elapsed_ms: Callable[[], float],
        assigned: Callable[[], Collection[int]],
        is_idle: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_idle` says that the process has no partition of any topic, and could see what others do with them."""
        self._topic = topic
        self._log = log
        self._views = views
        self._elapsed_ms = elapsed_ms
        self._assigned = assigned
        self._is_idle = is_idle
        self._looked_at_ms: float | None = None
        self.blind: str | None = "has not looked yet"
        self.progress: dict[int, Progress] = {}
        """Of the partitions that are assigned."""
        self._elsewhere: dict[int, Progress] = {}
        """Of all partitions, while this process has none."""

    async def watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        try:
            # The watermarks first: a log that is read later can only be longer.
            watermarks = await self._views.watermarks()
            ends = await self._log.end_offsets(self._topic)
        except Unavailable as error:
            self.blind = f"{type(error).__name__}: {error}"
            return
        if not ends:
            self.blind = f"nothing is known of {self._topic}"
            return
        self.blind = None
        now_ms = self._elapsed_ms()
        # What it could not see, because a part was away or the process itself stood still, is not held against anybody.
        unseen_ms = 0.0
        if self._looked_at_ms is not None:
            unseen_ms = max(0.0, now_ms - self._looked_at_ms - SEEN_FOR_MS)
        self._looked_at_ms = now_ms
        nothing = Watermark(next_offset=0, last_stamp_ms=0)

        def look_at(partitions: Iterable[int], before: Mapping[int, Progress]) -> dict[int, Progress]:
            return {
                partition: self._moved(
                    before.get(partition),
                    unseen_ms,
                    ends.get(partition, 0),
                    watermarks.get((self._topic, partition), nothing),
                )
                for partition in partitions
            }

        self.progress = look_at(self._assigned(), self.progress)
        self._elsewhere = look_at(ends if self._is_idle() else (), self._elsewhere)

    def _moved(self, before: Progress | None, unseen_ms: float, end: int, watermark: Watermark) -> Progress:
        now_ms = self._elapsed_ms()
        moved = before is None or watermark.next_offset > before.next_offset or watermark.next_offset >= end
        return Progress(
            next_offset=watermark.next_offset,
            end_offset=end,
            last_stamp_ms=watermark.last_stamp_ms,
            moved_at_ms=now_ms if moved or before is None else before.moved_at_ms + unseen_ms,
        )

    def stalled(self, after_ms: float = STALLED_AFTER_MS) -> list[int]:
        """The assigned partitions whose log has grown while their watermark has not moved for so long."""
        return self._standing(self.progress, after_ms)

    def abandoned(self, after_ms: float) -> list[int]:
        """Partitions that stand still while this process has none: the group may have lost it without its knowledge.

        If another has them and is at fault, a new process here does no harm: this one had nothing to do.
        """
        return self._standing(self._elsewhere, after_ms)

    def _standing(self, seen: Mapping[int, Progress], after_ms: float) -> list[int]:
        """As of the last look: nobody knows what became of it since."""
        seen_ms = self._looked_at_ms or 0.0
        return sorted(
            partition
            for partition, progress in seen.items()
            if progress.lag and seen_ms - progress.moved_at_ms > after_ms
        )

    @property
    def complaint(self) -> str | None:
        """Why the projection is not healthy; None when it is."""
        if self.blind is not None:
            return self.blind
        if self._looked_at_ms is None or self._elapsed_ms() - self._looked_at_ms > STALLED_AFTER_MS:
            return "has not looked for a while"
        if beyond := [
            p for p, progress in self.progress.items() if progress.next_offset > progress.end_offset
        ]:
            return f"the log is shorter than what was projected from it, in partitions {beyond}: records were lost"
        stalled = self.stalled()
        return f"stalled partitions: {', '.join(map(str, stalled))}" if stalled else None
