"""Who owns a payment, as one stretch of a partition tells: what the reservation index is rebuilt from.

It is the payments projection's own fold, begun anew in each stretch, so that memory does not grow with the log. The
stretches of a payment are put together where they are stored.
"""

from collections.abc import Callable, Iterable

from projections.absorption import readable
from projections.payments import evolve
from projections.ports import RawRecord
from schemas.base import Value
from schemas.errors import Unreadable
from schemas.ids import PaymentId
from schemas.views import PaymentHistory, PaymentView


class Stretch(Value, frozen=True, kw_only=True):
    owners: tuple[PaymentView, ...]
    """Each payment once, as far as this stretch goes: its request, its newest window, whether that was given up."""
    unreadable: int
    """Records that the projection has as dead letters."""


def owners_in(records: Iterable[RawRecord], partition_of: Callable[[str], int]) -> Stretch:
    histories: dict[PaymentId, PaymentHistory] = {}
    unreadable = 0
    for record in records:
        try:
            recorded = readable(record)
            payment_id = PaymentId(recorded.envelope.aggregate_id)
            if partition_of(payment_id) != record.partition:
                raise Unreadable("its key belongs in another partition")
            histories[payment_id] = evolve(histories.get(payment_id), recorded)
        except Exception:  # whatever a record does to us, it must not stop those behind it
            unreadable += 1
    payments = (history.payment for history in histories.values())
    return Stretch(owners=tuple(p for p in payments if p.sequence > 0), unreadable=unreadable)
