"""Databases that replays fill: each is marked as such, so that none that a product works with is ever taken for one,
and no product works with one: it has no reservations, and keys that were reserved before would be free."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from infra.postgres import queries
from infra.postgres import watermarks as marks
from infra.postgres.database import Connection, Database
from schemas.errors import FilledByReplay

_sql = queries.load(Path(__file__).with_suffix(".sql"))


async def take(database: Database) -> bool:
    """False where it is somebody else's. Raises StoreUnavailable."""
    await database.fetch(_sql.take)
    ((is_ours,),) = await database.fetch(_sql.is_ours)
    return bool(is_ours)


async def refuse_replays(store: Database | Connection) -> None:
    """For whoever acts on what is stored. Raises FilledByReplay, and what asking raises."""
    ((is_filled,),) = await store.fetch(_sql.is_filled)
    if is_filled:
        raise FilledByReplay


class Begun(NamedTuple):
    """Of a partition: offsets [start, reached) are in the database."""

    start: int
    reached: int


async def begin(
    connection: Connection, projection: marks.Projection, topic: str, starts: Mapping[int, int]
) -> dict[int, Begun]:
    """Partitions that none has begun begin at their start; the others are as they were begun, and have come to."""
    partitions = list(starts)
    await connection.execute(_sql.begin, *projection, topic, partitions, list(starts.values()))
    rows = await connection.fetch(_sql.begun, *projection, topic, partitions)
    return {row["partition"]: Begun(row["start"], row["reached"]) for row in rows}
