"""Writes one payment's events for its owner, and keeps the state that follows from those certainly on the log."""

from collections.abc import Sequence

from commands.ownership import Owner, fold
from commands.payment_state import INITIAL, Open, PaymentState, evolve
from commands.ports import Clock, EventLog
from schemas.envelope import Envelope, Outgoing, Recorded
from schemas.errors import AppendAmbiguous
from schemas.payment import AttemptStarted, PaymentEvent


class PaymentWriter:
    """After a failed append it is silent for ever: whatever it sent may still land, so nothing may follow it."""

    def __init__(self, clock: Clock, log: EventLog, owner: Owner, request_id: str) -> None:
        self.owner = owner
        self.state: PaymentState = INITIAL
        self.history: tuple[Recorded[PaymentEvent], ...] = ()
        self._clock = clock
        self._log = log
        self._request_id = request_id
        self._sequence = 0
        self._cause = request_id
        self._is_silent = False

    def resume(self, history: Sequence[Recorded[PaymentEvent]]) -> None:
        """Go on from what others, and this writer, have written so far."""
        self.history = tuple(history)
        self.state = fold(history)
        self._sequence = max(record.envelope.sequence for record in history)

    async def append(self, events: Sequence[PaymentEvent]) -> None:
        """Raises Unavailable unless every event is on the log, in order and inside the window."""
        if not events:
            return
        if self._is_silent or self._clock.elapsed_ms() >= self.owner.until_ms:
            raise AppendAmbiguous("the window has ended, or an earlier append is ambiguous")
        try:
            recorded = await self._log.append(self._outgoing(events))
        except BaseException:
            self._is_silent = True
            raise
        for record in recorded:
            self.state = evolve(self.state, record.event)
        self.history = (*self.history, *recorded)
        self._sequence += len(recorded)
        self._cause = recorded[-1].envelope.event_id

    def attempt_to_make(self) -> AttemptStarted | None:
        """The attempt that is written ahead and not yet called."""
        if not isinstance(self.state, Open) or not self.state.attempts:
            return None
        last = self.state.attempts[-1]
        return last.started if last.outcome is None else None

    @property
    def latency_budget_ms(self) -> int:
        routed = self.state.routed if isinstance(self.state, Open) else None
        return routed.policy.latency_budget_ms if routed is not None else 0

    def may_send(self, attempt: AttemptStarted) -> bool:
        """The last look at the window: whether the call can also end inside it."""
        return self.has_left(attempt.timeout_ms)

    def has_left(self, duration_ms: int) -> bool:
        return self._clock.elapsed_ms() + duration_ms <= self.owner.until_ms

    def _outgoing(self, events: Sequence[PaymentEvent]) -> list[Outgoing[PaymentEvent]]:
        at = self._clock.now()
        return [
            Outgoing(
                envelope=Envelope(
                    event_id=self._clock.event_id(),
                    aggregate_id=self.owner.payment_id,
                    sequence=self._sequence + number,
                    at=at,
                    epoch=self.owner.epoch,
                    window=self.owner.window,
                    correlation_id=self._request_id,
                    causation_id=self._cause,
                ),
                event=event,
            )
            for number, event in enumerate(events, start=1)
        ]
