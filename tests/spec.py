"""`given(*events).when(command).then(*events)`: a decider's tests as sentences."""

from collections.abc import Sequence

import pytest

from commands.payment import decide
from commands.payment_state import INITIAL, PaymentState, evolve
from schemas.errors import Refusal, Refused
from schemas.payment import PaymentCommand, PaymentEvent


def state_after(*events: PaymentEvent) -> PaymentState:
    state: PaymentState = INITIAL
    for event in events:
        state = evolve(state, event)
    return state


def decided(command: PaymentCommand, *events: PaymentEvent) -> list[PaymentEvent]:
    """What is decided after these events."""
    return decide(command, state_after(*events))


def given(*events: PaymentEvent) -> "Given":
    return Given(events)


class Given:
    def __init__(self, events: Sequence[PaymentEvent]) -> None:
        self._events = events

    def when(self, command: PaymentCommand) -> "When":
        return When(state_after(*self._events), command)


class When:
    def __init__(self, state: PaymentState, command: PaymentCommand) -> None:
        self._state = state
        self._command = command

    def then(self, *events: PaymentEvent) -> None:
        assert decide(self._command, self._state) == list(events)

    def then_nothing(self) -> None:
        self.then()

    def then_refused(self, reason: Refusal) -> None:
        with pytest.raises(Refused) as refused:
            decide(self._command, self._state)
        assert refused.value.reason == reason
