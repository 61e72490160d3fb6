"""The ownership of idempotency keys in memory, by the rules of the Postgres one and with its failures."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from infra.memory.clock import MemoryClock
from infra.memory.customers import MemoryCustomers
from infra.memory.fate import Fate, carry_out, untroubled
from schemas.base import Value
from schemas.envelope import Recorded, Window
from schemas.errors import StoreUnavailable
from schemas.ids import CustomerToken, PaymentId
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptStarted,
    AttemptSucceeded,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentEvent,
    PaymentHandedOver,
    PaymentRequested,
    PaymentSucceeded,
    ReviewSettled,
)
from schemas.reservation import Claimed, Held, Reservation, Reserved

T = TypeVar("T")
Key = tuple[str, str]

_TELLS_OF_AN_ATTEMPT = (
    AttemptStarted
    | AttemptSucceeded
    | AttemptDeclined
    | AttemptNotSent
    | AttemptAwaitingCustomer
    | AttemptInDoubt
    | PaymentSucceeded
    | ReviewSettled
    | LateSuccessDetected
    | ChargeCompensated
)


class Row(Value, frozen=True, kw_only=True):
    fingerprint: str
    payment_id: PaymentId
    epoch: int
    owned_until_ms: int
    handed_over: bool = False


class Told(Value, frozen=True, kw_only=True):
    """What the log has told of a payment's owner so far; no key, no row."""

    row: Row
    key: Key | None = None


