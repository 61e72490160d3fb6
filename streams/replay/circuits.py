"""Views of circuits made again from their topic, in memory: there are few of them, whatever the number of events."""

from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

from infra.postgres.circuits import PostgresCircuits
from projections.absorption import decoded
from projections.circuit_facts import CircuitFacts
from schemas.base import Value
from schemas.circuit import CircuitKey, CircuitView, KnownCircuit
from schemas.errors import Unreadable
from schemas.ids import GatewayId
from streams.replay.errors import StoreTaken
from streams.replay.into_postgres import database_of_a_replay
from streams.replay.lines import encode_lines, whole_file
from streams.replay.plan import Part
from streams.replay.processes import Monitor
from streams.replay.source import Source


class CircuitRow(Value, frozen=True, kw_only=True):
    gateway: GatewayId
    payment_method: str
    sequence: int
    """Of its last event."""
    decided_by: int
    view: CircuitView


class Folded(NamedTuple):
    known: Mapping[CircuitKey, KnownCircuit]
    dead: int
    """Records that could not be read."""


async def folded(source: Source, stop: int, monitor: Monitor) -> Folded:
    """As a start of an API process finds them. Raises LogBroken, LogUnavailable."""
    facts, dead = CircuitFacts(), 0
    async with aclosing(source.batches(Part(partition=0, start=0, stop=stop))) as batches:
        async for batch in batches:
            for record in batch:
                try:
                    recorded = decoded(record)
                except Unreadable:
                    dead += 1
                    continue
                if not recorded.is_void:
                    facts.take(recorded)
            monitor.read(len(batch))
    return Folded(facts.known, dead)


async def circuits_into_postgres(source: Source, stop: int, url: str, monitor: Monitor) -> int:
    """How many records could not be read. Raises LogBroken, LogUnavailable, StoreTaken, StoreUnavailable."""
    async with database_of_a_replay(url) as database:
        circuits = PostgresCircuits(database)
        _, reached = await circuits.views()
        if reached > stop:
            raise StoreTaken(
                f"the circuits in that database are of offset {reached}, and {stop} was asked for"
            )
        found = await folded(source, stop, monitor)
        await circuits.save_views(found.known, stop)
    return found.dead


async def circuits_into_file(source: Source, stop: int, path: Path, monitor: Monitor) -> int:
    """By gateway and method. How many records could not be read. Raises LogBroken, LogUnavailable."""
    with whole_file(path) as file:
        found = await folded(source, stop, monitor)
        rows = [
            CircuitRow(
                gateway=gateway,
                payment_method=method,
                sequence=circuit.sequence,
                decided_by=circuit.decided_by,
                view=circuit.view,
            )
            for (gateway, method), circuit in sorted(found.known.items())
        ]
        file.write(encode_lines(rows))
    return found.dead
