"""Something asked again and again in the background, so that whoever wants to know is answered at once.

Each question is bounded; a part that hangs shows as an answer that grows old, never as a route that hangs.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from commands.ports import Clock

T = TypeVar("T")

INTERVAL_S = 1.0
TIMEOUT_S = 1.0
STALE_AFTER_MS = 3_000
"""An interval, a timeout and a margin: an older answer was not renewed when it should have been."""


class NotWell(Exception):
    """The part answered, and its answer is that it cannot serve; the text may be shown."""


class Watched(Generic[T]):
    """`latest` is the last good answer, however old."""

    def __init__(self, ask: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self.latest: T | None = None
        self._ask = ask
        self._clock = clock
        self._proven_ms: float | None = None
        self._trouble: str | None = "not asked yet"

    async def look(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self.latest = await self._ask()
        except TimeoutError:
            self._trouble = f"no answer within {TIMEOUT_S:g} s"
        except NotWell as error:
            self._trouble = str(error)
        except Exception as error:
            self._trouble = type(error).__name__
        else:
            self._proven_ms = self._clock.elapsed_ms()
            self._trouble = None

    @property
    def age_ms(self) -> int | None:
        return None if self._proven_ms is None else round(self._clock.elapsed_ms() - self._proven_ms)

    @property
    def trouble(self) -> str | None:
        """Why the latest answer is not to be trusted any more; None if it is."""
        if self._trouble is None and self.age_ms is not None and self.age_ms > STALE_AFTER_MS:
            return "has not answered lately"
        return self._trouble


@asynccontextmanager
async def repeating(*turns: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Take each turn every INTERVAL_S, in a task of its own, until the block ends."""
    tasks = [asyncio.create_task(_repeat(turn)) for turn in turns]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(turn: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        await turn()
        await asyncio.sleep(INTERVAL_S)
