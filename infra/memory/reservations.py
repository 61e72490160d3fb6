"""The ownership of idempotency keys in memory, by the rules of the Postgres one and with its failures."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from infra.memory.clock import MemoryClock
from infra.memory.fate import Fate, carry_out, untroubled
from schemas.base import Value
from schemas.envelope import Recorded, Window
from schemas.errors import StoreUnavailable
from schemas.ids import PaymentId
from schemas.payment import PaymentEvent, PaymentHandedOver, PaymentRequested
from schemas.reservation import Claimed, Held, Reservation, Reserved

T = TypeVar("T")
Key = tuple[str, str]


class Row(Value, frozen=True, kw_only=True):
    fingerprint: str
    payment_id: PaymentId
    epoch: int
    owned_until_ms: int
    handed_over: bool = False


class MemoryReservations:
    """`is_available` is set by whoever breaks it. A call that gets no answer raises StoreUnavailable after the timeout;
    its effect may have taken place all the same, or yet do so."""

    def __init__(
        self,
        clock: MemoryClock,
        *,
        fate: Callable[[], Fate] = untroubled,
        guard_ms: int = 2_000,
        timeout_ms: int = 2_000,
    ) -> None:
        self.is_available = True
        self.is_adopted = True
        self._clock = clock
        self._fate = fate
        self._guard_ms = guard_ms
        self._timeout_s = timeout_ms / 1000
        self._rows: dict[Key, Row] = {}
        self._keys: dict[str, Key] = {}
        self._claims = 0

    async def reserve(self, wish: Reservation) -> Reserved | Held:
        return await self._ask(lambda: self._reserve(wish))

    async def find(self, merchant_id: str, key_hash: str) -> Held | None:
        return await self._ask(lambda: self._find((merchant_id, key_hash)))

    async def claim(self, wish: Reservation, epoch: int) -> Claimed | None:
        return await self._ask(lambda: self._claim(wish, epoch))

    def heal(self, recorded: Recorded[PaymentEvent]) -> None:
        """What the projection does: the row is an index of the log, which knows what the store may have forgotten."""
        if recorded.is_void:
            return
        event, envelope = recorded.event, recorded.envelope
        key = self._keys.get(envelope.aggregate_id)
        if isinstance(event, PaymentRequested):
            key = (event.order.merchant_id, event.key_hash)
            self._keys[envelope.aggregate_id] = key
            fresh = Row(
                fingerprint=event.fingerprint,
                payment_id=PaymentId(envelope.aggregate_id),
                epoch=envelope.epoch,
                owned_until_ms=envelope.window.valid_until_ms,
            )
            self._rows.setdefault(key, fresh)
        if key is None or (row := self._rows.get(key)) is None or row.payment_id != envelope.aggregate_id:
            return
        if envelope.epoch > row.epoch:
            row = replace(
                row, epoch=envelope.epoch, owned_until_ms=envelope.window.valid_until_ms, handed_over=False
            )
        if isinstance(event, PaymentHandedOver) and envelope.epoch == row.epoch:
            row = replace(row, owned_until_ms=recorded.stamp_ms, handed_over=True)
        self._rows[key] = row

    def forget(self) -> None:
        """Another server, with no rows, stands in the place of the one we knew; calls on their way are lost.

        Nobody is served before it is adopted: when it has been healed from a log that no forgotten owner can still
        write to.
        """
        self.is_adopted = False
        self._rows = {}
        self._keys = {}

    async def _ask(self, effect: Callable[[], T]) -> T:
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

    def _reserve(self, wish: Reservation) -> Reserved | Held:
        key = (wish.merchant_id, wish.key_hash)
        if (held := self._find(key)) is not None:
            return held
        until_ms = self._clock.now_ms() + wish.window_ms
        self._rows[key] = Row(
            fingerprint=wish.fingerprint, payment_id=wish.payment_id, epoch=1, owned_until_ms=until_ms
        )
        self._keys[wish.payment_id] = key
        return Reserved(window=Window(valid_from_ms=0, valid_until_ms=until_ms))

    def _find(self, key: Key) -> Held | None:
        row = self._rows.get(key)
        if row is None:
            return None
        return Held(
            payment_id=row.payment_id,
            fingerprint=row.fingerprint,
            epoch=row.epoch,
            is_owned=row.owned_until_ms > self._clock.now_ms(),
        )

    def _claim(self, wish: Reservation, epoch: int) -> Claimed | None:
        key = (wish.merchant_id, wish.key_hash)
        row, now_ms = self._rows.get(key), self._clock.now_ms()
        if row is None or row.epoch != epoch:
            return None
        ended_ms = row.owned_until_ms + (0 if row.handed_over else self._guard_ms)
        if ended_ms + (0 if row.handed_over else self._guard_ms) > now_ms:
            return None
        until_ms = now_ms + wish.window_ms
        self._rows[key] = replace(row, epoch=epoch + 1, owned_until_ms=until_ms, handed_over=False)
        self._claims += 1
        return Claimed(
            epoch=epoch + 1,
            claim_id=f"clm_{self._claims}",
            window=Window(valid_from_ms=ended_ms, valid_until_ms=until_ms),
        )
