"""Adapters that break one rule each. A checker that has never failed proves nothing: these make it fail."""

from collections.abc import Callable, Sequence
from datetime import datetime

from commands.ports import Gateway, Gateways
from infra.memory.clock import MemoryClock
from infra.memory.log import MemoryHistories, MemoryLog
from schemas.charge import (
    Burned,
    Burning,
    Capture,
    Captured,
    Charge,
    Found,
    GivenBack,
    GivingBack,
    LookUp,
    NotFound,
    Reference,
    Unreachable,
)
from schemas.envelope import Outgoing, Position, Recorded
from schemas.errors import AppendAmbiguous
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.outcome import (
    AwaitingCustomer,
    Decline,
    Declined,
    InDoubt,
    NotSent,
    Outcome,
    Succeeded,
)
from schemas.payment import PaymentEvent
from schemas.reliability import ReliabilityEvent
from tests.simulation.process import Process


class PassedOn:
    """A gateway as it is; each of the following breaks one of its promises."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        return await self._gateway.charge(charge, may_send)

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        return await self._gateway.look_up(reference, known)

    async def burn(self, reference: Reference) -> Burning:
        return await self._gateway.burn(reference)

    async def capture(self, reference: AttemptId, known: str | None = None) -> Capture:
        return await self._gateway.capture(reference, known)

    async def give_back(self, reference: AttemptId, known: str | None = None) -> GivingBack:
        return await self._gateway.give_back(reference, known)


class DoubtIsNotSent(PassedOn):
    """Timeouts are called 'not sent', so that the payment cascades."""

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        outcome = await self._gateway.charge(charge, may_send)
        return NotSent(reason="connect") if isinstance(outcome, InDoubt) else outcome


class BurnsNothing(PassedOn):
    """Says that a reference is burnt, and leaves it usable for whoever was paused before sending."""

    async def burn(self, reference: Reference) -> Burning:
        return Burned()


class NotFoundIsNotSent(PassedOn):
    """Believes a gateway at once that it knows nothing, and burns nothing."""

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        looked = await self._gateway.look_up(reference, known)
        return _found(NotSent(reason="burned")) if isinstance(looked, NotFound) else looked


class SilenceIsDecline(PassedOn):
    """Takes a payment for failed when its gateway does not answer."""

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        looked = await self._gateway.look_up(reference, known)
        return _found(Declined(decline=ASSUMED)) if isinstance(looked, Unreachable) else looked


class PendingIsSuccess(PassedOn):
    """Takes a customer who is still thinking for one who has paid."""

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        looked = await self._gateway.look_up(reference, known)
        is_pending = isinstance(looked, Found) and isinstance(looked.outcome, AwaitingCustomer)
        return _found(Succeeded(gateway_reference="txn_hoped")) if is_pending else looked


class KeepsTheMoney(PassedOn):
    """Says that a charge was given back, and keeps it."""

    async def give_back(self, reference: AttemptId, known: str | None = None) -> GivingBack:
        return GivenBack(by="refund")


class NeverCaptures(PassedOn):
    """Lets money that was only authorised go back by itself, and calls it paid."""

    async def capture(self, reference: AttemptId, known: str | None = None) -> Capture:
        return Captured()


class Broken:
    def __init__(self, how: type[PassedOn], gateways: Gateways) -> None:
        self._how = how
        self._gateways = gateways

    def __getitem__(self, gateway: GatewayId) -> Gateway:
        return self._how(self._gateways[gateway])


ASSUMED = Decline(code="assumed", blame="gateway", retryable=False)


def _found(outcome: Outcome) -> Found:
    """Of the amount that every payment of the simulation has."""
    return Found(outcome=outcome, amount_minor=129_900, currency="INR")


class StaleThrough:
    """Folds a payment without what landed in the last seconds, its own take-over apart."""

    def __init__(self, histories: MemoryHistories) -> None:
        self._histories = histories

    async def at_head(self, payment_id: PaymentId) -> Sequence[Recorded[PaymentEvent]]:
        return await self._histories.at_head(payment_id)

    async def through(self, payment_id: PaymentId, position: Position) -> Sequence[Recorded[PaymentEvent]]:
        records = await self._histories.through(payment_id, position)
        newest_ms = records[-1].stamp_ms
        return [record for record in records if record.stamp_ms < newest_ms - 10_000 or record is records[-1]]


class Silence:
    """Alarms that nobody hears."""

    async def publish(self, alarm: ReliabilityEvent) -> None:
        return None


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
