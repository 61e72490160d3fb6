"""One payment's verification by its owner: use what was told, ask what is due, give back what is late, hand over."""

from collections.abc import Sequence
from datetime import timedelta

from commands.payment import decide
from commands.payment_state import Attempt, Open, Settled, find
from commands.ports import Alarms, Clock, Gateway, Gateways, RoutingFacts
from commands.settlement import CLOCK_SLACK
from commands.verdicts import heeds_hint, may_burn, needs_capture, verdict_of
from commands.verification_alarms import alarms
from commands.writer import PaymentWriter
from schemas.charge import Burning, Captured, LookUp, Reference, Unreachable
from schemas.errors import AppendAmbiguous, Refused
from schemas.ids import AttemptId, GatewayId
from schemas.notification import GatewayNotified, NotificationMessage, ReviewDecided
from schemas.outcome import Declined, Outcome, Succeeded
from schemas.payment import (
    CloseUnattempted,
    HandOverPayment,
    PaymentCommand,
    RecordGivingBack,
    RecordVerification,
    SettlePayment,
    SettleReview,
)
from schemas.verification import Schedule, Source, Verdict

ACT_WITHIN_MS = 6_500
"""No call with an effect is begun with less of the lease left than one may take (infra/gateways/certain.py)."""


class Verification:
    def __init__(
        self,
        writer: PaymentWriter,
        clock: Clock,
        gateways: Gateways,
        facts: RoutingFacts,
        alarms: Alarms,
        close_after: timedelta,
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._gateways = gateways
        self._facts = facts
        self._alarms = alarms
        self._close_after = close_after
        self._to_ask: set[AttemptId] = set()

    async def settle(self, messages: Sequence[NotificationMessage]) -> None:
        """Raises Unavailable; what is left of the work is then found by the next claim.

        Where nothing was told and there was nothing to do the lease is left to end by itself: a projection that thinks
        otherwise must not have the payment taken over again and again.
        """
        found = len(self._writer.history)
        await self._decide(SettlePayment())
        for message in messages:
            await self._told(message)
        for attempt in self._state.attempts:
            if self._is_to_be_asked(attempt):
                await self._look(attempt)
        for attempt in self._state.attempts:
            if attempt.must_be_given_back and self._is_due(attempt):
                await self._give_back(attempt)
        await self._decide(CloseUnattempted(after=self._close_after, at=self._clock.now() + CLOCK_SLACK))
        if messages or len(self._writer.history) > found:
            await self._decide(HandOverPayment())

    @property
    def _state(self) -> Open | Settled:
        state = self._writer.state
        assert isinstance(state, Open | Settled), "its take-over is on the log"
        return state

    async def _decide(self, command: PaymentCommand) -> None:
        """A person hears of it before it is on the log: heard twice is better than never."""
        events = decide(command, self._state)
        for alarm in alarms(self._writer.owner.payment_id, events, self._state):
            await self._alarms.publish(alarm)
        await self._writer.append(events)

    def _is_to_be_asked(self, attempt: Attempt) -> bool:
        """What becomes of money that goes back is known already."""
        is_due = self._is_due(attempt) and not attempt.must_be_given_back
        return is_due or attempt.started.attempt_id in self._to_ask

    def _is_due(self, attempt: Attempt) -> bool:
        if attempt.in_review:
            return False
        if attempt.next_check_at is None:
            return not attempt.is_settled or attempt.must_be_given_back
        return attempt.next_check_at <= self._clock.now() + CLOCK_SLACK

    # What was told

    async def _told(self, message: NotificationMessage) -> None:
        attempt = find(self._state, message.attempt_id)
        match message:
            case _ if attempt is None:
                return
            case ReviewDecided():
                await self._reviewed(attempt, message)
            case GatewayNotified():
                await self._notified(attempt, message)

    async def _notified(self, attempt: Attempt, message: GatewayNotified) -> None:
        """What it proves is used; what it only hints at is a reason to ask. Another gateway's is neither: its secret
        says nothing of this attempt."""
        outcome = proven_by(message)
        said, ours = (message.amount_minor, message.currency), attempt.started
        if message.gateway != ours.gateway:
            return
        if outcome is None or said != (ours.amount_minor, ours.currency):
            if heeds_hint(attempt, self._clock.now()):
                self._to_ask.add(message.attempt_id)
            return
        verdict: Verdict = "succeeded" if isinstance(outcome, Succeeded) else "declined"
        await self._record(attempt, verdict, outcome, "notification")

    async def _reviewed(self, attempt: Attempt, message: ReviewDecided) -> None:
        """A person's word, after one more look: what the gateway proves by now is worth more than a *no*, and money
        that was only authorised goes back by itself unless a *yes* takes it."""
        if not attempt.in_review:
            return
        if message.verdict == "succeeded":
            await self._take(attempt)
        else:
            await self._look(attempt)
        try:
            await self._decide(
                SettleReview(
                    attempt_id=message.attempt_id,
                    verdict=message.verdict,
                    settled_by=message.settled_by,
                    note=message.note,
                    gateway_reference=message.gateway_reference,
                    schedule=self._schedule(attempt),
                    at=self._clock.now(),
                )
            )
        except Refused:
            return

    # What is asked

    async def _look(self, attempt: Attempt) -> None:
        attempt_id = attempt.started.attempt_id
        gateway = self._gateway(attempt)
        known = attempt.gateway_reference
        looked: LookUp = await gateway.look_up(attempt_id, known) if gateway else UNKNOWN_GATEWAY
        burning: Burning | None = None
        if gateway and self._may_burn(attempt, looked):
            self._require_time()
            burning = await gateway.burn(reference_of(attempt))
        elif gateway and needs_capture(attempt, looked, self._state):
            self._require_time()
            captured = await gateway.capture(attempt_id, known)
            looked = looked if isinstance(captured, Captured) else captured
        verdict, outcome = verdict_of(attempt, looked, burning)
        await self._record(attempt, verdict, outcome, "look_up")

    async def _take(self, attempt: Attempt) -> None:
        gateway = self._gateway(attempt)
        if gateway is not None:
            self._require_time()
            await gateway.capture(attempt.started.attempt_id, attempt.gateway_reference)

    async def _give_back(self, attempt: Attempt) -> None:
        self._require_time()
        gateway = self._gateway(attempt)
        attempt_id = attempt.started.attempt_id
        known = attempt.gateway_reference
        answer = await gateway.give_back(attempt_id, known) if gateway else UNKNOWN_GATEWAY
        await self._decide(RecordGivingBack(attempt_id=attempt_id, answer=answer, at=self._clock.now()))

    async def _record(
        self, attempt: Attempt, verdict: Verdict, outcome: Outcome | None, source: Source
    ) -> None:
        await self._decide(
            RecordVerification(
                attempt_id=attempt.started.attempt_id,
                verdict=verdict,
                outcome=outcome,
                source=source,
                schedule=self._schedule(attempt),
                at=self._clock.now(),
            )
        )

    def _may_burn(self, attempt: Attempt, looked: LookUp) -> bool:
        configured = {gateway.id: gateway.lookup_lag_ms for gateway in self._facts.gateways()}
        lag_ms = configured.get(attempt.started.gateway, 0)
        return may_burn(attempt, looked, lag_ms, self._clock.now())

    def _gateway(self, attempt: Attempt) -> Gateway | None:
        """None for one that is configured no more: nobody can be asked, and in the end a person is."""
        try:
            return self._gateways[GatewayId(attempt.started.gateway)]
        except KeyError:
            return None

    def _schedule(self, attempt: Attempt) -> Schedule:
        return self._facts.schedule(attempt.started.payment_method)

    def _require_time(self) -> None:
        if not self._writer.has_left(ACT_WITHIN_MS):
            raise AppendAmbiguous("the lease is about to end")


UNKNOWN_GATEWAY = Unreachable(reason="unknown gateway")


def proven_by(message: GatewayNotified) -> Outcome | None:
    match message:
        case GatewayNotified(told="succeeded", gateway_reference=str(reference)):
            return Succeeded(gateway_reference=reference)
        case GatewayNotified(told="declined", decline=decline) if decline is not None:
            return Declined(decline=decline, gateway_reference=message.gateway_reference)
        case _:
            return None


def reference_of(attempt: Attempt) -> Reference:
    return Reference(
        attempt_id=attempt.started.attempt_id,
        amount_minor=attempt.started.amount_minor,
        currency=attempt.started.currency,
    )
