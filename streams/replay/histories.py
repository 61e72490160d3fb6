"""Payments folded in memory as the live projection folds them: what cannot be read, and a payment of another partition,
is left out."""

from collections.abc import Iterable

from infra.kafka.partition import partition_for
from projections.absorption import readable
from projections.payments import fold
from projections.ports import RawRecord
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.errors import Unreadable
from schemas.ids import PaymentId
from schemas.views import PaymentHistory
from streams.replay.turns import Fold, Places


class Histories(Fold):
    def __init__(self, left_out: Places = frozenset()) -> None:
        super().__init__(left_out)
        self.known: dict[PaymentId, PaymentHistory] = {}
        self._runs: dict[PaymentId, list[Recorded[Event]]] = {}
        """What is read and not yet folded, of those records that are taken together."""

    def take(self, records: Iterable[RawRecord]) -> None:
        super().take(records)
        for payment_id, run in self._runs.items():
            self.known[payment_id] = fold(self.known.get(payment_id), run)
        self._runs.clear()

    def _take_in(self, record: RawRecord) -> None:
        recorded = readable(record)
        payment_id = PaymentId(recorded.envelope.aggregate_id)
        run = self._runs.get(payment_id)
        if run is not None:
            run.append(recorded)
        elif payment_id in self.known or partition_for(payment_id) == record.partition:
            self._runs[payment_id] = [recorded]
        else:
            raise Unreadable("its key belongs in another partition")
