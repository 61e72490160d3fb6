"""How long it took to settle a payment, by the broker's stamps of its events: pure, from one payment's records."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from commands.ownership import valid
from schemas.envelope import Recorded
from schemas.payment import (
    AttemptStarted,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentEvent,
    PaymentHandedOver,
    PaymentSucceeded,
    PaymentTakenOver,
)
from tests.bench.report import quantile

History = Sequence[Recorded[PaymentEvent]]
Span = Callable[[History], tuple[int, int] | None]
"""The moments, in milliseconds, at which something begins and ends in one payment's history; None without both."""


class Spans(Struct, frozen=True, kw_only=True):
    """Milliseconds, of so many payments out of `of` that were to have such a span.

    `taken_over_p50` is how much of it had passed when a verifier's take-over was on the log.
    """

    of: int
    count: int
    p50: float
    p99: float
    max: float
    taken_over_p50: float | None


def spans(histories: Iterable[History], span: Span) -> Spans:
    counting = [valid(history) for history in histories]
    measured = [(history, found) for history in counting if (found := span(history)) is not None]
    took = sorted(end - begin for _, (begin, end) in measured) or [0]
    waited = sorted(
        taken_over - begin
        for history, (begin, end) in measured
        if (taken_over := _taken_over(history, begin, end)) is not None
    )
    return Spans(
        of=len(counting),
        count=len(measured),
        p50=quantile(took, 0.5),
        p99=quantile(took, 0.99),
        max=took[-1],
        taken_over_p50=quantile(waited, 0.5) if waited else None,
    )


def after_hand_over(history: History) -> tuple[int, int] | None:
    """From the owner's last word to the success."""
    handed_over, settled = _first(history, PaymentHandedOver), _first(history, PaymentSucceeded)
    if handed_over is None or settled is None or settled < handed_over:
        return None
    return handed_over, settled


def after_first_check(history: History) -> tuple[int, int] | None:
    """From the moment at which the gateway was to be asked to the success."""
    settled = _first(history, PaymentSucceeded)
    started = next((r.event for r in history if isinstance(r.event, AttemptStarted)), None)
    if settled is None or started is None or started.first_check_at is None:
        return None
    return round(started.first_check_at.timestamp() * 1000), settled


def after_window(history: History) -> tuple[int, int] | None:
    """From the end of the window of the first owner, who was killed in the call, to the success."""
    settled, window = _first(history, PaymentSucceeded), history[0].envelope.window
    was_killed = _first(history, PaymentTakenOver) is not None
    return (window.valid_until_ms, settled) if settled is not None and was_killed else None


def until_given_back(history: History) -> tuple[int, int] | None:
    """From the discovery of a second success to the end of its giving back."""
    detected, compensated = _first(history, LateSuccessDetected), _first(history, ChargeCompensated)
    return (detected, compensated) if detected is not None and compensated is not None else None


def _taken_over(history: History, begin: int, end: int) -> int | None:
    stamps = (record.stamp_ms for record in history if isinstance(record.event, PaymentTakenOver))
    return next((stamp for stamp in stamps if begin <= stamp <= end), None)


def _first(history: History, kind: type[PaymentEvent]) -> int | None:
    return next((record.stamp_ms for record in history if isinstance(record.event, kind)), None)
