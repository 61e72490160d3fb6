"""A verifier, or several, beside the system of `system.py`: the projection and the messages that it is told by."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

from commands.ownership import fold
from commands.payment_state import PaymentState
from commands.ports import Gateway, Histories
from commands.verifier import PaymentVerifier
from infra.memory.alarms import MemoryAlarms
from infra.memory.clock import MemoryClock
from infra.memory.gateways import CallFate, Later, Ledger, MemoryGateway, never_later
from infra.memory.verification_queue import MemoryVerificationQueue
from projections.payments import evolve
from projections.verifications import work
from schemas.charge import Burning, Capture, Charge, GivingBack, LookUp, Reference
from schemas.codec import NOTIFICATIONS_TOPIC
from schemas.envelope import Position
from schemas.ids import AttemptId, GatewayId, PaymentId, payment_of
from schemas.notification import GatewayNotified, NotificationMessage, ReviewDecided
from schemas.outcome import Outcome
from schemas.verification import Received, StoredMessage
from schemas.views import PaymentHistory
from tests.builders import success
from tests.commands.system import System

CLOSE_AFTER = timedelta(minutes=15)


class Asked:
    """A gateway's client that remembers what it was asked to do."""

    def __init__(self, gateway: Gateway, calls: list[str]) -> None:
        self._gateway = gateway
        self._calls = calls

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        self._calls.append("charge")
        return await self._gateway.charge(charge, may_send)

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        self._calls.append("look_up")
        return await self._gateway.look_up(reference, known)

    async def burn(self, reference: Reference) -> Burning:
        self._calls.append("burn")
        return await self._gateway.burn(reference)

    async def capture(self, reference: AttemptId, known: str | None = None) -> Capture:
        self._calls.append("capture")
        return await self._gateway.capture(reference, known)

    async def give_back(self, reference: AttemptId, known: str | None = None) -> GivingBack:
        self._calls.append("give_back")
        return await self._gateway.give_back(reference, known)


class Verified(System):
    """`asked` is what verifiers asked of gateways; `answers` are the fates of those calls."""

    def __init__(
        self,
        latent: Callable[[AttemptId], Outcome] = lambda _: success(),
        *,
        later: Callable[[AttemptId], Later | None] = never_later,
        echoes_wrong_amount: Callable[[AttemptId], bool] = lambda _: False,
    ) -> None:
        super().__init__(latent)
        self.ledgers = {
            name: Ledger(self.clock, latent, later=later, echoes_wrong_amount=echoes_wrong_amount)
            for name in self.ledgers
        }
        self.handler = self.process()
        self.alarms = MemoryAlarms(self.log)
        self.queue = MemoryVerificationQueue(self.reservations)
        self.asked: list[str] = []
        self.answers: list[CallFate] = []
        self.told = 0
        self._verifiers = 100
        self._projected = [0] * len(self.log.partitions)
        self._views: dict[PaymentId, PaymentHistory] = {}
        self.verifier = self.a_verifier()

    def a_verifier(
        self, *, knows: tuple[GatewayId, ...] | None = None, histories: Histories | None = None
    ) -> PaymentVerifier:
        self._verifiers += 1
        return PaymentVerifier(
            clock=MemoryClock(seed=self._verifiers),
            log=self.log,
            histories=histories or self.histories,
            gateways=self.asking(knows),
            facts=self,
            queue=self.queue,
            alarms=self.alarms,
            close_after=CLOSE_AFTER,
        )

    def asking(self, knows: tuple[GatewayId, ...] | None = None) -> Mapping[GatewayId, Gateway]:
        """Clients of the gateways, or of some of them."""
        return {
            name: Asked(MemoryGateway(ledger, self.clock, fate_when_asked=self._answer), self.asked)
            for name, ledger in self.ledgers.items()
            if knows is None or name in knows
        }

    def _answer(self) -> CallFate:
        return self.answers.pop(0) if self.answers else CallFate()

    def project(self) -> None:
        """What projection and intake do in their transactions."""
        for number, partition in enumerate(self.log.partitions):
            for record in partition[self._projected[number] :]:
                self.reservations.heal(record)
                payment_id = PaymentId(record.envelope.aggregate_id)
                self._views[payment_id] = evolve(self._views.get(payment_id), record)
            self._projected[number] = len(partition)
            if partition:
                self.queue.projected(number, partition[-1].stamp_ms)
        for view in self._views.values():
            self.queue.tell(work(view, CLOSE_AFTER), view.attempts)

    def tell(self, message: NotificationMessage) -> None:
        self.told += 1
        self.queue.receive(
            StoredMessage(
                payment_id=payment_of(message.attempt_id),
                received=Received(
                    position=Position(topic=NOTIFICATIONS_TOPIC, partition=0, offset=self.told),
                    message=message,
                ),
                stamp_ms=self.clock.now_ms(),
            )
        )

    async def turn(self, verifier: PaymentVerifier | None = None) -> int:
        """Project, claim what is due and wait for its end; how much that was."""
        self.project()
        verifier = verifier or self.verifier
        begun = await verifier.turn()
        assert await verifier.drain(60) == 0
        self.project()
        return begun

    async def turns(self, seconds: float, every_s: float = 30) -> None:
        """As a verifier passes its time."""
        for _ in range(round(seconds / every_s)):
            await asyncio.sleep(every_s)
            await self.turn()

    @property
    def attempts(self) -> list[AttemptId]:
        return [contact.charge.attempt_id for ledger in self.ledgers.values() for contact in ledger.contacts]

    @property
    def state(self) -> PaymentState:
        """Of the only payment."""
        (records,) = [partition for partition in self.log.partitions if partition]
        return fold(records)

    def since_the_take_over(self, of: int = 1) -> list[str]:
        """What the verifier number `of` wrote, and what was written after it."""
        names, number = self.written, 0
        for place, name in enumerate(names):
            number += name == "PaymentTakenOver"
            if number == of:
                return names[place + 1 :]
        return []


def notified(attempt_id: AttemptId, told: str, *, amount_minor: int = 129_900) -> GatewayNotified:
    return GatewayNotified(
        gateway=GatewayId("alpha"),
        event_id=f"evt_{told}",
        kind="payment.changed",
        attempt_id=attempt_id,
        told=told,  # type: ignore[arg-type]  # one of the three words
        gateway_reference="txn_1" if told == "succeeded" else None,
        amount_minor=amount_minor,
        currency="INR",
    )


def decided_by_hand(attempt_id: AttemptId, verdict: str, reference: str | None = None) -> ReviewDecided:
    return ReviewDecided(
        decision_id=f"dec_{verdict}",
        attempt_id=attempt_id,
        verdict=verdict,  # type: ignore[arg-type]  # one of the three words
        settled_by="asha",
        note="seen in the statement",
        gateway_reference=reference,
    )
