"""The second half of the world: gateways that tell of what they did, verifiers, and a person who settles reviews."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from random import Random

from infra.memory.gateways import Entry, Ledger
from infra.memory.verification_queue import MemoryVerificationQueue
from schemas.codec import NOTIFICATIONS_TOPIC
from schemas.envelope import Position
from schemas.ids import GatewayId, payment_of
from schemas.notification import GatewayNotified, NotificationMessage, ReviewDecided
from schemas.outcome import AwaitingCustomer, Decline, Succeeded
from schemas.verification import Received, StoredMessage
from schemas.views import AttemptView, PaymentHistory
from tests.simulation.courses import notification
from tests.simulation.faults import Faults

AMOUNT_MINOR = 129_900
"""Of every payment."""
LIED_ABOUT = Decline(code="lied_about", blame="issuer", retryable=False)


class Messages:
    """`gateway.notifications.v1`: what was told, in the order in which it arrived; the intake has `taken` so many."""

    def __init__(self, faults: Faults, now_ms: Callable[[], int]) -> None:
        self.told: list[StoredMessage] = []
        self.taken = 0
        self._faults = faults
        self._now_ms = now_ms
        self._changes = 0

    def changed(self, entry: Entry) -> None:
        """A gateway sends a notification: perhaps never, perhaps twice, perhaps long after a later one."""
        self._changes += 1
        message = notification(entry, self._changes)
        for delay_ms in self._faults.of_a_notification():
            asyncio.get_running_loop().call_later(delay_ms / 1000, self.tell, message)

    def tell(self, message: NotificationMessage) -> None:
        position = Position(topic=NOTIFICATIONS_TOPIC, partition=0, offset=len(self.told))
        self.told.append(
            StoredMessage(
                payment_id=payment_of(message.attempt_id),
                received=Received(position=position, message=message),
                stamp_ms=self._now_ms(),
            )
        )

    def take(self, queue: MemoryVerificationQueue) -> None:
        for message in self.told[self.taken :]:
            queue.receive(message)
        self.taken = len(self.told)


class Liar:
    """Signs well, and is not to be believed: another gateway than the attempt's, or its own about another amount."""

    def __init__(self, messages: Messages, faults: Faults, chance: Random) -> None:
        self._messages = messages
        self._faults = faults
        self._chance = chance
        self._lies = 0

    def lie(self, histories: Iterable[PaymentHistory], gateways: Sequence[GatewayId]) -> None:
        for history in histories:
            for attempt in history.attempts:
                if self._faults.is_lied_about():
                    self._tell(attempt, self._chance.choice(gateways))

    def _tell(self, attempt: AttemptView, gateway: GatewayId) -> None:
        self._lies += 1
        is_stranger = gateway != attempt.gateway
        is_success = self._chance.random() < 0.7
        self._faults.counted[f"lie of {'another gateway' if is_stranger else 'another amount'}"] += 1
        self._messages.tell(
            GatewayNotified(
                gateway=gateway,
                event_id=f"evt_lie_{self._lies}",
                kind="payment.changed",
                attempt_id=attempt.attempt_id,
                told="succeeded" if is_success else "declined",
                gateway_reference=f"txn_lie_{self._lies}",
                decline=None if is_success else LIED_ABOUT,
                amount_minor=AMOUNT_MINOR if is_stranger else AMOUNT_MINOR + 1,
                currency="INR",
            )
        )


class Reviewer:
    """A person with the gateways' statements before them."""

    def __init__(self, messages: Messages, ledgers: dict[GatewayId, Ledger]) -> None:
        self._messages = messages
        self._ledgers = ledgers
        self.decisions = 0

    def review(self, histories: Iterable[PaymentHistory]) -> None:
        for history in histories:
            for attempt in history.attempts:
                if attempt.in_review:
                    self._decide(attempt)

    def _decide(self, attempt: AttemptView) -> None:
        entry = self._ledgers[attempt.gateway].entries.get(attempt.attempt_id)
        match entry:
            case Entry(outcome=Succeeded(gateway_reference=reference), given_back_by=None):
                self._ledgers[attempt.gateway].capture(attempt.attempt_id)
                self._tell(attempt, "succeeded", reference)
            case Entry(outcome=AwaitingCustomer(), given_back_by=None):
                self._ledgers[attempt.gateway].give_back(attempt.attempt_id)
                self._tell(attempt, "declined", None)
            case None:
                self._tell(attempt, "not_sent", None)
            case _:
                self._tell(attempt, "declined", None)

    def _tell(self, attempt: AttemptView, verdict: str, reference: str | None) -> None:
        self.decisions += 1
        self._messages.tell(
            ReviewDecided(
                decision_id=f"dec_{self.decisions}",
                attempt_id=attempt.attempt_id,
                verdict=verdict,  # type: ignore[arg-type]  # one of the three words
                settled_by="asha",
                note="seen in the gateway's statement",
                gateway_reference=reference,
            )
        )
