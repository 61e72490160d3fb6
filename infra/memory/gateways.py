"""Gateways in memory: a ledger that is the truth about money, and the client of it that a process holds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Literal, TypeVar

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

T = TypeVar("T")

ASK_TIMEOUT_S = 2.0

Latent = Callable[[AttemptId], Outcome]
"""What a charge would come to, known before it is made."""


class Later(Value, frozen=True, kw_only=True):
    """What a charge turns into by itself: the customer acts, or what had failed was authorised after all."""

    after_ms: float
    outcome: Succeeded | Declined
    is_only_authorised: bool = False


class Entry(Value, frozen=True, kw_only=True):
    """A charge that took effect, and when (the true time, in milliseconds of the loop)."""

    charge: Charge
    outcome: Outcome
    at_ms: float
    is_only_authorised: bool = False
    has_turned: bool = False
    """Its outcome is not the one that it had at first."""
    given_back_by: Literal["void", "refund"] | None = None

    @property
    def holds_money(self) -> bool:
        return isinstance(self.outcome, Succeeded) and self.given_back_by is None

    @property
    def is_captured(self) -> bool:
        return self.holds_money and not self.is_only_authorised

    @property
    def told(self) -> Outcome:
        return self.outcome if self.given_back_by is None else NotSent(reason="burned")


class Contact(Value, frozen=True, kw_only=True):
    """A call that was let through by the last look at the window, at `looked_ms`, and went out at `sent_ms`."""

    charge: Charge
    looked_ms: float
    sent_ms: float


def never_later(_: AttemptId) -> Later | None:
    return None


def nobody_listens(_: Entry) -> None:
    return None


class Ledger:
    """One gateway's side. A reference is charged once, however often it is asked for, and never once it is burnt.

    `listener` hears of every change, as a gateway's notifications tell it. A charge is looked up in vain until
    `lookup_lag_ms` after it was made.
    """

    def __init__(
        self,
        clock: MemoryClock,
        latent: Latent,
        *,
        later: Callable[[AttemptId], Later | None] = never_later,
        listener: Callable[[Entry], None] = nobody_listens,
        lookup_lag_ms: float = 0,
        echoes_wrong_amount: Callable[[AttemptId], bool] = lambda _: False,
    ) -> None:
        self.entries: dict[AttemptId, Entry] = {}
        self.contacts: list[Contact] = []
        self._burnt: set[AttemptId] = set()
        self._clock = clock
        self._latent = latent
        self._later = later
        self._listener = listener
        self._lookup_lag_ms = lookup_lag_ms
        self._echoes_wrong_amount = echoes_wrong_amount

    def charge(self, charge: Charge) -> Outcome:
        reference = charge.attempt_id
        if reference in self._burnt:
            return NotSent(reason="burned")
        if reference not in self.entries:
            entry = Entry(charge=charge, outcome=self._latent(reference), at_ms=self._clock.elapsed_ms())
            self._change(entry)
            if (later := self._later(reference)) is not None:
                asyncio.get_running_loop().call_later(later.after_ms / 1000, self._turn, reference, later)
        return self.entries[reference].told

    def look_up(self, reference: AttemptId) -> LookUp:
        entry = self.entries.get(reference)
        if entry is None or self._clock.elapsed_ms() < entry.at_ms + self._lookup_lag_ms:
            return NotFound()
        return Found(
            outcome=entry.told,
            amount_minor=entry.charge.amount_minor + self._echoes_wrong_amount(reference),
            currency=entry.charge.currency,
            needs_capture=entry.holds_money and entry.is_only_authorised,
        )

    def burn(self, reference: AttemptId) -> Burning:
        if reference in self.entries:
            return InUse()
        self._burnt.add(reference)
        return Burned()

    def capture(self, reference: AttemptId) -> Capture:
        entry = self.entries.get(reference)
        if entry is None or not entry.holds_money:
            return Unreachable(reason="there is nothing to capture")
        self.entries[reference] = replace(entry, is_only_authorised=False)
        return Captured()

    def give_back(self, reference: AttemptId) -> GivingBack:
        entry = self.entries.get(reference)
        if entry is None or isinstance(entry.outcome, Declined):
            return Unreachable(reason="there is nothing to give back")
        by = entry.given_back_by or ("refund" if entry.is_captured else "void")
        self.entries[reference] = replace(entry, given_back_by=by)
        return GivenBack(by=by)

    def _turn(self, reference: AttemptId, later: Later) -> None:
        entry = self.entries[reference]
        if entry.given_back_by is None:
            self._change(
                replace(
                    entry,
                    outcome=later.outcome,
                    is_only_authorised=later.is_only_authorised,
                    has_turned=True,
                )
            )

    def _change(self, entry: Entry) -> None:
        self.entries[entry.charge.attempt_id] = entry
        self._listener(entry)


class CallFate(Fate, frozen=True, kw_only=True):
    """Also how a call can fail by itself: refused before a byte was sent, or broken once it was."""

    refused: NotSentReason | None = None
    broken: DoubtReason | None = None


def untroubled_call() -> CallFate:
    return CallFate()


async def no_pause() -> None:
    return None


class MemoryGateway:
    """A process's client of a gateway; charges have fates of their own, and so have all other calls.

    It may be paused before its last look at the window, and, apart from that, between the look and the first byte: no
    design can close that gap, only make it short.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: MemoryClock,
        *,
        fate: Callable[[], CallFate] = untroubled_call,
        fate_when_asked: Callable[[], CallFate] = untroubled_call,
        before_look: Callable[[], Awaitable[None]] = no_pause,
        after_look: Callable[[], Awaitable[None]] = no_pause,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._fate = fate
        self._fate_when_asked = fate_when_asked
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

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        return await self._ask(lambda: self._ledger.look_up(reference))

    async def burn(self, reference: Reference) -> Burning:
        return await self._ask(lambda: self._ledger.burn(reference.attempt_id))

    async def capture(self, reference: AttemptId, known: str | None = None) -> Capture:
        return await self._ask(lambda: self._ledger.capture(reference))

    async def give_back(self, reference: AttemptId, known: str | None = None) -> GivingBack:
        return await self._ask(lambda: self._ledger.give_back(reference))

    async def _ask(self, effect: Callable[[], T]) -> T | Unreachable:
        """An answer that is lost may have had its effect all the same."""
        fate = self._fate_when_asked()
        if fate.refused is not None:
            return Unreachable(reason=fate.refused)
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                answer = await carry_out(effect, fate)
        except TimeoutError:
            return Unreachable(reason="read_timeout")
        return Unreachable(reason=fate.broken) if fate.broken is not None else answer


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
