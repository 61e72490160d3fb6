"""Payments folded in memory as the live projection folds them: what cannot be read, and a payment of another partition,
is left out."""

from collections.abc import Iterable

from infra.kafka.partition import partition_for
from projections.absorption import readable
from projections.payments import evolve
from projections.ports import RawRecord
from schemas.errors import Unreadable
from schemas.ids import PaymentId
from schemas.views import PaymentHistory


class Histories:
    def __init__(self, left_out: frozenset[tuple[int, int]] = frozenset()) -> None:
        """`left_out` are partitions and offsets of what the live projection could not take in."""
        self._left_out = left_out
        self.known: dict[PaymentId, PaymentHistory] = {}
        self.dead = 0

    def take(self, records: Iterable[RawRecord]) -> None:
        for record in records:
            if (record.partition, record.offset) in self._left_out:
                continue
            try:
                recorded = readable(record)
            except Unreadable:
                self.dead += 1
                continue
            payment_id = PaymentId(recorded.envelope.aggregate_id)
            known = self.known.get(payment_id)
            if known is None and partition_for(payment_id) != record.partition:
                self.dead += 1
            else:
                self.known[payment_id] = evolve(known, recorded)
