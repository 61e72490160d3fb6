"""Experiments as an analyzer has heard of them from the log, and what became of the events that it has told itself."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import cast

from commands.experiment_state import INITIAL, Experiments, evolve, is_void, live_unread
from projections.ports import Tail, Take
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.errors import LogUnavailable
from schemas.experiment import ExperimentEvent

HEARD_WITHIN_S = 2.0
"""What is on the log is heard within milliseconds."""
MOST_EXPECTED = 100
"""Of our own events: those that are told last. One that was never appended is expected in vain."""


class HeardExperiments:
    def __init__(
        self,
        open_tail: Callable[[Take], Tail],
        log_end: Callable[[], Awaitable[int]],
        heard_within_s: float = HEARD_WITHIN_S,
    ) -> None:
        """`log_end` is the topic's next offset, as the brokers say. Raises LogUnavailable."""
        self.current: Experiments = INITIAL
        self.counted: Counter[str] = Counter()
        """Our own events that have come back and count, by name."""
        self._tail = open_tail(self._take)
        self._log_end = log_end
        self._heard_within_s = heard_within_s
        self._expected: deque[str] = deque(maxlen=MOST_EXPECTED)

    async def start(self) -> None:
        """Returns when all is heard, or the tail has no more patience; it is then heard later."""
        await self._tail.start()

    async def stop(self) -> None:
        await self._tail.stop()

    @property
    def is_current(self) -> bool:
        return self._tail.is_current

    @property
    def trouble(self) -> str | None:
        """What may be missing, or cannot be read."""
        if not self._tail.is_caught_up:
            return "experiments are not loaded"
        if not self._tail.is_current:
            return f"experiments were current {self._tail.behind_s:.0f} s ago"
        if unread := sorted(live_unread(self.current)):
            return f"a newer version has designed what this one cannot read, nor judge: {', '.join(unread)}"
        return None

    async def newest(self) -> Experiments:
        """With all that was on the log when this was asked. Raises LogUnavailable."""
        end = await self._log_end()
        try:
            async with asyncio.timeout(self._heard_within_s):
                while True:
                    if self._tail.next_offset >= end:
                        return self.current
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise LogUnavailable("experiments are on the log that are not heard yet") from None

    def expect(self, event_id: str) -> None:
        """An event of our own, which is about to be told."""
        self._expected.append(event_id)

    def _take(self, record: Recorded[Event]) -> None:
        heard = cast("Recorded[ExperimentEvent]", record)
        if record.envelope.event_id in self._expected and not is_void(self.current, heard):
            self.counted[type(record.event).__name__] += 1
        self.current = evolve(self.current, heard)
