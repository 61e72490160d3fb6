"""A sink that stores rows and how far they go, and nothing that is done because of them: side effects are off."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from projections.ports import Sink, Transaction
from schemas.ids import PaymentId
from schemas.verification import VerificationWork
from schemas.views import AttemptView, DeadLetter, PaymentHistory, PaymentView, RoutingDecisionView, Watermark


class RowsOnly:
    """`touched` are payments whose rows were stored since it was emptied."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.touched: set[PaymentId] = set()

    @asynccontextmanager
    async def transaction(
        self, topic: str, partitions: Collection[int]
    ) -> AsyncIterator["RowsOnlyTransaction"]:
        async with self._sink.transaction(topic, partitions) as transaction:
            yield RowsOnlyTransaction(transaction, self.touched)


class RowsOnlyTransaction:
    def __init__(self, transaction: Transaction, touched: set[PaymentId]) -> None:
        self._transaction = transaction
        self._touched = touched
        self.watermarks = transaction.watermarks

    async def load(self, payment_ids: Collection[PaymentId]) -> Mapping[PaymentId, PaymentHistory]:
        return await self._transaction.load(payment_ids)

    async def store(
        self,
        *,
        payments: Sequence[PaymentView],
        attempts: Sequence[AttemptView],
        decisions: Sequence[RoutingDecisionView],
        owners: Sequence[PaymentView],
        work: Sequence[VerificationWork],
        dead: Sequence[DeadLetter],
        watermarks: Mapping[int, Watermark],
    ) -> None:
        self._touched.update(payment.payment_id for payment in payments)
        await self._transaction.store(
            payments=payments,
            attempts=attempts,
            decisions=decisions,
            owners=(),
            work=(),
            dead=(),
            watermarks=watermarks,
        )
