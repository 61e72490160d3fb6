"""Gateways in memory: a ledger that is the truth about money, and the client of it that a process holds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Literal

from msgspec.structs import replace

from infra.memory.clock import MemoryClock
from infra.memory.fate import Fate, carry_out
from schemas.base import Value
from schemas.charge import (
    Burned,
    Burning,
    Capture,
    Captured,
    Charge,
    Found,
    GivenBack,
    GivingBack,
    InUse,
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
    DoubtReason,
    InDoubt,
    NextAction,
    NotSent,
    NotSentReason,
    Outcome,
    Succeeded,
)

Latent = Callable[[AttemptId], Outcome]
"""What a charge would come to, known before it is made."""


class Entry(Value, frozen=True, kw_only=True):
    """A charge that took effect, and when (the true time, in milliseconds of the loop)."""

    charge: Charge
    outcome: Outcome
    at_ms: float
    given_back_by: Literal["void", "refund"] | None = None

    @property
    def is_captured(self) -> bool:
        return isinstance(self.outcome, Succeeded) and self.given_back_by is None

    @property
    def told(self) -> Outcome:
        return self.outcome if self.given_back_by is None else NotSent(reason="burned")


class Contact(Value, frozen=True, kw_only=True):
    """A call that was let through by the last look at the window, at `looked_ms`, and went out at `sent_ms`."""

    charge: Charge
    looked_ms: float
    sent_ms: float


class Ledger:
    """One gateway's side. A reference is charged once, however often it is asked for, and never once it is burnt."""

    def __init__(self, clock: MemoryClock, latent: Latent) -> None:
        self.entries: dict[AttemptId, Entry] = {}
        self.contacts: list[Contact] = []
        self._burnt: set[AttemptId] = set()
        self._clock = clock
        self._latent = latent

    def charge(self, charge: Charge) -> Outcome:
        reference = charge.attempt_id
        if reference in self._burnt:
            return NotSent(reason="burned")
        if reference not in self.entries:
            self.entries[reference] = Entry(
                charge=charge, outcome=self._latent(reference), at_ms=self._clock.elapsed_ms()
            )
        return self.entries[reference].told

    def look_up(self, reference: AttemptId) -> LookUp:
        entry = self.entries.get(reference)
        if entry is None:
            return NotFound()
        return Found(
            outcome=entry.told, amount_minor=entry.charge.amount_minor, currency=entry.charge.currency
        )

    def burn(self, reference: AttemptId) -> Burning:
        if reference in self.entries:
            return InUse()
        self._burnt.add(reference)
        return Burned()

    def give_back(self, reference: AttemptId) -> GivingBack:
        entry = self.entries.get(reference)
        if entry is None or isinstance(entry.outcome, Declined):
            return Unreachable(reason="there is nothing to give back")
        by = entry.given_back_by or ("refund" if entry.is_captured else "void")
        self.entries[reference] = replace(entry, given_back_by=by)
        return GivenBack(by=by)


class CallFate(Fate, frozen=True, kw_only=True):
    """Also how a call can fail by itself: refused before a byte was sent, or broken once it was."""

    refused: NotSentReason | None = None
    broken: DoubtReason | None = None


def untroubled_call() -> CallFate:
    return CallFate()


async def no_pause() -> None:
    return None


class MemoryGateway:
    """A process's client of a gateway. It may be paused before its last look at the window, and, apart from that,
    between the look and the first byte: no design can close that gap, only make it short."""

    def __init__(
        self,
        ledger: Ledger,
        clock: MemoryClock,
        *,
        fate: Callable[[], CallFate] = untroubled_call,
        before_look: Callable[[], Awaitable[None]] = no_pause,
        after_look: Callable[[], Awaitable[None]] = no_pause,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._fate = fate
        self._before_look = before_look
        self._after_look = after_look

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        fate = self._fate()
        if fate.refused is not None:
            return NotSent(reason=fate.refused)
        await self._before_look()
        looked_ms = self._clock.elapsed_ms()
        if not may_send():
            return NotSent(reason="window_closed")
        await self._after_look()
        self._ledger.contacts.append(
            Contact(charge=charge, looked_ms=looked_ms, sent_ms=self._clock.elapsed_ms())
        )
        try:
            async with asyncio.timeout(charge.timeout_ms / 1000):
                outcome = await carry_out(lambda: self._ledger.charge(charge), fate)
        except TimeoutError:
            return InDoubt(reason="read_timeout")
        return InDoubt(reason=fate.broken) if fate.broken is not None else outcome

    async def look_up(self, reference: AttemptId) -> LookUp:
        return self._ledger.look_up(reference)

    async def burn(self, reference: Reference) -> Burning:
        return self._ledger.burn(reference.attempt_id)

    async def capture(self, reference: AttemptId) -> Capture:
        return (
            Captured() if self._ledger.entries[reference].is_captured else Unreachable(reason="not captured")
        )

    async def give_back(self, reference: AttemptId) -> GivingBack:
        return self._ledger.give_back(reference)


class MemoryGateways:
    def __init__(self, gateways: Mapping[GatewayId, MemoryGateway]) -> None:
        self._gateways = gateways

    def __getitem__(self, gateway: GatewayId) -> MemoryGateway:
        return self._gateways[gateway]


def seeded_outcome(seed: int, reference: AttemptId) -> Outcome:
    """Seven in ten succeed; the others are declined, for good or for now, or wait for the customer."""
    chance = sha256(f"{seed} {reference}".encode()).digest()[0] / 256
    ours = f"txn_{reference[4:]}"
    if chance < 0.7:
        return Succeeded(gateway_reference=ours)
    if chance < 0.8:
        return AwaitingCustomer(gateway_reference=ours, next_action=NextAction(type="upi_collect"))
    if chance < 0.9:
        return Declined(decline=Decline(code="issuer_unavailable", blame="issuer", retryable=True))
    return Declined(decline=Decline(code="insufficient_funds", blame="customer", retryable=False))
