"""The audit in Postgres: its entries, and how far each topic is in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from infra.postgres import queries
from infra.postgres import watermarks as marks
from infra.postgres.database import Database, execute_rows, refusing
from schemas.audit import AuditEntry, Place, Said
from schemas.envelope import Position
from schemas.views import Watermark

PROJECTION = ("audit", 1)
"""The name and version of its watermarks."""

_NEWEST: Place = 2**62, Position(topic="", partition=0, offset=0)
_sql = queries.load(Path(__file__).with_suffix(".sql"))
_encode = msgspec.json.Encoder().encode
_said = msgspec.json.Decoder(Said)


class PostgresAudit:
    """Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        return await marks.all_of(self._database, PROJECTION)

    async def keep(
        self, topic: str, partition: int, first: int, entries: Sequence[AuditEntry], reached: Watermark
    ) -> bool:
        async with self._database.transaction() as connection:
            locked = await marks.locked(connection, PROJECTION, topic, [partition])
            next_offset = locked[partition].next_offset
            if next_offset < first:
                return False
            if next_offset < reached.next_offset:
                new = [_row(one) for one in entries if one.position.offset >= next_offset]
                with refusing():
                    await execute_rows(connection, _sql.add, new, topic, partition)
                await marks.move(connection, PROJECTION, topic, {partition: reached})
            return True

    async def entries(
        self, aggregate: str | None, by: str | None, before: Place | None, limit: int
    ) -> list[AuditEntry]:
        """Below the place, the newest first; of an aggregate, of a person, or of both."""
        stamp_ms, position = before or _NEWEST
        below = stamp_ms, position.topic, position.partition, position.offset, limit
        if aggregate is not None:
            rows = await self._database.fetch(_sql.of_aggregate, *below, aggregate, by)
        elif by is not None:
            rows = await self._database.fetch(_sql.of_person, *below, by)
        else:
            rows = await self._database.fetch(_sql.newest, *below)
        return [_entry(row) for row in rows]


def _row(entry: AuditEntry) -> tuple[object, ...]:
    return (
        entry.position.offset,
        entry.stamp_ms,
        *map(_text, (entry.aggregate, entry.what, entry.by, entry.note, entry.request_id)),
        _json(entry.before),
        _json(entry.after),
    )


def _text(text: str) -> str:
    """Postgres holds no NUL, and an entry without one is better than none."""
    return text.replace("\0", "\ufffd")


def _json(said: Said | None) -> str | None:
    return None if said is None else _encode(_holdable(said)).decode()


def _holdable(said: Any) -> Any:
    """Not in the encoded text, where the six characters of an escape may be just what somebody has written."""
    match said:
        case str():
            return _text(said)
        case dict():
            return {_holdable(name): _holdable(value) for name, value in said.items()}
        case list() | tuple():
            return [_holdable(value) for value in said]
        case _:
            return said


def _entry(row: asyncpg.Record) -> AuditEntry:
    return AuditEntry(
        position=Position(topic=row["topic"], partition=row["partition"], offset=row["record_offset"]),
        stamp_ms=row["stamp_ms"],
        aggregate=row["aggregate"],
        what=row["what"],
        by=row["said_by"],
        note=row["note"],
        request_id=row["request_id"],
        before=None if row["before"] is None else _said.decode(row["before"]),
        after=None if row["after"] is None else _said.decode(row["after"]),
    )
