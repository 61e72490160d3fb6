"""Generations of the payments' read model: another one made beside the live one, and put in its place.

A generation is a schema that holds the three tables, made from the definition of the live ones, and watermarks and
errors of its own. Whoever fills it has that schema alone in the search path: the statements of the live projection are
then about these rows, and what would touch anything else (reservations, verifications) fails. All that is known of a
rebuild is in its schema, so one that was killed goes on from there, and dropping the schema leaves nothing behind.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import asyncpg
import msgspec

from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.postgres import queries
from infra.postgres import watermarks as marks
from infra.postgres.database import Connection, Database
from infra.postgres.payments import PROJECTION
from infra.postgres.replays import refuse_replays
from schemas.codec import PAYMENTS_TOPIC
from schemas.ids import PaymentId

Name = Literal["payments_next", "payments_previous"]
NEXT: Name = "payments_next"
PREVIOUS: Name = "payments_previous"
_OUT = "payments_out"
"""For as long as the transaction of a switch takes."""

STATEMENT_TIMEOUT_S = 60.0
ANALYZE_TIMEOUT_S = 600.0
VACUUM_GIVES_WAY_WITHIN_MS = 5_000
WORKER_GIVES_WAY_WITHIN_MS = 2_000
READERS_GIVE_WAY_WITHIN_MS = 250
"""Whoever reads the tables waits behind the switch for as long, when somebody else reads them for longer."""

COMPARED_AT_ONCE = 1_000
"""Payments: some hundred milliseconds of work."""
AFTER_ALL = "pay_~"
"""Beyond every id of a payment."""
TABLES = ("payments", "attempts", "routing_decisions")

Rows = Mapping[str, Mapping[str, Any]]
"""Of a payment: fields by column, under the row's table and key."""
Columns = Mapping[str, Collection[str]]
"""By table."""

_sql = queries.load(Path(__file__).with_suffix(".sql"))
Finish = Callable[[Mapping[int, int]], Awaitable[None]]
"""Is called with the live watermarks, from when on nothing is written to the live tables until it returns."""
_rows = msgspec.json.Decoder(dict[str, dict[str, Any]]).decode


class AnotherAtIt(Exception):
    """A rebuild, a rollback or a drop of another process."""


class AnotherDefinition(Exception):
    """The tables were migrated since this generation was made: it cannot take their place."""


class SwitchPutOff(Exception):
    """Somebody reads the tables, or writes them, for longer than the others may wait. Nothing is changed."""


class Differing(NamedTuple):
    payment_id: PaymentId
    live: Rows
    beside: Rows


class Comparison(NamedTuple):
    """Of one moment: of how many payments, how far the live rows and the others had come, and those that differ."""

    payments: int
    reached: Mapping[int, tuple[int, int]]
    differing: Sequence[Differing]


class Generation:
    """One that stands beside the live one. Raises StoreUnavailable, also when it stands there no more."""

    def __init__(self, name: Name, database: Database) -> None:
        self.name = name
        self.database = database

    async def reached(self) -> dict[int, tuple[int, int]]:
        """By partition the next offset of the live one, and ours."""
        rows = await self.database.fetch(_sql.watermarks, *PROJECTION, PAYMENTS_TOPIC)
        return {row["partition"]: (row["live"], row["beside"]) for row in rows}

    async def payments_about(self) -> int:
        ((payments,),) = await self.database.fetch(_sql.about)
        return int(payments)

    async def compare_stretch(self, after: str, but_for: Columns) -> tuple[str | None, Comparison]:
        """Some payments, of the ids that come after that one; where they end, None for the last of all."""
        async with self._snapshot() as connection:
            end = await connection.fetchval(_sql.stretch, after, COMPARED_AT_ONCE - 1)
            payments = await connection.fetchval(_sql.count_within, after, end or AFTER_ALL)
            found = await connection.fetch(_sql.differing_within, after, end or AFTER_ALL)
            return end, await _comparison(connection, payments, found, but_for)

    async def compare(self, payment_ids: Sequence[PaymentId], but_for: Columns) -> Comparison:
        async with self._snapshot() as connection:
            found = await connection.fetch(_sql.differing_among, payment_ids)
            return await _comparison(connection, len(payment_ids), found, but_for)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Connection]:
        async with self.database.transaction(STATEMENT_TIMEOUT_S) as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection

    async def analyze(self) -> None:
        """Or the first plans after the switch would be those of empty tables."""
        for row in await self.database.fetch(_sql.analyze, self.name):
            await self.database.fetch(row["statement"], timeout_s=ANALYZE_TIMEOUT_S)


async def _comparison(
    connection: Connection, payments: int, found: Sequence[asyncpg.Record], but_for: Columns
) -> Comparison:
    reached = await connection.fetch(_sql.watermarks, *PROJECTION, PAYMENTS_TOPIC)
    ignored = [list(but_for.get(table, ())) for table in TABLES]
    rows = await connection.fetch(_sql.rows, [row["payment_id"] for row in found], *ignored) if found else ()
    return Comparison(
        payments,
        {row["partition"]: (row["live"], row["beside"]) for row in reached},
        [
            Differing(row["payment_id"], _rows(row["live"] or "{}"), _rows(row["beside"] or "{}"))
            for row in rows
        ],
    )


