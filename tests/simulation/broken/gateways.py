"""Gateways that break one promise each."""

from collections.abc import Callable

from msgspec.structs import replace

from commands.ports import Gateway, Gateways
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
from schemas.ids import AttemptId, GatewayId
from schemas.outcome import (
    AwaitingCustomer,
    Decline,
    Declined,
    InDoubt,
    NotSent,
    Outcome,
    Succeeded,
)
from tests.simulation.verification import AMOUNT_MINOR


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


class WaitingIsDecline(PassedOn):
    """Takes a customer who is asked to act for one who has refused, so that the payment cascades."""

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        outcome = await self._gateway.charge(charge, may_send)
        is_waiting = isinstance(outcome, AwaitingCustomer)
        return Declined(decline=replace(ASSUMED, retryable=True)) if is_waiting else outcome


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


class TripsOverSome(PassedOn):
    """Answers for one attempt in five with what the verifier cannot read: a mistake of ours, not of the network."""

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        if sum(reference.encode()) % 5 == 0:
            raise IndexError("the second of one")
        return await self._gateway.look_up(reference, known)


class Broken:
    def __init__(self, how: type[PassedOn], gateways: Gateways) -> None:
        self._how = how
        self._gateways = gateways

    def __getitem__(self, gateway: GatewayId) -> Gateway:
        return self._how(self._gateways[gateway])


ASSUMED = Decline(code="assumed", blame="gateway", retryable=False)


def _found(outcome: Outcome) -> Found:
    return Found(outcome=outcome, amount_minor=AMOUNT_MINOR, currency="INR")
