"""How far each projection is in each partition of a topic; moved in the transaction that stores what it read."""

from collections.abc import Collection, Mapping
from pathlib import Path

from infra.postgres import queries
from infra.postgres.database import Connection, Database, execute_rows
from schemas.views import Watermark

Projection = tuple[str, int]
"""Its name and version in the table."""

_sql = queries.load(Path(__file__).with_suffix(".sql"))


async def locked(
    connection: Connection, projection: Projection, topic: str, partitions: Collection[int]
) -> dict[int, Watermark]:
    """Nobody else can move them before the end of the transaction; one that was never moved is at 0."""
    distinct = sorted(set(partitions))
    arguments = (*projection, topic, distinct)
    rows = await connection.fetch(_sql.lock, *arguments)
    if len(rows) < len(distinct):
        await connection.execute(_sql.add, *arguments)
        rows = await connection.fetch(_sql.lock, *arguments)
    return {
        row["partition"]: Watermark(
            next_offset=row["next_offset"], last_stamp_ms=row["last_stamp_ms"], generation=row["generation"]
        )
        for row in rows
    }


async def move(
    connection: Connection, projection: Projection, topic: str, watermarks: Mapping[int, Watermark]
) -> None:
    """Those that were locked before."""
    moved = [(partition, mark.next_offset, mark.last_stamp_ms) for partition, mark in watermarks.items()]
    await execute_rows(connection, _sql.move, moved, *projection, topic)


async def seen(connection: Connection, projection: Projection, topic: str) -> dict[int, Watermark]:
    """Of another projection, as far as it was committed when it is asked; nothing is locked."""
    rows = await connection.fetch(_sql.all_of, *projection)
    return {
        row["partition"]: Watermark(next_offset=row["next_offset"], last_stamp_ms=row["last_stamp_ms"])
        for row in rows
        if row["topic"] == topic
    }


async def all_of(database: Database, projection: Projection) -> dict[tuple[str, int], Watermark]:
    """By topic and partition; a partition that was never read has none."""
    rows = await database.fetch(_sql.all_of, *projection)
    return {
        (row["topic"], row["partition"]): Watermark(
            next_offset=row["next_offset"],
            last_stamp_ms=row["last_stamp_ms"],
            updated_at=row["updated_at"],
        )
        for row in rows
    }
