"""Adapters that break one rule each. A checker that has never failed proves nothing: these make it fail."""

from collections.abc import Callable, Sequence
from datetime import datetime

from commands.ports import Gateway, Gateways
from infra.memory.clock import MemoryClock
from infra.memory.log import MemoryLog
from schemas.charge import Burning, Capture, Charge, GivingBack, LookUp, Reference
from schemas.envelope import Outgoing, Position, Recorded
from schemas.errors import AppendAmbiguous
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.outcome import InDoubt, NotSent, Outcome
from schemas.payment import PaymentEvent
from tests.simulation.process import Process


class DoubtIsNotSent:
    """A gateway whose timeouts are called 'not sent', so that the payment cascades."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        outcome = await self._gateway.charge(charge, may_send)
        return NotSent(reason="connect") if isinstance(outcome, InDoubt) else outcome

    async def look_up(self, reference: AttemptId) -> LookUp:
        return await self._gateway.look_up(reference)

    async def burn(self, reference: Reference) -> Burning:
        return await self._gateway.burn(reference)

    async def capture(self, reference: AttemptId) -> Capture:
        return await self._gateway.capture(reference)

    async def give_back(self, reference: AttemptId) -> GivingBack:
        return await self._gateway.give_back(reference)


class DoubtfulGateways:
    def __init__(self, gateways: Gateways) -> None:
        self._gateways = gateways

    def __getitem__(self, gateway: GatewayId) -> Gateway:
        return DoubtIsNotSent(self._gateways[gateway])


class HopefulLog:
    """Takes what was not acknowledged for written."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    @property
    def is_available(self) -> bool:
        return self._log.is_available

    async def append(self, events: Sequence[Outgoing[PaymentEvent]]) -> Sequence[Recorded[PaymentEvent]]:
        try:
            return await self._log.append(events)
        except AppendAmbiguous:
            return [_as_if_written(outgoing) for outgoing in events]


class VoidIsValid:
    """Acknowledges what landed outside its window, as a log without that check would."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    @property
    def is_available(self) -> bool:
        return self._log.is_available

    async def append(self, events: Sequence[Outgoing[PaymentEvent]]) -> Sequence[Recorded[PaymentEvent]]:
        try:
            return await self._log.append(events)
        except AppendAmbiguous:
            sent = {outgoing.envelope.event_id for outgoing in events}
            records = self._log.of(PaymentId(events[0].envelope.aggregate_id))
            landed = [record for record in records if record.envelope.event_id in sent]
            if len(landed) < len(events) or not all(record.is_void for record in landed):
                raise
            return landed


class StoppingClock:
    """Stands still while the process does, as CLOCK_MONOTONIC does in a suspended machine."""

    def __init__(self, clock: MemoryClock, process: Process) -> None:
        self._clock = clock
        self._process = process

    def now(self) -> datetime:
        return self._clock.now()

    def elapsed_ms(self) -> float:
        return self._clock.elapsed_ms() - self._process.asleep_ms

    def payment_id(self) -> PaymentId:
        return self._clock.payment_id()

    def event_id(self) -> str:
        return self._clock.event_id()


def _as_if_written(outgoing: Outgoing[PaymentEvent]) -> Recorded[PaymentEvent]:
    envelope = outgoing.envelope
    nowhere = Position(topic="payments.events.v1", partition=0, offset=-1)
    return Recorded(
        envelope=envelope, event=outgoing.event, position=nowhere, stamp_ms=envelope.window.valid_until_ms - 1
    )
