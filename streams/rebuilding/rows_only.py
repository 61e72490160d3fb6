"""A sink that stores rows, how far they go and what could not be taken in, and nothing that is done because of them:
side effects are off."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from msgspec.structs import replace

from infra.kafka.partition import partition_for
from projections.ports import Sink, Transaction
from schemas.ids import PaymentId
from schemas.views import PaymentChanges, PaymentHistory


class RowsOnly:
    """`touched` are payments whose rows were stored and not compared since, `added` those that had none at `forget`."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.touched: set[PaymentId] = set()
        self.added: set[PaymentId] = set()

    def forget(self) -> None:
        self.touched.clear()
        self.added.clear()

    @asynccontextmanager
    async def transaction(
        self, topic: str, partitions: Collection[int]
    ) -> AsyncIterator["RowsOnlyTransaction"]:
        async with self._sink.transaction(topic, partitions) as transaction:
            yield RowsOnlyTransaction(transaction, self.touched, self.added)


class RowsOnlyTransaction:
    def __init__(self, transaction: Transaction, touched: set[PaymentId], added: set[PaymentId]) -> None:
        self._transaction = transaction
        self._touched = touched
        self._added = added
        self.watermarks = transaction.watermarks

    async def load(self, payment_ids: Collection[PaymentId]) -> Mapping[PaymentId, PaymentHistory]:
        return await self._transaction.load(payment_ids)

    async def store(self, changes: PaymentChanges) -> None:
        self._touched.update(payment.payment_id for payment in changes.payments)
        self._added.update(
            payment.payment_id
            for payment in changes.payments
            if payment.offsets[0] >= self.watermarks[partition_for(payment.payment_id)].next_offset
        )
        await self._transaction.store(replace(changes, owners=(), work=()))
