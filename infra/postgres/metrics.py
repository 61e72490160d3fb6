"""Checkpoints of hot metrics in Postgres: minutes of tallies, and the watermark of which they are the sum."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.postgres import queries
from infra.postgres.database import Database
from schemas.views import Watermark

PROJECTION = ("metrics", 1)
"""The name and version of their watermarks."""
LOAD_TIMEOUT_S = 10.0

_SQL = queries.load(Path(__file__).with_suffix(".sql"))


class PostgresMetricsCheckpoints:
    """Raises StoreUnavailable."""

    def __init__(self, database: Database, topic: str) -> None:
        self._database = database
        self._topic = topic

    async def load(self, partition: int) -> tuple[Watermark, Sequence[bytes]] | None:
        arguments = (*PROJECTION, self._topic, partition)
        rows = await self._database.fetch(_SQL.find_checkpoint, *arguments, timeout_s=LOAD_TIMEOUT_S)
        if not rows:
            return None
        (row,) = rows
        watermark = Watermark(next_offset=row["next_offset"], last_stamp_ms=row["last_stamp_ms"])
        return watermark, row["slices"]

    async def save(
        self, partition: int, expected: Watermark | None, watermark: Watermark, slices: Mapping[int, bytes]
    ) -> bool:
        """The minutes that have changed, an empty one to leave, on top of the expected checkpoint; instead of any with
        no expectation. False, and nothing is saved, when the checkpoint is another one."""
        place = (self._topic, partition)
        row = (*PROJECTION, *place, watermark.next_offset, watermark.last_stamp_ms)
        kept = {minute: tallies for minute, tallies in slices.items() if tallies}
        async with self._database.transaction() as connection:
            if expected is None:
                await connection.execute(_SQL.put_watermark, *row)
                await connection.execute(_SQL.drop_slices, *place)
            elif not await connection.fetch(_SQL.move_watermark, *row, expected.next_offset):
                return False
            else:
                await connection.execute(_SQL.drop_minutes, *place, list(slices.keys() - kept.keys()))
            await connection.execute(_SQL.put_slices, *place, list(kept), list(kept.values()))
        return True
