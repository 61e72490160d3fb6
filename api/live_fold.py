"""A small topic as this process has heard it, and the way to add to it: what configuration and experiments share.

Each process folds the whole topic for itself, from its beginning: it is small, one record for each change that somebody
made. So nothing is loaded from elsewhere, and a decision asks nobody. Who adds something learns from the same fold
whether it counts.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Generic, Protocol, TypeVar, cast

from api.ports import Proof
from commands.ports import Clock
from projections.ports import Tail, Take
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.errors import AppendAmbiguous, LogUnavailable, Refusal, Refused

CONFIRMED_WITHIN_S = 2.0
"""After its acknowledgement an event is heard within milliseconds; in force everywhere is promised for 500 ms."""

S = TypeVar("S")
Heard = TypeVar("Heard", bound=Event)
Added = TypeVar("Added", bound=Event)
Added_contra = TypeVar("Added_contra", bound=Event, contravariant=True)


class TopicLog(Protocol[Added_contra]):
    async def append(self, event: Added_contra, event_id: str, caused_by: str, /) -> None:
        """Returns when it is acknowledged. Raises LogUnavailable, AppendAmbiguous."""


class LiveFold(Generic[S, Heard, Added]):
    """`current` is the last state known, also while the log is away."""

    def __init__(
        self,
        initial: S,
        evolve: Callable[[S, Recorded[Heard]], S],
        is_void: Callable[[S, Recorded[Heard]], bool],
        open_tail: Callable[[Take], Tail],
        log: TopicLog[Added],
        clock: Clock,
        confirmed_within_s: float,
    ) -> None:
        self.current = initial
        self._evolve = evolve
        self._is_void = is_void
        self._tail = open_tail(self._take)
        self._log = log
        self._clock = clock
        self._confirmed_within_s = confirmed_within_s
        self._expected: dict[str, asyncio.Future[S | None]] = {}

    async def start(self) -> None:
        """Returns when it is loaded, or the tail has no more patience; it is then loaded later."""
        await self._tail.start()

    async def stop(self) -> None:
        await self._tail.stop()

    @property
    def is_loaded(self) -> bool:
        return self._tail.is_caught_up

    def loaded(self) -> S:
        if not self.is_loaded:
            raise LogUnavailable("the topic is not loaded yet")
        return self.current

    def proof(self, version: int, unread: Collection[str]) -> Proof:
        """Whether it is new, and read as it was meant; payments go on with the last one all the same."""
        if not self._tail.is_caught_up:
            return Proof(ok=False, detail="not loaded yet")
        if not self._tail.is_current:
            return Proof(ok=False, detail=f"was current {self._tail.behind_s:.0f} s ago")
        if unread:
            names = ", ".join(sorted(unread))
            return Proof(
                ok=False, detail=f"a newer version of this service has set what this one cannot read: {names}"
            )
        return Proof(ok=True, detail=f"version {version}")

    async def add(self, event: Added, request_id: str) -> S | None:
        """The state with it, in this process; None: it is void. Raises LogUnavailable: nothing was added; Refused when
        it cannot be told in time whether it counts."""
        event_id = self._clock.event_id()
        verdict: asyncio.Future[S | None] = asyncio.get_running_loop().create_future()
        self._expected[event_id] = verdict
        try:
            await self._append(event, event_id, request_id)
            async with asyncio.timeout(self._confirmed_within_s):
                return await verdict
        except TimeoutError:
            raise Refused(
                Refusal.UNCONFIRMED, "Look what is in force before you ask again.", retry_after_s=2
            ) from None
        finally:
            del self._expected[event_id]

    async def _append(self, event: Added, event_id: str, request_id: str) -> None:
        try:
            await self._log.append(event, event_id, request_id)
        except AppendAmbiguous:  # if it is on the log, the fold will hear of it
            return

    def _take(self, record: Recorded[Event]) -> None:
        mine = cast("Recorded[Heard]", record)
        counts = not self._is_void(self.current, mine)
        self.current = self._evolve(self.current, mine)
        verdict = self._expected.get(record.envelope.event_id)
        if verdict is not None and not verdict.done():
            verdict.set_result(self.current if counts else None)
