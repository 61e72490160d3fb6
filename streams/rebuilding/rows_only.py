"""A sink that stores rows and how far they go, and nothing that is done because of them: side effects are off."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from msgspec.structs import replace

from projections.ports import Sink, Transaction
from schemas.ids import PaymentId
from schemas.views import PaymentChanges, PaymentHistory


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

    async def store(self, changes: PaymentChanges) -> None:
        self._touched.update(payment.payment_id for payment in changes.payments)
        await self._transaction.store(replace(changes, owners=(), work=(), dead=()))