class MemoryReservations:
    """`is_available` is set by whoever breaks it. A call that gets no answer raises StoreUnavailable after the timeout;
    its effect may have taken place all the same, or yet do so."""

    def __init__(
        self,
        clock: MemoryClock,
        *,
        fate: Callable[[], Fate] = untroubled,
        guard_ms: int = 750,
        timeout_ms: int = 2_000,
    ) -> None:
        self.is_available = True
        self.is_adopted = True
        self._clock = clock
        self._fate = fate
        self._guard_ms = guard_ms
        self._timeout_s = timeout_ms / 1000
        self.customers = MemoryCustomers()
        self._rows: dict[Key, Row] = {}
        self._told: dict[PaymentId, Told] = {}
        self._claims = 0

    async def reserve(self, wish: Reservation) -> Reserved | Held:
        return await self.ask(lambda: self._reserve(wish))

    async def find(self, merchant_id: str, key_hash: str) -> Held | None:
        return await self.ask(lambda: self._find((merchant_id, key_hash)))

    async def claim(self, wish: Reservation, epoch: int) -> Claimed | None:
        return await self.ask(lambda: self._claim(wish, epoch))

    def heal(self, recorded: Recorded[PaymentEvent]) -> None:
        """What the projection does: the row is an index of the log, which knows what the store may have forgotten.

        A payment whose request is missing has a row of its own, under no merchant and its own id.
        """
        if recorded.is_void:
            return
        told = _told_more(self._told.get(PaymentId(recorded.envelope.aggregate_id)), recorded)
        self._told[told.row.payment_id] = told
        if told.key is None:
            return
        key = self.key_of(told.key, told.row.payment_id)
        known = self._rows.setdefault(key, told.row)
        is_newer = told.row.epoch > known.epoch
        is_given_up = told.row.epoch == known.epoch and told.row.handed_over and not known.handed_over
        if known.payment_id == told.row.payment_id and (is_newer or is_given_up):
            self._rows[key] = replace(told.row, fingerprint=known.fingerprint)

    def key_of(self, key: Key, payment_id: PaymentId) -> Key:
        """The key of the payment's one row: where the log knows only the payment, and where another has its key."""
        row = self._rows.get(key)
        if key[0] and (row is None or row.payment_id == payment_id):
            return key
        own = [known for known, row in self._rows.items() if row.payment_id == payment_id]
        return max(own, default=("", str(payment_id)))

    def forget(self) -> None:
        """Another server, with no rows, stands in the place of the one we knew; calls on their way are lost.

        Nobody is served before it is adopted: when it has been healed from a log that no forgotten owner can still
        write to.
        """
        self.is_adopted = False
        self.customers = MemoryCustomers()
        self._rows = {}
        self._told = {}

    async def ask(self, effect: Callable[[], T]) -> T:
        """A call to this store, of whatever kind. Raises StoreUnavailable."""
        rows = self._rows

        def unless_gone() -> tuple[T] | None:
            return (effect(),) if self.is_available and rows is self._rows else None

        if not (self.is_available and self.is_adopted):
            raise StoreUnavailable("the store is away")
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await carry_out(unless_gone, self._fate())
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {self._timeout_s:g} s") from error
        if answer is None:
            raise StoreUnavailable("the store went away")
        return answer[0]

    def is_free(self, key: Key, payment_id: PaymentId) -> bool:
        """Whether the payment's row is there and can be claimed now."""
        row = self._rows.get(key)
        return row is not None and row.payment_id == payment_id and self._free_at_ms(row) <= self.now_ms()

    def take(self, key: Key, window_ms: int) -> Claimed:
        """Claim a row that is free."""
        row, until_ms = self._rows[key], self.now_ms() + window_ms
        self._rows[key] = replace(row, epoch=row.epoch + 1, owned_until_ms=until_ms, handed_over=False)
        self._claims += 1
        return Claimed(
            epoch=row.epoch + 1,
            claim_id=f"clm_{self._claims}",
            window=Window(valid_from_ms=self._ended_ms(row), valid_until_ms=until_ms),
        )

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def _reserve(self, wish: Reservation) -> Reserved | Held:
        key = (wish.merchant_id, wish.key_hash)
        if (held := self._find(key)) is not None:
            return held
        until_ms = self.now_ms() + wish.window_ms
        self._rows[key] = Row(
            fingerprint=wish.fingerprint, payment_id=wish.payment_id, epoch=1, owned_until_ms=until_ms
        )
        return Reserved(window=Window(valid_from_ms=0, valid_until_ms=until_ms), customer=self._met(wish))

    def _find(self, key: Key) -> Held | None:
        row = self._rows.get(key)
        if row is None:
            return None
        return Held(
            payment_id=row.payment_id,
            fingerprint=row.fingerprint,
            epoch=row.epoch,
            is_owned=row.owned_until_ms > self.now_ms(),
        )

    def _claim(self, wish: Reservation, epoch: int) -> Claimed | None:
        key = (wish.merchant_id, wish.key_hash)
        row = self._rows.get(key)
        if row is None or row.epoch != epoch or self._free_at_ms(row) > self.now_ms():
            return None
        return replace(self.take(key, wish.window_ms), customer=self._met(wish))

    def _met(self, wish: Reservation) -> CustomerToken:
        return self.customers.meet(wish.merchant_id, wish.customer_id, wish.customer)

    def _ended_ms(self, row: Row) -> int:
        return row.owned_until_ms + (0 if row.handed_over else self._guard_ms)

    def _free_at_ms(self, row: Row) -> int:
        return self._ended_ms(row) + (0 if row.handed_over else self._guard_ms)


def _told_more(told: Told | None, recorded: Recorded[PaymentEvent]) -> Told:
    """The projection's fold of who owns the payment."""
    event, envelope = recorded.event, recorded.envelope
    payment_id = PaymentId(envelope.aggregate_id)
    if told is None:
        told = Told(row=Row(fingerprint="", payment_id=payment_id, epoch=0, owned_until_ms=0))
    row, key = told.row, told.key
    if envelope.epoch > row.epoch:
        until_ms = envelope.window.valid_until_ms
        row = replace(row, epoch=envelope.epoch, owned_until_ms=until_ms, handed_over=False)
    if isinstance(event, PaymentHandedOver) and envelope.epoch == row.epoch:
        row = replace(row, owned_until_ms=recorded.stamp_ms, handed_over=True)
    if isinstance(event, PaymentRequested) and (key is None or key[0] == ""):
        key = (event.order.merchant_id, event.key_hash)
        row = replace(row, fingerprint=event.fingerprint)
    elif isinstance(event, _TELLS_OF_AN_ATTEMPT) and key is None:
        key = ("", str(payment_id))
    return Told(row=row, key=key)
