"""Payments of the past as what-if wants them: what was asked, how it was routed, what was tried and what became of it.

By the fold that the read model is made by (`projections/payments.py`), so that both tell the same of a payment.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from math import nan

from projections.payments import evolve
from schemas.base import Event, Value
from schemas.envelope import Recorded
from schemas.payment import Order, PaymentRequested, PaymentRouted
from schemas.views import AttemptView, PaymentHistory, PaymentView


class Journey(Value, frozen=True, kw_only=True):
    order: Order
    routed: PaymentRouted
    """Its first candidate is what the first attempt went to."""
    payment: PaymentView
    attempts: tuple[AttemptView, ...]
    """In the order in which they were started, one at least."""

    @property
    def any_succeeded(self) -> float:
        """Whether the payment was paid, by whichever attempt: 1 or 0; not a number while nobody knows."""
        if self.payment.status == "SUCCESS":
            return 1.0
        return 0.0 if self.payment.status == "FAILURE" else nan

    @property
    def first_succeeded(self) -> float:
        """Whether its first attempt paid it."""
        first, paid_by = self.attempts[0], self.payment.paid_by
        if self.payment.status == "SUCCESS":
            return float(paid_by == first.attempt_id)
        is_known = self.payment.status == "FAILURE" or first.status in ("DECLINED", "NOT_SENT")
        return 0.0 if is_known else nan


class Journeys:
    """Takes the events of payments in the order of their partitions; whose request is not among them is passed over."""

    def __init__(self, begin: datetime | None = None, end: datetime | None = None) -> None:
        """Of payments that were requested from `begin` on and before `end`."""
        self._begin, self._end = begin, end
        self._histories: dict[str, PaymentHistory] = {}
        self._routes: dict[str, PaymentRouted] = {}

    def take(self, records: Iterable[Recorded[Event]]) -> None:
        for recorded in records:
            payment_id, event = recorded.envelope.aggregate_id, recorded.event
            history = self._histories.get(payment_id)
            if history is None and not self._begins_with(event):
                continue
            history = self._histories[payment_id] = evolve(history, recorded)
            if isinstance(event, PaymentRouted) and not recorded.is_void and not history.attempts:
                self._routes[payment_id] = event  # a later owner may have started it afresh

    def _begins_with(self, event: Event) -> bool:
        return (
            isinstance(event, PaymentRequested)
            and (self._begin is None or event.requested_at >= self._begin)
            and (self._end is None or event.requested_at < self._end)
        )

    def told(self) -> Iterator[Journey | None]:
        """Of every payment; None of one that was not tried, as far as these events say."""
        for payment_id, history in self._histories.items():
            yield _journey(history, self._routes.get(payment_id))


def _journey(history: PaymentHistory, routed: PaymentRouted | None) -> Journey | None:
    payment, attempts = history.payment, history.attempts
    if payment.order is None or routed is None or not attempts or not routed.candidates:
        return None
    if attempts[0].gateway != routed.candidates[0].gateway:
        return None
    return Journey(order=payment.order, routed=routed, payment=payment, attempts=attempts)
