"""Circuits in Postgres: the writer's checkpoints of them, and their views, each with how far the topic was folded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from infra.postgres import queries, watermarks
from infra.postgres.database import Database
from schemas.circuit import CircuitKey, CircuitView, KnownCircuit, StoredCircuit
from schemas.codec import CIRCUIT_OUTCOMES_TOPIC, CIRCUITS_TOPIC
from schemas.ids import GatewayId
from schemas.views import Watermark

CHECKPOINTS = ("circuit-writer", 1)
"""The name and version of their watermarks."""
VIEWS = ("circuits", 1)

_SQL = queries.load(Path(__file__).with_suffix(".sql"))
_encode = msgspec.json.Encoder().encode
_view = msgspec.json.Decoder(CircuitView)


class PostgresCircuits:
    """Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def checkpoint(self, partition: int) -> tuple[Watermark, Sequence[StoredCircuit]] | None:
        """The circuits of a partition of `circuits.outcomes.v1`, after every message below the watermark; None if there
        is no checkpoint."""
        rows = await self._database.fetch(_SQL.checkpoint, *CHECKPOINTS, CIRCUIT_OUTCOMES_TOPIC, partition)
        if not rows:
            return None
        stored = [
            StoredCircuit(
                partition=partition,
                gateway=row["gateway"],
                payment_method=row["payment_method"],
                state=row["state"],
            )
            for row in rows
            if row["gateway"] is not None
        ]
        mark = Watermark(next_offset=rows[0]["next_offset"], last_stamp_ms=rows[0]["last_stamp_ms"])
        return mark, stored

    async def save_checkpoint(
        self, marks: Mapping[int, Watermark], circuits: Sequence[StoredCircuit]
    ) -> None:
        """All of it in one transaction, but for the partitions that somebody has taken farther already."""
        async with self._database.transaction(timeout_s=2.0) as connection:
            moved = await connection.fetch(
                _SQL.move_watermarks,
                *CHECKPOINTS,
                CIRCUIT_OUTCOMES_TOPIC,
                list(marks),
                [mark.next_offset for mark in marks.values()],
                [mark.last_stamp_ms for mark in marks.values()],
            )
            ours = {row["partition"] for row in moved}
            kept = [circuit for circuit in circuits if circuit.partition in ours]
            await connection.execute(
                _SQL.put_checkpoints,
                [circuit.gateway for circuit in kept],
                [circuit.payment_method for circuit in kept],
                [circuit.partition for circuit in kept],
                [circuit.state for circuit in kept],
            )

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        """Of the checkpoints, by topic and partition."""
        return await watermarks.all_of(self._database, CHECKPOINTS)

    async def views(self) -> tuple[Mapping[CircuitKey, KnownCircuit], int]:
        """Every circuit, and the first offset of `circuits.events.v1` that is not in them."""
        rows = await self._database.fetch(_SQL.views, *VIEWS, CIRCUITS_TOPIC)
        known = {
            (GatewayId(row["gateway"]), row["payment_method"]): KnownCircuit(
                view=_view.decode(row["view"]), sequence=row["sequence"], decided_by=row["decided_by"]
            )
            for row in rows
            if row["gateway"] is not None
        }
        return known, int(rows[0]["next_offset"]) if rows else 0

    async def save_views(self, known: Mapping[CircuitKey, KnownCircuit], next_offset: int) -> None:
        """Unless what is stored is newer."""
        async with self._database.transaction(timeout_s=2.0) as connection:
            moved = await connection.fetch(
                _SQL.move_watermarks, *VIEWS, CIRCUITS_TOPIC, [0], [next_offset], [0]
            )
            if moved:
                await connection.execute(
                    _SQL.put_views,
                    [gateway for gateway, _ in known],
                    [method for _, method in known],
                    [_encode(circuit.view).decode() for circuit in known.values()],
                    [circuit.sequence for circuit in known.values()],
                    [circuit.decided_by for circuit in known.values()],
                )
