"""The payments projection in Postgres: the sink that stores it, and the views that answer from it.

Rows have the fields of the views, so reading one back is decoding the JSON that Postgres makes of it.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec

from infra.postgres import queries
from infra.postgres import watermarks as marks
from infra.postgres.database import Connection, Database, execute_rows, refusing
from schemas.codec import PAYMENTS_TOPIC
from schemas.ids import PaymentId
from schemas.verification import VerificationWork
from schemas.views import (
    AttemptView,
    DeadLetter,
    PaymentChanges,
    PaymentHistory,
    PaymentView,
    RoutingDecisionView,
    Watermark,
)

PROJECTION = ("payments", 1)
"""Its name and version in the tables of watermarks and errors."""

_sql = queries.load(Path(__file__).with_suffix(".sql"))
_payments = msgspec.json.Decoder(PaymentView)
_attempts = msgspec.json.Decoder(tuple[AttemptView, ...])
_decisions = msgspec.json.Decoder(tuple[RoutingDecisionView, ...])
_encode = msgspec.json.Encoder().encode


class PostgresPaymentSink:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self, topic: str, partitions: Collection[int]) -> AsyncIterator["SinkTransaction"]:
        async with self._database.transaction() as connection:
            yield SinkTransaction(
                connection, topic, await marks.locked(connection, PROJECTION, topic, partitions)
            )


class SinkTransaction:
    def __init__(self, connection: Connection, topic: str, watermarks: Mapping[int, Watermark]) -> None:
        self._connection = connection
        self._topic = topic
        self.watermarks = watermarks

    async def load(self, payment_ids: Collection[PaymentId]) -> dict[PaymentId, PaymentHistory]:
        rows = await self._connection.fetch(_sql.histories, list(payment_ids))
        return {row["payment_id"]: _history(row) for row in rows}

    async def store(self, changes: PaymentChanges) -> None:
        connection = self._connection
        with refusing():
            await execute_rows(
                connection, _sql.upsert_payments, [payment_row(row) for row in changes.payments]
            )
            await execute_rows(
                connection, _sql.upsert_attempts, [attempt_row(row) for row in changes.attempts]
            )
            await execute_rows(
                connection, _sql.add_decisions, [decision_row(row) for row in changes.decisions]
            )
            await execute_rows(
                connection, _sql.heal_reservations, [_owner_row(row) for row in changes.owners]
            )
            await execute_rows(
                connection, _sql.plan_verifications, [_work_row(due) for due in changes.work if due.due_at]
            )
            await execute_rows(
                connection,
                _sql.drop_verifications,
                [(due.payment_id,) for due in changes.work if not due.due_at],
            )
            await execute_rows(
                connection,
                _sql.note_errors,
                [_error_row(letter) for letter in changes.dead],
                *PROJECTION,
                self._topic,
            )
        await marks.move(connection, PROJECTION, self._topic, changes.watermarks)

    async def forget_errors(self, partition: int, offsets: Collection[int]) -> None:
        """Of records that could not be taken in once, and are by now."""
        await self._connection.execute(_sql.forget_errors, *PROJECTION, self._topic, partition, list(offsets))


def payment_row(row: PaymentView) -> tuple[object, ...]:
    offsets = ",".join(map(str, row.offsets))  # arrays of different lengths do not go into one array
    return *payment_fields(row), f"{{{offsets}}}"


def payment_fields(row: PaymentView) -> tuple[object, ...]:
    """All but its offsets."""
    return (
        row.payment_id,
        row.status,
        row.sequence,
        row.epoch,
        row.created_at,
        row.updated_at,
        _json(row.order),
        row.key_hash,
        row.fingerprint,
        row.gateway,
        row.gateway_reference,
        row.paid_by,
        row.attempts,
        _json(row.failure),
        _json(row.next_action),
        row.strategy,
        row.routing_reason,
        row.experiment_id,
        row.variant,
        row.latency_ms,
        row.owned_until_ms,
        row.handed_over,
    )


def attempt_row(row: AttemptView) -> tuple[object, ...]:
    return (
        row.attempt_id,
        row.payment_id,
        row.number,
        row.gateway,
        row.status,
        row.started_at,
        row.reason,
        row.timeout_ms,
        row.latency_ms,
        row.gateway_reference,
        _json(row.decline),
        row.detail,
        row.verified,
        row.compensated_by,
        row.late,
        row.checks,
        row.next_check_at,
        row.final_check_at,
        row.in_review,
    )


def decision_row(row: RoutingDecisionView) -> tuple[object, ...]:
    return (
        row.payment_id,
        row.sequence,
        row.strategy,
        row.reason,
        _json(row.candidates),
        _json(row.excluded),
        _json(row.policy),
        row.decided_at,
    )


def _owner_row(row: PaymentView) -> tuple[object, ...]:
    """A payment whose request is missing has a row of its own, under no merchant and its own id."""
    return (
        row.order.merchant_id if row.order else "",
        row.key_hash if row.order else row.payment_id,
        row.fingerprint if row.order else "",
        row.payment_id,
        row.epoch,
        row.owned_until_ms,
        row.handed_over,
        row.created_at,
    )


def _work_row(due: VerificationWork) -> tuple[object, ...]:
    return (due.payment_id, due.merchant_id, due.key_hash, due.gateway, due.due_at, due.urgent)


def _error_row(letter: DeadLetter) -> tuple[object, ...]:
    return (letter.position.partition, letter.position.offset, letter.reason)


def _json(value: object) -> str | None:
    return None if value is None else _encode(value).decode()


def _history(row: asyncpg.Record) -> PaymentHistory:
    return PaymentHistory(
        payment=_payments.decode(row["payment"]),
        attempts=_attempts.decode(row["attempts"] or "[]"),
        decisions=_decisions.decode(row["decisions"] or "[]"),
    )


class PaymentViews:
    """Each answer is one round trip. Raises StoreUnavailable."""

    def __init__(
        self, database: Database, partition_of: Callable[[str], int], topic: str = PAYMENTS_TOPIC
    ) -> None:
        self._database = database
        self._partition_of = partition_of
        self._topic = topic

    async def find(self, payment_id: PaymentId) -> tuple[PaymentHistory | None, Watermark]:
        """The payment, and how far its partition's projection had come at that moment."""
        (row,) = await self._database.fetch(_sql.find, *self._where(payment_id))
        watermark = Watermark(
            next_offset=row["next_offset"], last_stamp_ms=row["last_stamp_ms"], updated_at=row["updated_at"]
        )
        return (_history(row) if row["payment"] is not None else None), watermark

    async def histories(self, payment_ids: Collection[PaymentId]) -> dict[PaymentId, PaymentHistory]:
        """Of those that there are."""
        rows = await self._database.fetch(_sql.histories, list(payment_ids), timeout_s=30.0)
        return {row["payment_id"]: _history(row) for row in rows}

    async def offsets(self, payment_id: PaymentId) -> tuple[tuple[int, ...], int]:
        """Where its records lie below the partition's watermark, and that watermark."""
        (row,) = await self._database.fetch(_sql.find_offsets, *self._where(payment_id))
        return tuple(row["offsets"] or ()), row["next_offset"]

    async def attempts(self, payment_id: PaymentId) -> tuple[AttemptView, ...]:
        (row,) = await self._database.fetch(_sql.find_attempts, payment_id)
        return _attempts.decode(row["attempts"])

    async def decisions(self, payment_id: PaymentId) -> tuple[RoutingDecisionView, ...]:
        (row,) = await self._database.fetch(_sql.find_decisions, payment_id)
        return _decisions.decode(row["decisions"])

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        """By topic and partition; a partition that never had a record has none."""
        return await marks.all_of(self._database, PROJECTION)

    def _where(self, payment_id: PaymentId) -> tuple[object, ...]:
        return payment_id, *PROJECTION, self._topic, self._partition_of(payment_id)
