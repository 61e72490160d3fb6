"""Logs, and what lies before them: also a decision that is wrong is seen here, as its events pass."""

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from commands.ports import EventLog
from infra.memory.log import MemoryLog
from schemas.envelope import Outgoing, Position, Recorded
from schemas.errors import AppendAmbiguous
from schemas.ids import PaymentId
from schemas.payment import (
    AttemptDeclined,
    AttemptStarted,
    LateSuccessDetected,
    PaymentEvent,
    PaymentRouted,
    ReviewRequested,
    VerificationPerformed,
)
from tests.simulation.broken.gateways import ASSUMED

Sent = Sequence[Outgoing[PaymentEvent]]
Landed = Sequence[Recorded[PaymentEvent]]


class PassedOn:
    """The log as it is; each of the following breaks something of it."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    @property
    def is_available(self) -> bool:
        return self._log.is_available

    async def append(self, events: Sent) -> Landed:
        return await self._log.append(events)


class HopefulLog(PassedOn):
    """Takes what was not acknowledged for written."""

    async def append(self, events: Sent) -> Landed:
        try:
            return await self._log.append(events)
        except AppendAmbiguous:
            return [_as_if_written(outgoing) for outgoing in events]


class HastyLog(PassedOn):
    """Acknowledges at once what is still on its way."""

    async def append(self, events: Sent) -> Landed:
        self._on_its_way = asyncio.create_task(self._log.append(events))
        return [_as_if_written(outgoing) for outgoing in events]


class VoidIsValid(PassedOn):
    """Acknowledges what landed outside its window, as a log without that check would."""

    async def append(self, events: Sent) -> Landed:
        try:
            return await self._log.append(events)
        except AppendAmbiguous:
            sent = {outgoing.envelope.event_id for outgoing in events}
            records = self._log.of(PaymentId(events[0].envelope.aggregate_id))
            landed = [record for record in records if record.envelope.event_id in sent]
            if len(landed) < len(events) or not all(record.is_void for record in landed):
                raise
            return landed


class RetriesOnTimeout(PassedOn):
    """Lets every handler believe that its merchant would rather be charged twice than wait."""

    async def append(self, events: Sent) -> Landed:
        return [replace(record, event=_hasty(record.event)) for record in await self._log.append(events)]


class Rewritten(PassedOn):
    """Writes other events than were decided."""

    def __init__(self, log: MemoryLog, how: Callable[[PaymentEvent, MemoryLog], PaymentEvent]) -> None:
        super().__init__(log)
        self._how = how

    async def append(self, events: Sent) -> Landed:
        return await self._log.append([replace(one, event=self._how(one.event, self._log)) for one in events])


def rewritten(how: Callable[[PaymentEvent, MemoryLog], PaymentEvent]) -> Callable[[MemoryLog], EventLog]:
    return lambda log: Rewritten(log, how)


def a_late_success_is_only_noted(event: PaymentEvent, _: MemoryLog) -> PaymentEvent:
    if not isinstance(event, LateSuccessDetected):
        return event
    return VerificationPerformed(
        attempt_id=event.attempt_id, check=1, verdict="succeeded", next_check_at=None, is_final=True
    )


def every_late_success_is_kept(event: PaymentEvent, _: MemoryLog) -> PaymentEvent:
    return replace(event, kept=True) if isinstance(event, LateSuccessDetected) else event


def exhausted_is_declined(event: PaymentEvent, log: MemoryLog) -> PaymentEvent:
    """Nobody could tell, so it will not have been charged."""
    if not isinstance(event, ReviewRequested):
        return event
    attempt_id = event.unsettled[0]
    started = next(
        record.event
        for partition in log.partitions
        for record in partition
        if isinstance(record.event, AttemptStarted) and record.event.attempt_id == attempt_id
    )
    return AttemptDeclined(
        attempt_id=attempt_id, gateway=started.gateway, decline=ASSUMED, latency_ms=0, verified=True
    )


def _hasty(event: PaymentEvent) -> PaymentEvent:
    if not isinstance(event, PaymentRouted):
        return event
    return replace(event, policy=replace(event.policy, retry_on_timeout=True))


def _as_if_written(outgoing: Outgoing[PaymentEvent]) -> Recorded[PaymentEvent]:
    envelope = outgoing.envelope
    nowhere = Position(topic="payments.events.v1", partition=0, offset=-1)
    return Recorded(
        envelope=envelope, event=outgoing.event, position=nowhere, stamp_ms=envelope.window.valid_until_ms - 1
    )
