"""One topic taken in by one agent: from its watermarks on, patiently, and watched from the side."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import faust

from infra.kafka.reader import LogReader
from projections.ports import RawRecord
from schemas.views import Watermark
from streams.agent import Patience, add_agent, first_to_end, patiently
from streams.watchdog import GIVEN_UP_AFTER_MS, LOOK_EVERY_S, Watchdog


class Stalled(Exception):
    """Nobody is away and yet nothing moves: only a new process helps."""


class Views(Protocol):
    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]: ...


class Consumption:
    """Made before the app runs: Faust hears of no agent that is added later."""

    def __init__(
        self,
        app: faust.App,
        topic: str,
        absorb: Callable[[Sequence[RawRecord]], Awaitable[None]],
        reader: LogReader,
        views: Views,
        elapsed_ms: Callable[[], float],
        *,
        sees_others: bool = True,
    ) -> None:
        """`sees_others` says that `views` tells of partitions, too, that other processes have."""
        self._topic = topic
        self._absorb = absorb
        self._reader = reader
        self._views = views
        self._patience = Patience(absorb)
        self.watchdog = Watchdog(
            topic,
            reader,
            views,
            elapsed_ms,
            lambda: assigned(app, topic),
            lambda: sees_others and not app.consumer.assignment(),
        )
        add_agent(app, topic, self._patience)

    @property
    def complaint(self) -> str | None:
        """What it waits for, or why it is not healthy; None when all is well."""
        return self._patience.waiting_for or self.watchdog.complaint

    async def catch_up(self) -> None:
        """Take in what lies between the watermarks and the end of the log, whatever offsets the group has committed.

        A store that was emptied or restored is behind them, and Faust would bring nothing to fill the gap from. The
        last record of a partition is enough: all that is missing before it is fetched first.
        """
        await patiently(self._reach_the_end)

    async def watch(self) -> None:
        """Never returns. Raises Stalled."""
        await first_to_end(self.watchdog.watch(), self._give_up_when_stalled())

    async def _reach_the_end(self) -> None:
        marks = await self._views.watermarks()
        for partition, end in (await self._reader.end_offsets(self._topic)).items():
            mark = marks.get((self._topic, partition))
            if end > (mark.next_offset if mark else 0):
                await self._absorb(await self._reader.read(self._topic, partition, end - 1, end))

    async def _give_up_when_stalled(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self.watchdog.blind is not None or self._patience.waiting_for is not None:
                continue
            if stalled := self.watchdog.stalled(GIVEN_UP_AFTER_MS):
                raise Stalled(f"partitions {stalled} of {self._topic} do not move")
            if abandoned := self.watchdog.abandoned(GIVEN_UP_AFTER_MS):
                raise Stalled(f"no partition is assigned, and {abandoned} of {self._topic} do not move")


def assigned(app: faust.App, topic: str) -> list[int]:
    return [tp.partition for tp in app.consumer.assignment() if tp.topic == topic]
