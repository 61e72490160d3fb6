"""The payments projection in memory: sink and views in one, and a log of raw records to feed it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from infra.memory.nul import refuse_nul
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import LogUnavailable, Unreadable
from schemas.ids import AttemptId, PaymentId
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

NOT_BEGUN = Watermark(next_offset=0, last_stamp_ms=0)


class MemoryPayments:
    """`owners` is what the log has told of who owns an idempotency key, by merchant and key hash; `work` is what
    verification has to do."""

    def __init__(self, partition_of: Callable[[str], int], topic: str = PAYMENTS_TOPIC) -> None:
        self._partition_of = partition_of
        self._topic = topic
        self._turn = asyncio.Lock()
        self._rows: dict[PaymentId, PaymentView] = {}
        self._attempts: dict[PaymentId, dict[AttemptId, AttemptView]] = {}
        self._decisions: dict[PaymentId, dict[int, RoutingDecisionView]] = {}
        self._watermarks: dict[tuple[str, int], Watermark] = {}
        self.owners: dict[tuple[str, str], PaymentView] = {}
        self.work: dict[PaymentId, VerificationWork] = {}
        self.errors: dict[tuple[str, int, int], str] = {}

    @asynccontextmanager
    async def transaction(
        self, topic: str, partitions: Collection[int]
    ) -> AsyncIterator["MemoryTransaction"]:
        async with self._turn:
            found = {
                partition: self._watermarks.setdefault((topic, partition), NOT_BEGUN)
                for partition in partitions
            }
            transaction = MemoryTransaction(self.history, found)
            yield transaction
            if transaction.told is not None:
                self._commit(topic, transaction.told)

    def _commit(self, topic: str, told: PaymentChanges) -> None:
        self._rows |= {row.payment_id: row for row in told.payments}
        for attempt in told.attempts:
            self._attempts.setdefault(attempt.payment_id, {})[attempt.attempt_id] = attempt
        for decision in told.decisions:
            self._decisions.setdefault(decision.payment_id, {}).setdefault(decision.sequence, decision)
        for owner in told.owners:
            self._heal(owner)
        for due in told.work:
            self.work[due.payment_id] = due
            if due.due_at is None:
                del self.work[due.payment_id]
        for letter in told.dead:
            position = (letter.position.topic, letter.position.partition, letter.position.offset)
            self.errors.setdefault(position, letter.reason)
        self._watermarks |= {
            (topic, partition): watermark for partition, watermark in told.watermarks.items()
        }

    def _heal(self, told: PaymentView) -> None:
        """A payment whose request is missing has a row of its own, under no merchant and its own id."""
        key = (told.order.merchant_id, told.key_hash or "") if told.order else ("", str(told.payment_id))
        known = self.owners.setdefault(key, told)
        is_news = told.epoch > known.epoch or (told.epoch == known.epoch and told.handed_over)
        if known.payment_id == told.payment_id and is_news:
            self.owners[key] = told

    def history(self, payment_id: PaymentId) -> PaymentHistory | None:
        payment = self._rows.get(payment_id)
        if payment is None:
            return None
        attempts = sorted(
            self._attempts.get(payment_id, {}).values(), key=lambda row: (row.started_at, row.attempt_id)
        )
        decisions = sorted(self._decisions.get(payment_id, {}).values(), key=lambda row: row.sequence)
        return PaymentHistory(payment=payment, attempts=tuple(attempts), decisions=tuple(decisions))

    async def find(self, payment_id: PaymentId) -> tuple[PaymentHistory | None, Watermark]:
        return self.history(payment_id), self._watermark(payment_id)

    async def offsets(self, payment_id: PaymentId) -> tuple[tuple[int, ...], int]:
        row = self._rows.get(payment_id)
        return (row.offsets if row else ()), self._watermark(payment_id).next_offset

    async def attempts(self, payment_id: PaymentId) -> tuple[AttemptView, ...]:
        history = self.history(payment_id)
        return history.attempts if history else ()

    async def decisions(self, payment_id: PaymentId) -> tuple[RoutingDecisionView, ...]:
        history = self.history(payment_id)
        return history.decisions if history else ()

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        return dict(self._watermarks)

    def _watermark(self, payment_id: PaymentId) -> Watermark:
        return self._watermarks.get((self._topic, self._partition_of(payment_id)), NOT_BEGUN)


class MemoryTransaction:
    """Keeps what it is told until the block has ended without an error."""

    def __init__(
        self, history: Callable[[PaymentId], PaymentHistory | None], watermarks: Mapping[int, Watermark]
    ) -> None:
        self._history = history
        self.watermarks = watermarks
        self.told: PaymentChanges | None = None

    async def load(self, payment_ids: Collection[PaymentId]) -> dict[PaymentId, PaymentHistory]:
        found = {payment_id: self._history(payment_id) for payment_id in payment_ids}
        return {payment_id: history for payment_id, history in found.items() if history is not None}

    async def store(self, changes: PaymentChanges) -> None:
        _check(changes.payments, changes.attempts, changes.decisions)
        self.told = changes


def _check(*rows: Sequence[PaymentView | AttemptView | RoutingDecisionView]) -> None:
    """What Postgres cannot hold, we refuse as well."""
    refuse_nul(rows)
    if any(getattr(row, name, 0) >= 2**31 for kind in rows for row in kind for name in ("sequence", "epoch")):
        raise Unreadable("a number is too large")


class RawRecord(NamedTuple):
    """Like aiokafka's own; `timestamp` is the broker's stamp in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class MemoryRecords:
    """The log as a reader of offsets sees it. Nothing expires, so a range that is not there has yet to come."""

    def __init__(self) -> None:
        self._partitions: dict[tuple[str, int], list[RawRecord]] = {}

    def append(
        self,
        topic: str,
        partition: int,
        stamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> RawRecord:
        records = self._partitions.setdefault((topic, partition), [])
        records.append(RawRecord(topic, partition, len(records), stamp_ms, key, value, headers))
        return records[-1]

    async def read(self, topic: str, partition: int, start: int, stop: int) -> list[RawRecord]:
        records = self._partitions.get((topic, partition), [])
        if not 0 <= start <= stop <= len(records):
            raise LogUnavailable(f"{topic}-{partition}: offsets {start} to {stop} are not on the log")
        return records[start:stop]

    async def end_offset(self, topic: str, partition: int) -> int:
        return len(self._partitions.get((topic, partition), []))

    async def offset_at(self, topic: str, partition: int, stamp_ms: int) -> int:
        records = self._partitions.get((topic, partition), [])
        return next((record.offset for record in records if record.timestamp >= stamp_ms), len(records))


class MemoryDeadLetters:
    def __init__(self) -> None:
        self.published: list[DeadLetter] = []

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self.published.extend(letters)
