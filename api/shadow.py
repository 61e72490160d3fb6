"""Routes payments a second time by the shadow policy, after and beside them: obeyed by nobody, in nobody's way.

A queue that drops what it cannot hold, one task that gives way after each of them, a publisher of its own; whatever
goes wrong is counted.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Protocol

import structlog

from api.metrics import SHADOW_LAG, SHADOW_SECONDS, SHADOWED
from commands.ports import Clock
from commands.routing.shadow import shadowed
from schemas.errors import Unavailable
from schemas.ids import PaymentId
from schemas.payment import PaymentRouted, RequestPayment
from schemas.routing_configuration import AlternativePolicy
from schemas.shadow import PaymentShadowed

log = structlog.get_logger(__name__)

MOST_WAITING = 1_000
"""Payments; some seconds' worth."""
MOST_AT_ONCE = 100
"""Appended together."""

Followed = tuple[RequestPayment, PaymentRouted, AlternativePolicy]


class ShadowLog(Protocol):
    async def append(self, events: Sequence[tuple[PaymentId, PaymentShadowed]]) -> None:
        """Returns when all are acknowledged. Raises Unavailable: some may be missing."""


class LiveShadow:
    """Satisfies `Shadow`."""

    def __init__(self, log: ShadowLog, clock: Clock, most_waiting: int = MOST_WAITING) -> None:
        self._log = log
        self._clock = clock
        self._waiting = asyncio.Queue[Followed](most_waiting)
        self._has_complained = False
        self._behind_since: datetime | None = None
        """When the first payment was followed of which nothing is recorded, and nothing of a later one."""
        self._idle_since: datetime | None = None
        """Nothing waits, and what was followed is recorded or given up."""
        self._last_lag_s = 0.0
        SHADOW_LAG.set_function(self._lag_s)

    def follow(self, command: RequestPayment, routed: PaymentRouted) -> None:
        if (policy := command.facts.configuration.shadow) is None:
            self._behind_since = None
            return
        self._behind_since = self._behind_since or self._clock.now()
        self._idle_since = None
        try:
            self._waiting.put_nowait((command, routed, policy))
        except asyncio.QueueFull:
            SHADOWED.labels("dropped").inc()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What is still waiting at the end is given up."""
        working = asyncio.create_task(self._work())
        try:
            yield
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    async def _work(self) -> None:
        while True:
            told = [await self._waiting.get()]
            while len(told) < MOST_AT_ONCE and not self._waiting.empty():
                told.append(self._waiting.get_nowait())
            gathered_at = self._clock.now()
            events = []
            for command, routed, policy in told:
                if (event := self._shadowed(command, routed, policy)) is not None:
                    events.append((command.payment_id, event))
                await asyncio.sleep(0)
            is_recorded, is_idle = await self._append(events), self._waiting.empty()
            if is_recorded:
                self._behind_since = None if is_idle else gathered_at
            self._idle_since = self._clock.now() if is_idle else None

    def _shadowed(
        self, command: RequestPayment, routed: PaymentRouted, policy: AlternativePolicy
    ) -> PaymentShadowed | None:
        begun_ms = self._clock.elapsed_ms()
        try:
            return shadowed(command, routed, policy)
        except Exception as error:  # whatever a policy does, the next payment is followed too
            SHADOWED.labels("failed").inc()
            if not self._has_complained:
                self._has_complained = True
                log.warning("the shadow policy failed", error=repr(error))
            return None
        finally:
            SHADOW_SECONDS.observe((self._clock.elapsed_ms() - begun_ms) / 1000)

    async def _append(self, events: Sequence[tuple[PaymentId, PaymentShadowed]]) -> bool:
        try:
            await self._log.append(events)
        except Exception as error:  # the next are followed all the same
            if not isinstance(error, Unavailable):
                log.warning("the shadow's events are not recorded", error=repr(error))
            SHADOWED.labels("not_recorded").inc(len(events))
            return False
        for _, event in events:
            SHADOWED.labels("agrees" if event.agrees else "differs").inc()
        if events:
            oldest = min(event.decided_at for _, event in events)
            self._last_lag_s = (self._clock.now() - oldest).total_seconds()
        return bool(events)

    def _lag_s(self) -> float:
        if self._behind_since is None:
            return self._last_lag_s
        until = self._idle_since or self._clock.now()
        return max(self._last_lag_s, (until - self._behind_since).total_seconds())
