"""The live read model of payments against a fold of the log, row for row.

The log is read up to the live watermarks as they are at the start, while the projection goes on: a row that is beyond
them by then is compared with the fold of its own further records.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from heapq import nsmallest
from typing import Literal

import uvloop
from msgspec.structs import replace

from infra.histories import neighbourhoods
from infra.kafka.partition import partition_for
from infra.kafka.reader import LogReader
from infra.postgres.database import Database
from infra.postgres.payments import PaymentViews
from infra.postgres.verifying import first_offsets, unreadable
from schemas.base import Value
from schemas.errors import LogBroken
from schemas.ids import PaymentId
from schemas.views import PaymentHistory
from streams.replay.histories import Histories
from streams.replay.plan import Asked, Part, Plan
from streams.replay.processes import Monitor, Tell, in_processes
from streams.replay.source import Source
from streams.replay.turns import in_turns

ROWS_AT_ONCE = 500
MOST_NAMED = 100

Kind = Literal["missing", "differs", "unexpected"]
"""`missing`: the log has a payment and the store has no row. `unexpected`: the other way round."""


class Difference(Value, frozen=True, kw_only=True):
    payment_id: PaymentId
    kind: Kind
    fields: tuple[str, ...] = ()
    """Which parts of its rows differ, such as `payment.status`."""


class Verified(Value, frozen=True, kw_only=True):
    records: int
    payments: int
    differences: int
    named: tuple[Difference, ...]
    """The first of them."""

    @property
    def agrees(self) -> bool:
        return not self.differences


class _Share(Value, frozen=True, kw_only=True):
    """What one process found."""

    payments: dict[int, int]
    """How many the log has, by partition."""
    differences: int
    missing: dict[int, int]
    """Of them, by partition."""
    named: tuple[Difference, ...]
    """The first of them by id, `MOST_NAMED` at most."""


class Found:
    """What differs: counted, and the first of it named, however much it is."""

    def __init__(self) -> None:
        self.differences = 0
        self.missing: Counter[int] = Counter()
        self.named: list[Difference] = []

    def note(self, some: Iterable[Difference]) -> None:
        for one in some:
            self.differences += 1
            if one.kind == "missing":
                self.missing[partition_for(one.payment_id)] += 1
            self.named.append(one)
            if len(self.named) > 2 * MOST_NAMED:
                self._keep_the_first()
        self._keep_the_first()

    def add(self, share: _Share) -> None:
        self.differences += share.differences
        self.missing.update(share.missing)
        self.named += share.named
        self._keep_the_first()

    def _keep_the_first(self) -> None:
        self.named = nsmallest(MOST_NAMED, self.named, key=lambda one: one.payment_id)


async def projected(source: Source, url: str) -> Plan:
    """Everything that the live projection has taken in by now. Raises LogBroken, LogUnavailable, StoreUnavailable."""
    database = await Database.connect(url, max_size=1)
    try:
        marks = await PaymentViews(database, partition_for, source.topic).watermarks()
    finally:
        await database.close()
    reached = {
        partition: mark.next_offset for (topic, partition), mark in marks.items() if topic == source.topic
    }
    plan = await source.plan(Asked(topic=source.topic, partitions=frozenset(reached)))
    for part in plan.parts:
        if reached[part.partition] > part.stop:
            raise LogBroken(
                f"{plan.topic}-{part.partition} ends at offset {part.stop}, and was projected up to "
                f"{reached[part.partition]}: records were lost"
            )
    return replace(plan, parts=tuple(replace(part, stop=reached[part.partition]) for part in plan.parts))


def verify(source: Source, plan: Plan, url: str, processes: int, tell: Tell = lambda _: None) -> Verified:
    """Raises LogBroken, LogUnavailable, StoreUnavailable."""
    shares = in_processes(partial(_verify, source, url), plan.parts, processes, tell)
    payments: Counter[int] = Counter()
    found = Found()
    for share in shares:
        payments.update(share.payments)
        found.add(share)
    uvloop.run(_note_unexpected(source, plan, url, payments - found.missing, found))
    return Verified(
        records=plan.records,
        payments=payments.total(),
        differences=found.differences,
        named=tuple(found.named),
    )


def compared(
    folded: Mapping[PaymentId, PaymentHistory], live: Mapping[PaymentId, PaymentHistory]
) -> list[Difference]:
    return [
        Difference(payment_id=payment_id, kind="differs", fields=_fields(history, live[payment_id]))
        if payment_id in live
        else Difference(payment_id=payment_id, kind="missing")
        for payment_id, history in folded.items()
        if live.get(payment_id) != history
    ]


async def _verify(source: Source, url: str, parts: Sequence[Part], monitor: Monitor) -> _Share:
    async with AsyncExitStack() as stack:
        database = await Database.connect(url, max_size=1)
        stack.push_async_callback(database.close)
        reader = LogReader(source.bootstrap_servers)
        stack.push_async_callback(reader.stop)
        comparison = _Comparison(PaymentViews(database, partition_for, source.topic), reader, source.topic)
        left_out = await unreadable(database, source.topic)
        payments: Counter[int] = Counter()
        found = Found()
        for part in parts:
            async with aclosing(in_turns(source, part, partial(Histories, left_out), monitor)) as turns:
                async for folded in turns:
                    payments[part.partition] += len(folded.known)
                    async for some in comparison.of(folded.known, part):
                        found.note(some)
        return _Share(
            payments=dict(payments),
            differences=found.differences,
            missing=dict(found.missing),
            named=tuple(found.named),
        )


class _Comparison:
    def __init__(self, views: PaymentViews, reader: LogReader, topic: str) -> None:
        self._views = views
        self._reader = reader
        self._topic = topic

    async def of(
        self, histories: Mapping[PaymentId, PaymentHistory], part: Part
    ) -> AsyncIterator[list[Difference]]:
        ids = list(histories)
        for first in range(0, len(ids), ROWS_AT_ONCE):
            some = {payment_id: histories[payment_id] for payment_id in ids[first : first + ROWS_AT_ONCE]}
            live = await self._views.histories(some)
            for payment_id, history in live.items():
                if history.payment.offsets[-1] >= part.stop:
                    some[payment_id] = await self._further(some[payment_id], history, part)
            yield compared(some, live)

    async def _further(self, folded: PaymentHistory, live: PaymentHistory, part: Part) -> PaymentHistory:
        """With the records that the live projection has taken in meanwhile."""
        payment_id, further = folded.payment.payment_id, Histories()
        further.known[payment_id] = folded
        wanted = [offset for offset in live.payment.offsets if offset >= part.stop]
        for some in neighbourhoods(wanted):
            records = await self._reader.read(
                self._topic, part.partition, some.start, some.stop, timeout_s=30
            )
            further.take(record for record in records if record.offset in wanted)
        return further.known[payment_id]


async def _note_unexpected(
    source: Source, plan: Plan, url: str, there: Mapping[int, int], found: Found
) -> None:
    """Rows of payments that the log does not have, looked for by name only where there are more than that."""
    stops = {part.partition: part.stop for part in plan.parts}
    database = await Database.connect(url, max_size=1)
    try:
        rows: Counter[int] = Counter()
        async for payment_id, first in first_offsets(database):
            partition = partition_for(payment_id)
            rows[partition] += first < stops.get(partition, 0)
        crowded = [part for part in plan.parts if rows[part.partition] > there.get(part.partition, 0)]
        for part in crowded:
            keys = await _keys(source, part)
            async for payment_id, first in first_offsets(database):
                if (
                    partition_for(payment_id) == part.partition
                    and first < part.stop
                    and payment_id.encode() not in keys
                ):
                    found.note([Difference(payment_id=payment_id, kind="unexpected")])
    finally:
        await database.close()


async def _keys(source: Source, part: Part) -> set[bytes]:
    async with aclosing(source.batches(part)) as batches:
        return {record.key or b"" async for batch in batches for record in batch}


def _fields(folded: PaymentHistory, live: PaymentHistory) -> tuple[str, ...]:
    names = [
        f"payment.{name}"
        for name in folded.payment.__struct_fields__
        if getattr(folded.payment, name) != getattr(live.payment, name)
    ]
    names += ["attempts"] if folded.attempts != live.attempts else []
    names += ["decisions"] if folded.decisions != live.decisions else []
    return tuple(names)
