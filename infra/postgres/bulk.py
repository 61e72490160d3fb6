"""The payments projection in bulk: new rows go in by COPY, the few that are known by the statements that are live.

It fills what is read (payments, attempts, decisions), and neither reservations nor the verifier's queue: nobody acts on
a database that was made by a replay.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from infra.postgres import queries
from infra.postgres import watermarks as marks
from infra.postgres.database import Database, refusing
from infra.postgres.payments import (
    PROJECTION,
    SinkTransaction,
    attempt_row,
    decision_row,
    payment_row,
)
from schemas.ids import PaymentId
from schemas.views import (
    AttemptView,
    PaymentChanges,
    PaymentHistory,
    PaymentView,
    RoutingDecisionView,
)

TRANSACTION_TIMEOUT_S = 120.0
_sql = queries.load(Path(__file__).with_suffix(".sql"))


class BulkPaymentSink:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_live(self) -> bool:
        ((found,),) = await self._database.fetch(_sql.is_live)
        return bool(found)

    async def begin(self, topic: str, starts: Mapping[int, int]) -> dict[int, int]:
        """Where each partition goes on: at its start, or where a replay that was stopped had come to."""
        arguments = (*PROJECTION, topic, list(starts), list(starts.values()))
        await self._database.fetch(_sql.begin, *arguments)
        reached = await marks.all_of(self._database, PROJECTION)
        return {partition: reached[topic, partition].next_offset for partition in starts}

    @asynccontextmanager
    async def transaction(self, topic: str, partitions: Collection[int]) -> AsyncIterator["BulkTransaction"]:
        async with self._database.transaction(TRANSACTION_TIMEOUT_S) as connection:
            await connection.execute(_sql.commit_at_once)
            found = await marks.locked(connection, PROJECTION, topic, partitions)
            yield BulkTransaction(connection, topic, found)


class BulkTransaction(SinkTransaction):
    async def load(self, payment_ids: Collection[PaymentId]) -> dict[PaymentId, PaymentHistory]:
        known = await self._known(payment_ids)
        return await super().load(known) if known else {}

    async def store(self, changes: PaymentChanges) -> None:
        known = await self._known([row.payment_id for row in changes.payments])
        with refusing():
            await self._copy(
                "payments",
                PaymentView.__struct_fields__,
                [_copied(row) for row in changes.payments if row.payment_id not in known],
            )
            await self._copy(
                "attempts",
                AttemptView.__struct_fields__,
                [attempt_row(row) for row in changes.attempts if row.payment_id not in known],
            )
            await self._copy(
                "routing_decisions",
                RoutingDecisionView.__struct_fields__,
                [decision_row(row) for row in changes.decisions if row.payment_id not in known],
            )
        await super().store(
            replace(
                changes,
                payments=[row for row in changes.payments if row.payment_id in known],
                attempts=[row for row in changes.attempts if row.payment_id in known],
                decisions=[row for row in changes.decisions if row.payment_id in known],
                owners=(),
                work=(),
            )
        )

    async def _known(self, payment_ids: Collection[PaymentId]) -> set[PaymentId]:
        return {row["payment_id"] for row in await self._connection.fetch(_sql.known, list(payment_ids))}

    async def _copy(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            await self._connection.copy_records_to_table(table, records=rows, columns=columns)


def _copied(payment: PaymentView) -> tuple[object, ...]:
    """COPY takes an array as what it is."""
    return *payment_row(payment)[:-1], payment.offsets
