"""Brings a database to the newest schema: numbered files, each applied once, in order, in one transaction.

Safe to run twice and by several processes at once: an advisory lock lets one of them work and the others find it done.
"""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from infra.postgres import queries
from infra.postgres.database import NO_CONNECTION, Connection, Database, describe
from schemas.errors import StoreUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"
MONTHS_AHEAD = 3
STATEMENT_TIMEOUT_S = 60.0

_sql = queries.load(Path(__file__).parent / "migrate.sql")


async def migrate(url: str) -> list[str]:
    """Create the database if there is none, and apply what is new; returns the names of the files it applied.

    Raises StoreUnavailable where there is no connection to it, and what asyncpg raises.
    """
    try:
        await _create_database(url)
        connection = await asyncpg.connect(url, timeout=5, command_timeout=STATEMENT_TIMEOUT_S)
    except NO_CONNECTION as error:
        raise StoreUnavailable(f"no connection: {describe(error)}") from error
    try:
        await connection.execute(_sql.lock)
        await connection.execute(_sql.create_schema_migrations)
        applied = await _apply(connection)
        await connection.fetchval(_sql.make_month_partitions, MONTHS_AHEAD)
        return applied
    finally:
        await connection.close(timeout=5)  # and with it the lock


async def make_month_partitions(database: Database) -> int:
    """Those of the coming months that are not there yet; returns how many tables that were. Once a day is plenty."""
    ((made,),) = await database.fetch(_sql.make_month_partitions, MONTHS_AHEAD, timeout_s=STATEMENT_TIMEOUT_S)
    return int(made)


async def _apply(connection: Connection) -> list[str]:
    known = {row["name"] for row in await connection.fetch(_sql.applied)}
    new = [file for file in sorted(MIGRATIONS.glob("*.sql")) if file.stem not in known]
    for file in new:
        async with connection.transaction():
            await connection.execute(file.read_text())
            await connection.execute(_sql.note_applied, file.stem)
    return [file.stem for file in new]


async def _create_database(url: str) -> None:
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except asyncpg.InvalidCatalogNameError:
        parts = urlsplit(url)
        connection = await asyncpg.connect(
            urlunsplit(parts._replace(path="/postgres")), timeout=5, command_timeout=STATEMENT_TIMEOUT_S
        )
        try:
            create = await connection.fetchval(_sql.create_database, parts.path.removeprefix("/"))
            await connection.execute(create)
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            pass  # another process was faster
    await connection.close(timeout=5)
