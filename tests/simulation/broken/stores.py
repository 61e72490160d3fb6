"""Postgres as it must not be: who owns a key, what is due, what was told, and the rows of the read model."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from infra.kafka.partition import partition_for
from infra.memory.projections import MemoryPayments
from infra.memory.reservations import Key, MemoryReservations
from infra.memory.verification_queue import MemoryVerificationQueue
from schemas.envelope import Window
from schemas.errors import StoreUnavailable
from schemas.ids import GatewayId, PaymentId
from schemas.notification import GatewayNotified
from schemas.reservation import Claimed, Held, Reservation, Reserved
from schemas.verification import StoredMessage, Takeover
from schemas.views import PaymentChanges
from tests.simulation.verification import AMOUNT_MINOR


class HopefulReservations(MemoryReservations):
    """Takes a reservation that was not answered for made."""

    async def reserve(self, wish: Reservation) -> Reserved | Held:
        until_ms = self.now_ms() + wish.window_ms
        try:
            return await super().reserve(wish)
        except StoreUnavailable:
            return Reserved(window=Window(valid_from_ms=0, valid_until_ms=until_ms), customer=wish.customer)


class Overlapping(MemoryReservations):
    """Gives verifiers what somebody still owns, with a window that begins before its owner's ends."""

    def is_free(self, key: Key, payment_id: PaymentId) -> bool:
        return key in self._rows

    def take(self, key: Key, window_ms: int) -> Claimed:
        claimed = super().take(key, window_ms)
        return replace(claimed, window=replace(claimed.window, valid_from_ms=0))


class GivesTwice(MemoryVerificationQueue):
    """Gives what one verifier has claimed to the next one too, in the same epoch."""

    _given: Sequence[Takeover] = ()

    async def claim(self, slots: Mapping[GatewayId, int], window_ms: int) -> Sequence[Takeover]:
        again = [
            replace(one, claim=replace(one.claim, claim_id=f"{one.claim.claim_id}_again"))
            for one in self._given
        ]
        self._given = await super().claim(slots, window_ms)
        return [*again, *self._given]


class BelievesWhoeverSigns(MemoryVerificationQueue):
    """Takes what another gateway tells of an attempt for what its own one told."""

    def receive(self, message: StoredMessage) -> None:
        known = self._known.get(message.payment_id)
        told = message.received.message
        attempt = known.attempts.get(told.attempt_id) if known is not None else None
        if attempt is not None and isinstance(told, GatewayNotified):
            message = _saying(message, replace(told, gateway=attempt.gateway))
        super().receive(message)


class BelievesAnyAmount(MemoryVerificationQueue):
    """Takes what is told of another amount for what is told of ours."""

    def receive(self, message: StoredMessage) -> None:
        told = message.received.message
        if isinstance(told, GatewayNotified):
            message = _saying(message, replace(told, amount_minor=AMOUNT_MINOR))
        super().receive(message)


def _saying(message: StoredMessage, other: GatewayNotified) -> StoredMessage:
    return replace(message, received=replace(message.received, message=other))


class LosesRows(MemoryPayments):
    """Keeps the watermark of every seventh transaction, and nothing of its rows."""

    def __init__(self) -> None:
        super().__init__(partition_for)
        self._transactions = 0

    def _commit(self, topic: str, told: PaymentChanges) -> None:
        self._transactions += 1
        nothing = PaymentChanges(watermarks=told.watermarks)
        super()._commit(topic, told if self._transactions % 7 else nothing)


class ForgetsWork(MemoryPayments):
    """Keeps the rows, and not what verification has to do."""

    def __init__(self) -> None:
        super().__init__(partition_for)

    def _commit(self, topic: str, told: PaymentChanges) -> None:
        super()._commit(topic, replace(told, work=()))
