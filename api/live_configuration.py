"""What is configured, as this process has heard it from the log, and the way to set it.

Each process folds the whole topic for itself, from its beginning: it is small, one record for each change that a person
made. So nothing is loaded from elsewhere, and a decision asks nobody. Who sets something learns from the same fold
whether it counts.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

import structlog

from api.ports import Proof
from commands.ports import Clock
from commands.routing.configuration import INITIAL, Configured, decide, evolve, is_void
from schemas.base import Event
from schemas.configuration import Heard, RoutingSet, SetRouting, aggregate_of
from schemas.envelope import Recorded
from schemas.errors import AppendAmbiguous, LogUnavailable, Refusal, Refused

log = structlog.get_logger(__name__)

CONFIRMED_WITHIN_S = 2.0
"""After its acknowledgement an event is heard within milliseconds; in force everywhere is promised for 500 ms."""

Take = Callable[[Recorded[Event]], None]


class Tail(Protocol):
    """Tells all that is on the topic, in offset order, and then whatever comes."""

    async def start(self) -> bool: ...

    async def stop(self) -> None: ...

    @property
    def is_caught_up(self) -> bool: ...

    @property
    def is_current(self) -> bool: ...

    @property
    def behind_s(self) -> float: ...


class ConfigurationLog(Protocol):
    async def append(self, event: RoutingSet, event_id: str, request_id: str) -> None:
        """Returns when it is acknowledged. Raises LogUnavailable, AppendAmbiguous."""


class LiveConfiguration:
    """`current` is the last one known, also while the log is away."""

    def __init__(
        self,
        open_tail: Callable[[Take], Tail],
        configuration_log: ConfigurationLog,
        clock: Clock,
        confirmed_within_s: float = CONFIRMED_WITHIN_S,
    ) -> None:
        self.current: Configured = INITIAL
        self._tail = open_tail(self._take)
        self._log = configuration_log
        self._clock = clock
        self._confirmed_within_s = confirmed_within_s
        self._expected: dict[str, asyncio.Future[Configured | None]] = {}

    async def start(self) -> None:
        """Returns when it is loaded, or the tail has no more patience; it is then loaded later."""
        await self._tail.start()

    async def stop(self) -> None:
        await self._tail.stop()

    @property
    def is_loaded(self) -> bool:
        return self._tail.is_caught_up

    def loaded(self) -> Configured:
        if not self.is_loaded:
            raise LogUnavailable("the configuration is not loaded yet")
        return self.current

    async def check(self) -> Proof:
        """Whether it is as new as it should be; payments go on with the last one all the same."""
        if not self._tail.is_caught_up:
            return Proof(ok=False, detail="not loaded yet")
        if not self._tail.is_current:
            return Proof(ok=False, detail=f"was current {self._tail.behind_s:.0f} s ago")
        if self.current.unread:
            names = ", ".join(sorted(self.current.unread))
            return Proof(
                ok=False, detail=f"a newer version of this service has set what this one cannot read: {names}"
            )
        return Proof(ok=True, detail=f"version {self.current.routing.version}")

    async def set(self, command: SetRouting, request_id: str) -> Configured:
        """The configuration with it in force, in this process. Raises Refused when another one was faster, or when it
        cannot be told in time whether it counts; LogUnavailable: nothing was set."""
        configured = self.loaded()
        for event in decide(command, configured):
            configured = await self._put(event, request_id)
            log.info(
                "configured",
                what=aggregate_of(event),
                version=configured.setting(aggregate_of(event)).version,
                by=event.by,
            )
        return configured

    async def _put(self, event: RoutingSet, request_id: str) -> Configured:
        event_id = self._clock.event_id()
        verdict: asyncio.Future[Configured | None] = asyncio.get_running_loop().create_future()
        self._expected[event_id] = verdict
        try:
            await self._append(event, event_id, request_id)
            async with asyncio.timeout(self._confirmed_within_s):
                configured = await verdict
        except TimeoutError:
            raise Refused(
                Refusal.UNCONFIRMED, "Look which version is in force before you ask again.", retry_after_s=2
            ) from None
        finally:
            del self._expected[event_id]
        if configured is None:
            raise Refused(Refusal.STALE_VERSION, "Somebody else set it at the same moment: look at it first.")
        return configured

    async def _append(self, event: RoutingSet, event_id: str, request_id: str) -> None:
        try:
            await self._log.append(event, event_id, request_id)
        except AppendAmbiguous:  # if it is on the log, the fold will hear of it
            return

    def _take(self, record: Recorded[Event]) -> None:
        mine = cast("Recorded[Heard]", record)
        counts = not is_void(self.current, mine)
        self.current = evolve(self.current, mine)
        verdict = self._expected.get(record.envelope.event_id)
        if verdict is not None and not verdict.done():
            verdict.set_result(self.current if counts else None)
