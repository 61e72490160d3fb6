"""Payments folded in memory as the live projection folds them: what cannot be read, and a payment of another partition,
is left out."""

from infra.kafka.partition import partition_for
from projections.absorption import readable
from projections.payments import evolve
from projections.ports import RawRecord
from schemas.errors import Unreadable
from schemas.ids import PaymentId
from schemas.views import PaymentHistory
from streams.replay.turns import Fold, Places


class Histories(Fold):
    def __init__(self, left_out: Places = frozenset()) -> None:
        super().__init__(left_out)
        self.known: dict[PaymentId, PaymentHistory] = {}

    def _take_in(self, record: RawRecord) -> None:
        recorded = readable(record)
        payment_id = PaymentId(recorded.envelope.aggregate_id)
        known = self.known.get(payment_id)
        if known is None and partition_for(payment_id) != record.partition:
            raise Unreadable("its key belongs in another partition")
        self.known[payment_id] = evolve(known, recorded)
