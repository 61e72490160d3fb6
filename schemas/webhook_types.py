"""What anybody can be told of: the public name of each event. Names are for ever."""

from typing import get_args

from schemas.base import Event
from schemas.circuit import CircuitEvent
from schemas.payment import (
    AttemptInDoubt,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentFailed,
    PaymentSucceeded,
    ReviewRequested,
)
from schemas.reliability import ReliabilityEvent


def _named(family: str, event: type[Event]) -> str:
    """`circuit.half_opened` of CircuitHalfOpened."""
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in event.__name__)
    return f"{family}.{words.removeprefix('_').removeprefix(f'{family}_')}"


TYPES: dict[type[Event], str] = {
    PaymentSucceeded: "payment.succeeded",
    PaymentFailed: "payment.failed",
    AttemptInDoubt: "payment.in_doubt",
    ReviewRequested: "payment.needs_review",
    LateSuccessDetected: "payment.late_success",
    ChargeCompensated: "payment.compensated",
    **{event: _named("circuit", event) for event in get_args(CircuitEvent)},
    **{event: _named("reliability", event) for event in get_args(ReliabilityEvent)},
}
WANTABLE = frozenset(TYPES.values()) | {f"{name.partition('.')[0]}.*" for name in TYPES.values()}
"""What a subscription may name: a type, or `circuit.*` for all of circuits, those to come included."""


def is_wanted(event_type: str, wanted: tuple[str, ...]) -> bool:
    return event_type in wanted or f"{event_type.partition('.')[0]}.*" in wanted
