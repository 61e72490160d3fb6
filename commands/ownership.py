"""One owner at a time, and the log is the judge: what a writer may conclude from a payment's history."""

from collections.abc import Iterable, Sequence

from commands.payment_state import INITIAL, PaymentState, evolve
from schemas.base import Value
from schemas.envelope import Recorded, Window
from schemas.ids import PaymentId
from schemas.payment import PaymentEvent, PaymentTakenOver


class Owner(Value, frozen=True, kw_only=True):
    """The right to write a payment's events in one window.

    `until_ms` is the window's end on our own clock, counted from before the store noted it: never later than the real
    one, whatever the clocks of the store and the broker say.
    """

    payment_id: PaymentId
    epoch: int
    window: Window
    until_ms: float


def valid(history: Iterable[Recorded[PaymentEvent]]) -> list[Recorded[PaymentEvent]]:
    return [record for record in history if not record.is_void]


def fold(history: Iterable[Recorded[PaymentEvent]]) -> PaymentState:
    state: PaymentState = INITIAL
    for record in valid(history):
        state = evolve(state, record.event)
    return state


def is_owned_by(history: Sequence[Recorded[PaymentEvent]], epoch: int, claim_id: str) -> bool:
    """Whether the first valid record of the epoch is this claim's, and no later epoch has begun.

    Two claimants may hold one epoch when the reservation store has forgotten: the log decides between them.
    """
    records = valid(history)
    if any(record.envelope.epoch > epoch for record in records):
        return False
    first = next((record.event for record in records if record.envelope.epoch == epoch), None)
    return isinstance(first, PaymentTakenOver) and first.claim_id == claim_id
