"""Databases that replays fill: each is marked as such, so that none that a product works with is ever taken for one,
and no product works with one: it has no reservations, and keys that were reserved before would be free."""

from collections.abc import Mapping
from pathlib import Path

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


async def begin(
    database: Database, projection: marks.Projection, topic: str, starts: Mapping[int, int]
) -> dict[int, int]:
    """Where each partition goes on: at its start, or where a replay that was stopped had come to."""
    await database.fetch(_sql.begin, *projection, topic, list(starts), list(starts.values()))
    reached = await marks.all_of(database, projection)
    return {partition: reached[topic, partition].next_offset for partition in starts}
