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
from infra.postgres.database import Connection, Database, refusing
from infra.postgres.payments import (
    PROJECTION,
    SinkTransaction,
    attempt_row,
    decision_row,
    payment_fields,
)
from schemas.errors import Unreadable
from schemas.ids import PaymentId
from schemas.views import (
    AttemptView,
    PaymentChanges,
    PaymentHistory,
    PaymentView,
    RoutingDecisionView,
    Watermark,
)

TRANSACTION_TIMEOUT_S = 120.0
_sql = queries.load(Path(__file__).with_suffix(".sql"))


class BulkPaymentSink:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self, topic: str, partitions: Collection[int]) -> AsyncIterator["BulkTransaction"]:
        async with self._database.transaction(TRANSACTION_TIMEOUT_S) as connection:
            await connection.execute(_sql.commit_at_once)
            found = await marks.locked(connection, PROJECTION, topic, partitions)
            yield BulkTransaction(connection, topic, found)


class BulkTransaction(SinkTransaction):
    """What it was asked for and did not find is new, and is copied; all else is stored as it is live."""

    def __init__(self, connection: Connection, topic: str, watermarks: Mapping[int, Watermark]) -> None:
        super().__init__(connection, topic, watermarks)
        self._new: set[PaymentId] = set()

    async def load(self, payment_ids: Collection[PaymentId]) -> dict[PaymentId, PaymentHistory]:
        rows = await self._connection.fetch(_sql.known, list(payment_ids))
        known = [row["payment_id"] for row in rows]
        self._new.update(set(payment_ids).difference(known))
        return await super().load(known) if known else {}

    async def store(self, changes: PaymentChanges) -> None:
        new = self._new
        with refusing():
            await self._copy(
                "payments",
                PaymentView.__struct_fields__,
                [_copied(row) for row in changes.payments if row.payment_id in new],
            )
            await self._copy(
                "attempts",
                AttemptView.__struct_fields__,
                [attempt_row(row) for row in changes.attempts if row.payment_id in new],
            )
            await self._copy(
                "routing_decisions",
                RoutingDecisionView.__struct_fields__,
                [decision_row(row) for row in changes.decisions if row.payment_id in new],
            )
        await super().store(
            replace(
                changes,
                payments=[row for row in changes.payments if row.payment_id not in new],
                attempts=[row for row in changes.attempts if row.payment_id not in new],
                decisions=[row for row in changes.decisions if row.payment_id not in new],
                owners=(),
                work=(),
            )
        )

    async def _copy(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        try:
            await self._connection.copy_records_to_table(table, records=rows, columns=columns)
        except OverflowError as error:  # COPY is encoded here: a statement's would be a DataError
            raise Unreadable(f"Postgres cannot hold it: {error}") from error


def _copied(payment: PaymentView) -> tuple[object, ...]:
    """COPY takes an array as what it is."""
    return *payment_fields(payment), payment.offsets