async def standing_behind(database: Database) -> dict[Name, int]:
    """What stands, and how many records the live one is ahead of it."""
    behind: dict[Name, int] = {}
    for row in await database.fetch(_sql.standing, [NEXT, PREVIOUS]):
        ((made,),) = await database.fetch(_sql.behind, row["nspname"])
        ((records,),) = await database.fetch(made, *PROJECTION, PAYMENTS_TOPIC)
        behind[row["nspname"]] = records
    return behind


@asynccontextmanager
async def generations(url: str) -> AsyncIterator["Generations"]:
    """For one process at a time. Raises AnotherAtIt, FilledByReplay."""
    connection = await asyncpg.connect(url, timeout=5, command_timeout=STATEMENT_TIMEOUT_S)
    try:
        await refuse_replays(connection)
        if not await connection.fetchval(_sql.alone):
            raise AnotherAtIt
        yield Generations(url, connection)
    finally:
        await connection.close(timeout=5)  # and with it the lock


class Generations:
    """Raises what asyncpg raises."""

    def __init__(self, url: str, connection: Connection) -> None:
        self._url = url
        self._connection = connection

    async def standing(self) -> set[Name]:
        return {row["nspname"] for row in await self._connection.fetch(_sql.standing, [NEXT, PREVIOUS])}

    @asynccontextmanager
    async def beside(self, name: Name) -> AsyncIterator[Generation]:
        """Made, or made whole with what came to the live tables since. Raises AnotherDefinition."""
        await self._make(name)
        await self._require_same_definition(name)
        database = await Database.connect(self._url, max_size=3, server_settings={"search_path": name})
        try:
            yield Generation(name, database)
        finally:
            await database.close()

    async def switch(self, name: Name, finish: Finish, finish_within_s: float) -> None:
        """The live tables become the previous ones, and these the live ones, or nothing is changed.

        `finish` brings the other ones to where the live ones are, and raises where they must not take their place.
        Raises SwitchPutOff, AnotherDefinition.
        """
        await self._make(name)
        async with self._all_or_nothing() as connection:
            await self._wait_at_most(VACUUM_GIVES_WAY_WITHIN_MS)
            await connection.execute(_sql.keep_vacuum_away)
            await self._require_same_definition(name)
            await self._let_finish(finish, finish_within_s)
            await self._wait_at_most(READERS_GIVE_WAY_WITHIN_MS)
            await self._execute_made(_sql.lock_tables, name)
            await self._change_places(name)

    async def while_live_waits(self, finish: Finish, finish_within_s: float) -> None:
        """And the live tables stay the live ones. Raises SwitchPutOff."""
        async with self._all_or_nothing():
            await self._let_finish(finish, finish_within_s)

    @asynccontextmanager
    async def _all_or_nothing(self) -> AsyncIterator[Connection]:
        try:
            async with self._connection.transaction():
                yield self._connection
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            raise SwitchPutOff("somebody reads or writes the tables for long") from error

    async def _let_finish(self, finish: Finish, within_s: float) -> None:
        await self._wait_at_most(WORKER_GIVES_WAY_WITHIN_MS)
        live = await self._locked_watermarks()
        try:
            async with asyncio.timeout(within_s):
                await finish(live)
        except TimeoutError as error:
            raise SwitchPutOff("the last records could not be taken in fast enough") from error

    async def drop(self, name: Name) -> None:
        await self._execute_made(_sql.drop, name)

    async def _make(self, name: Name) -> None:
        async with self._connection.transaction():
            await self._execute_made(_sql.create_schema, name)
            for row in await self._connection.fetch(_sql.making, name):
                await self._connection.execute(row["statement"])

    async def _require_same_definition(self, name: Name) -> None:
        live = {row["line"] for row in await self._connection.fetch(_sql.definition, "public")}
        ours = {row["line"] for row in await self._connection.fetch(_sql.definition, name)}
        if live != ours:
            raise AnotherDefinition(f"{name} differs from the live tables in: {sorted(live ^ ours)[0]}")

    async def _wait_at_most(self, milliseconds: int) -> None:
        await self._connection.execute(f"SET LOCAL lock_timeout = {milliseconds:d}")

    async def _locked_watermarks(self) -> dict[int, int]:
        """Of all partitions, also of those that were never read: nobody writes a row before the end of the
        transaction."""
        partitions = range(PAYMENT_PARTITIONS)
        locked = await marks.locked(self._connection, PROJECTION, PAYMENTS_TOPIC, partitions)
        return {partition: mark.next_offset for partition, mark in locked.items()}

    async def _change_places(self, name: Name) -> None:
        connection = self._connection
        await self._execute_made(_sql.put_out, _OUT)
        await self._execute_made(_sql.moves, "public", _OUT)
        await self._execute_made(_sql.moves, name, "public")
        await self._execute_made(_sql.keep_watermarks, _OUT, *PROJECTION)
        await self._execute_made(_sql.change_errors, name, _OUT, *PROJECTION)
        await connection.execute(_sql.next_generation, *PROJECTION)
        await self._execute_made(_sql.leave, name, _OUT, PREVIOUS)

    async def _execute_made(self, sql: str, *arguments: object) -> None:
        """Statements that take no parameters: the server itself quotes the names in them."""
        await self._connection.execute(await self._connection.fetchval(sql, *arguments))
