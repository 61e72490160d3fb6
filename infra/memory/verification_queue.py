"""The verification queue in memory: it is told what the projection stores and what gateways tell.

It claims by the rules of the Postgres one, from the reservations that it shares a store with.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

from msgspec import Struct

from infra.memory.reservations import Key, MemoryReservations
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.notification import GatewayNotified
from schemas.verification import NO_GATEWAY, Received, StoredMessage, Takeover, VerificationWork
from schemas.views import AttemptView

UNKNOWN_FOR_MS = 24 * 3_600_000


class Known(Struct):
    """What the read model knows of a payment."""

    work: VerificationWork
    attempts: dict[AttemptId, AttemptView]

    @property
    def key(self) -> Key:
        return self.work.merchant_id, self.work.key_hash


class MemoryVerificationQueue:
    """Calls have the fates of the reservations' calls: they are one store."""

    def __init__(self, reservations: MemoryReservations) -> None:
        self._store = reservations
        self._known: dict[PaymentId, Known] = {}
        self._messages: dict[tuple[GatewayId, str], StoredMessage] = {}
        self._used: set[tuple[GatewayId, str]] = set()

    def tell(self, work: VerificationWork, attempts: Iterable[AttemptView]) -> None:
        """What the projection stores of a payment, whenever it takes in a record of it."""
        self._known[work.payment_id] = Known(work, {attempt.attempt_id: attempt for attempt in attempts})

    def receive(self, message: StoredMessage) -> None:
        """The same message may come twice."""
        self._messages.setdefault(_identity(message.received), message)

    def forget(self) -> None:
        """As the reservations do: everything is told again."""
        self._known, self._messages, self._used = {}, {}, set()

    async def claim(self, slots: Mapping[GatewayId, int], window_ms: int) -> Sequence[Takeover]:
        return await self._store.ask(lambda: self._claim(slots, window_ms))

    async def used(self, messages: Sequence[Received]) -> None:
        await self._store.ask(lambda: self._used.update(map(_identity, messages)))

    def _claim(self, slots: Mapping[GatewayId, int], window_ms: int) -> list[Takeover]:
        self._retire()
        free, claimed = dict(slots), dict[PaymentId, Takeover]()
        for _, payment_id, gateway in sorted([*self._due(), *self._told()], key=itemgetter(0)):
            key = self._store.key_of(self._known[payment_id].key, payment_id)
            if free.setdefault(gateway, slots.get(NO_GATEWAY, 0)) > 0 and self._store.is_free(
                key, payment_id
            ):
                free[gateway] -= 1
                claimed[payment_id] = Takeover(
                    payment_id=payment_id,
                    gateway=gateway,
                    claim=self._store.take(key, window_ms),
                    messages=self._unused(payment_id),
                )
        return list(claimed.values())

    def _due(self) -> list[tuple[float, PaymentId, GatewayId]]:
        now_ms = self._store.now_ms()
        return [
            (due_ms, payment_id, known.work.gateway)
            for payment_id, known in self._known.items()
            if known.work.due_at is not None and (due_ms := known.work.due_at.timestamp() * 1000) <= now_ms
        ]

    def _told(self) -> list[tuple[float, PaymentId, GatewayId]]:
        return [
            (message.stamp_ms, message.payment_id, _identity(message.received)[0])
            for identity, message in self._messages.items()
            if identity not in self._used and message.payment_id in self._known
        ]

    def _unused(self, payment_id: PaymentId) -> tuple[Received, ...]:
        unused = [
            message.received
            for identity, message in self._messages.items()
            if identity not in self._used and message.payment_id == payment_id
        ]
        return tuple(sorted(unused, key=lambda received: received.position))

    def _retire(self) -> None:
        self._used |= {
            identity for identity, message in self._messages.items() if self._tells_nothing(message)
        }

    def _tells_nothing(self, message: StoredMessage) -> bool:
        known = self._known.get(message.payment_id)
        if known is None:
            return message.stamp_ms <= self._store.now_ms() - UNKNOWN_FOR_MS
        return _is_old(message, known.attempts)


def _identity(received: Received) -> tuple[GatewayId, str]:
    message = received.message
    if isinstance(message, GatewayNotified):
        return message.gateway, message.event_id
    return NO_GATEWAY, message.decision_id


def _is_old(stored: StoredMessage, attempts: Mapping[AttemptId, AttemptView]) -> bool:
    message = stored.received.message
    attempt = attempts.get(message.attempt_id)
    if attempt is None or not isinstance(message, GatewayNotified):
        return False
    if attempt.status == "SUCCEEDED":
        is_certain = attempt.late != "give_back" or attempt.compensated_by is not None
        return message.told != "look" or is_certain
    return attempt.status in ("DECLINED", "NOT_SENT") and message.told == "declined"
