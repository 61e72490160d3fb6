"""The verification queue in memory: it is told what the projection stores and what gateways tell.

It claims by the rules of the Postgres one, from the reservations that it shares a store with.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from infra.last_looks import LastLooks
from infra.memory.reservations import Key, MemoryReservations
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.notification import GatewayNotified
from schemas.verification import NO_GATEWAY, Received, StoredMessage, Takeover, VerificationWork
from schemas.views import AttemptView

UNKNOWN_FOR_MS = 24 * 3_600_000
TOLD, URGENT, LAST_LOOK = range(3)


class Candidate(NamedTuple):
    """A payment that could be claimed; candidates sort by their turn."""

    rank: int
    due_ms: float
    payment_id: PaymentId
    taken_of: GatewayId
    """Whose slot it takes."""


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
        self._projected_to_ms: dict[int, int] = {}
        self._last_looks = LastLooks()

    def tell(self, work: VerificationWork, attempts: Iterable[AttemptView]) -> None:
        """What the projection stores of a payment, whenever it takes in a record of it."""
        self._known[work.payment_id] = Known(work, {attempt.attempt_id: attempt for attempt in attempts})

    def projected(self, partition: int, stamp_ms: int) -> None:
        """How far the projection has read a partition of the payments."""
        self._projected_to_ms[partition] = stamp_ms

    def receive(self, message: StoredMessage) -> None:
        """The same message may come twice."""
        self._messages.setdefault(_identity(message.received), message)

    def forget(self) -> None:
        """As the reservations do: everything is told again."""
        self._known, self._messages, self._used = {}, {}, set()
        self._projected_to_ms = {}

    async def claim(self, slots: Mapping[GatewayId, int], window_ms: int) -> Sequence[Takeover]:
        return await self._store.ask(lambda: self._claim(slots, window_ms))

    async def used(self, messages: Sequence[Received]) -> None:
        await self._store.ask(lambda: self._used.update(map(_identity, messages)))

    def _claim(self, slots: Mapping[GatewayId, int], window_ms: int) -> list[Takeover]:
        self._retire()
        shares = self._last_looks.share(slots)
        candidates, chosen = self._waiting(slots), list[Candidate]()
        for gateway, free in slots.items():
            waiting = [candidate for candidate in candidates if candidate.taken_of == gateway]
            last_looks = [candidate for candidate in waiting if candidate.rank == LAST_LOOK]
            left_to_them = last_looks[: shares[gateway]]
            others = [candidate for candidate in waiting if candidate not in left_to_them]
            chosen += [*left_to_them, *others][:free]
        return [self._take(candidate, window_ms) for candidate in sorted(chosen)]

    def _take(self, candidate: Candidate, window_ms: int) -> Takeover:
        payment_id = candidate.payment_id
        return Takeover(
            payment_id=payment_id,
            gateway=candidate.taken_of,
            claim=self._store.take(self._key(payment_id), window_ms),
            messages=self._unused(payment_id),
        )

    def _waiting(self, slots: Mapping[GatewayId, int]) -> list[Candidate]:
        """What could be claimed, each payment once, in turn."""
        first: dict[PaymentId, Candidate] = {}
        for candidate in sorted([*self._due(), *self._told()]):
            taken_of = candidate.taken_of if candidate.taken_of in slots else NO_GATEWAY
            if slots.get(taken_of, 0) > 0 and self._store.is_free(
                self._key(candidate.payment_id), candidate.payment_id
            ):
                first.setdefault(candidate.payment_id, candidate._replace(taken_of=taken_of))
        return list(first.values())

    def _key(self, payment_id: PaymentId) -> Key:
        return self._store.key_of(self._known[payment_id].key, payment_id)

    def _due(self) -> list[Candidate]:
        now_ms = self._store.now_ms()
        return [
            Candidate(URGENT if known.work.urgent else LAST_LOOK, due_ms, payment_id, known.work.gateway)
            for payment_id, known in self._known.items()
            if known.work.due_at is not None and (due_ms := known.work.due_at.timestamp() * 1000) <= now_ms
        ]

    def _told(self) -> list[Candidate]:
        return [
            Candidate(TOLD, message.stamp_ms, message.payment_id, _asks(message.received))
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
            return message.stamp_ms <= min(self._projected_to_ms.values(), default=0) - UNKNOWN_FOR_MS
        return _is_old(message, known.attempts) or _is_foreign(message, known.attempts)


def _identity(received: Received) -> tuple[GatewayId, str]:
    message = received.message
    if isinstance(message, GatewayNotified):
        return message.gateway, message.event_id
    return NO_GATEWAY, message.decision_id


def _asks(received: Received) -> GatewayId:
    """The gateway that has to be asked because of it."""
    message = received.message
    return message.gateway if isinstance(message, GatewayNotified) and message.told == "look" else NO_GATEWAY


def _is_foreign(stored: StoredMessage, attempts: Mapping[AttemptId, AttemptView]) -> bool:
    """What a gateway tells of another one's attempt; an attempt whose start is not on the log has none for certain."""
    message = stored.received.message
    attempt = attempts.get(message.attempt_id)
    return (
        isinstance(message, GatewayNotified)
        and attempt is not None
        and attempt.timeout_ms is not None
        and attempt.gateway != message.gateway
    )


def _is_old(stored: StoredMessage, attempts: Mapping[AttemptId, AttemptView]) -> bool:
    message = stored.received.message
    attempt = attempts.get(message.attempt_id)
    if attempt is None or not isinstance(message, GatewayNotified):
        return False
    if attempt.status == "SUCCEEDED":
        is_certain = attempt.late != "give_back" or attempt.compensated_by is not None
        return message.told != "look" or is_certain
    return attempt.status in ("DECLINED", "NOT_SENT") and message.told == "declined"
