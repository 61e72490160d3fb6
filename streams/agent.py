"""How an agent takes bundles without losing one: it never raises, and acknowledges only what is stored.

Faust acknowledges what an agent raised at, steps over a single record that was not acknowledged, or goes on with a dead
agent, depending on the style. A stream without acknowledgements of its own (`noack`), one instance, a body that waits
instead of raising, and a crash of the whole process for anything unexpected is the combination that loses nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

import faust
import structlog

from projections.ports import RawRecord
from schemas.errors import Unavailable
from streams.consumer import BundleConsumer

log = structlog.get_logger(__name__)

T = TypeVar("T")

RETRY_FIRST_S = 0.1
RETRY_LAST_S = 2.0


async def patiently(attempt: Callable[[], Awaitable[T]], waiting: Callable[[str | None], object] = id) -> T:
    """Tries for ever, with longer pauses each time, while a part is away; tells `waiting` what for, at last None."""
    delay_s = RETRY_FIRST_S
    while True:
        try:
            result = await attempt()
        except Unavailable as error:
            reason = f"{type(error).__name__}: {error}"
            log.warning("waiting, nothing is skipped", reason=reason)
            waiting(reason)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_LAST_S)
        else:
            waiting(None)
            return result


class Patience:
    """Gives a bundle to `absorb` until it is taken in. `waiting_for` says what is away while it waits."""

    def __init__(self, absorb: Callable[[Sequence[RawRecord]], Awaitable[None]]) -> None:
        self._absorb = absorb
        self.waiting_for: str | None = None

    async def take_in(self, records: Sequence[RawRecord]) -> None:
        await patiently(lambda: self._absorb(records), self._wait_for)

    def _wait_for(self, reason: str | None) -> None:
        self.waiting_for = reason


async def first_to_end(*duties: Coroutine[Any, Any, Any]) -> None:
    """Runs them side by side until one of them ends, and raises what it raised."""
    tasks = [asyncio.create_task(duty) for duty in duties]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


def add_agent(app: faust.App, topic: str, patience: Patience) -> None:
    raw = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def absorb(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await patience.take_in(event.message.records)
            except Exception as error:
                await app.crash(error)
                await asyncio.Event().wait()  # returning or raising would have the bundle acknowledged
            cast(BundleConsumer, app.consumer).taken_in(event.message.records)

    app.agent(raw, name=f"{topic}.agent", concurrency=1)(absorb)
