"""Experiments' figures in Postgres: exposed payments, customers and arms, and how far the log is in them."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec

from infra.postgres import queries
from infra.postgres import watermarks as marks
from infra.postgres.database import Connection, Database, execute_rows, refusing
from schemas.codec import PAYMENTS_TOPIC
from schemas.experiment_end import SeenEnd
from schemas.exposure import ARM_SUMS, ArmKey, CustomerKey, Exposure, Figures, Tally
from schemas.ids import ExperimentId, PaymentId
from schemas.views import Watermark

PROJECTION = ("experiments", 1)
"""The name and version of their watermarks."""

SUMS_TIMEOUT_S = 300.0
CUSTOMERS_AT_ONCE = 10_000

_sql = queries.load(Path(__file__).with_suffix(".sql"))
_encode = msgspec.json.Encoder().encode
_exposure = msgspec.json.Decoder(Exposure)
_counters = msgspec.json.Decoder(dict[str, str])
_offsets = msgspec.json.Decoder(dict[int, int])
_marks = msgspec.json.Decoder(dict[int, tuple[int, int]])


class StoredSums(NamedTuple):
    """What results are made of. Parts of arms are added up: a part by itself means nothing."""

    arms: dict[ArmKey, Tally]
    customers: dict[CustomerKey, Figures]
    watermarks: dict[int, Watermark]


class PostgresExperiments:
    """Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(
        self, topic: str, partitions: Collection[int]
    ) -> AsyncIterator["PostgresExposureTransaction"]:
        async with self._database.transaction() as connection:
            locked = await marks.locked(connection, PROJECTION, topic, partitions)
            yield PostgresExposureTransaction(connection, topic, locked)

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        """By topic and partition; a partition that was never read has none."""
        return await marks.all_of(self._database, PROJECTION)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Whether it is ours to judge, and no other process's until the block ends."""
        async with self._database.transaction() as connection:
            is_ours = bool(await connection.fetchval(_sql.take_turn))
            yield is_ours
            if is_ours:
                await connection.execute(_sql.note_turn)

    async def since_last_turn_s(self) -> float | None:
        """Since anybody's turn ended well; None before the first."""
        rows = await self._database.fetch(_sql.since_last_turn_s)
        return rows[0]["elapsed_s"] if rows else None

    async def ends(self, experiments: Collection[ExperimentId]) -> dict[ExperimentId, SeenEnd]:
        """Of those whose end was seen."""
        rows = await self._database.fetch(_sql.ends, list(experiments))
        return {
            row["experiment_id"]: SeenEnd(
                version=row["version"], at=row["seen_at"], offsets=_offsets.decode(row["log_ends"])
            )
            for row in rows
        }

    async def keep_end(self, experiment_id: ExperimentId, end: SeenEnd) -> None:
        """Unless one of this version, or of a later one, was seen before."""
        offsets = _encode(end.offsets).decode()
        await self._database.fetch(_sql.keep_end, experiment_id, end.version, end.at, offsets)

    async def forget_end(self, experiment_id: ExperimentId, version: int) -> None:
        await self._database.fetch(_sql.forget_end, experiment_id, version)

    async def changes(self, experiments: Collection[ExperimentId]) -> dict[ExperimentId, int]:
        """A number of each that grows with whatever is counted; those of which nothing was have none."""
        rows = await self._database.fetch(_sql.changes, list(experiments))
        return {row["experiment_id"]: row["changes"] for row in rows}

    async def tallies(self, experiment_id: ExperimentId) -> tuple[dict[str, Tally], dict[int, Watermark]]:
        """Of its variants, those of which something was counted, and the watermarks of every partition."""
        rows = await self._database.fetch(_sql.tallies, experiment_id, *PROJECTION, PAYMENTS_TOPIC)
        reached = _marks.decode(rows[0]["marks"] or "{}")
        return _tallies(rows), {
            partition: Watermark(next_offset=next_offset, last_stamp_ms=stamp_ms)
            for partition, (next_offset, stamp_ms) in reached.items()
        }

    async def sums(self) -> StoredSums:
        """Of all experiments, as of one moment, while others go on."""
        async with self._database.transaction(SUMS_TIMEOUT_S) as connection:
            await connection.execute(_sql.one_snapshot)
            arms = {
                ArmKey(row["experiment_id"], variant): tally
                for row in await connection.fetch(_sql.experiments)
                for variant, tally in _tallies(
                    await connection.fetch(_sql.tallies, row["experiment_id"], *PROJECTION, PAYMENTS_TOPIC)
                ).items()
            }
            customers = {
                CustomerKey(*row[:3]): Figures(*row[3:])
                async for row in connection.cursor(_sql.customers, prefetch=CUSTOMERS_AT_ONCE)
            }
            reached = await marks.seen(connection, PROJECTION, PAYMENTS_TOPIC)
        return StoredSums(arms, customers, reached)


class PostgresExposureTransaction:
    def __init__(self, connection: Connection, topic: str, watermarks: Mapping[int, Watermark]) -> None:
        self._connection = connection
        self._topic = topic
        self.watermarks = watermarks

    async def load(self, payment_ids: Collection[PaymentId]) -> dict[PaymentId, Exposure]:
        rows = await self._connection.fetch(_sql.exposures, list(payment_ids))
        return {row["payment_id"]: _exposure.decode(row["exposure"]) for row in rows}

    async def add_to_customers(self, more: Mapping[CustomerKey, Figures]) -> dict[CustomerKey, Figures]:
        columns = zip(*((*customer, *figures) for customer, figures in more.items()), strict=True)
        with refusing():
            rows = await self._connection.fetch(_sql.add_to_customers, *map(list, columns))
        return {CustomerKey(*row[:3]): Figures(*row[3:]) for row in map(tuple, rows)}

    async def store(
        self,
        *,
        exposures: Mapping[PaymentId, Exposure],
        arms: Mapping[tuple[ArmKey, int], Tally],
        watermarks: Mapping[int, Watermark],
    ) -> None:
        connection = self._connection
        with refusing():
            await execute_rows(
                connection,
                _sql.put_exposures,
                [
                    (payment_id, exposure.experiment_id, _encode(exposure).decode())
                    for payment_id, exposure in exposures.items()
                ],
            )
            await execute_rows(
                connection, _sql.add_to_arms, [_arm_row(*part, tally) for part, tally in arms.items()]
            )
            await execute_rows(
                connection,
                _sql.add_to_counters,
                [
                    (*arm, partition, name, count)
                    for (arm, partition), tally in arms.items()
                    for name, count in tally.items()
                    if count and name not in ARM_SUMS
                ],
            )
        await marks.move(connection, PROJECTION, self._topic, watermarks)

    async def forget(self, before: PaymentId, ended: Collection[ExperimentId], most: int) -> int:
        payments = await self._connection.fetchval(_sql.forget_exposures, before, most)
        customers = await self._connection.fetchval(_sql.forget_customers, list(ended), most)
        return max(int(payments), int(customers))


def _tallies(rows: Iterable[asyncpg.Record]) -> dict[str, Tally]:
    return {row["variant"]: _tally(row) for row in rows if row["variant"] is not None}


def _arm_row(arm: ArmKey, partition: int, tally: Tally) -> tuple[object, ...]:
    return (*arm, partition, *(tally[name] for name in ARM_SUMS))


def _tally(row: asyncpg.Record) -> Tally:
    sums = {name: int(row[name]) for name in ARM_SUMS}
    counters = {name: int(count) for name, count in _counters.decode(row["counters"] or "{}").items()}
    return Tally({name: count for name, count in (sums | counters).items() if count})
