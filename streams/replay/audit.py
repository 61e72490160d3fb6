"""The audit made again of its topics, by the keeper that is live.

What an entry says of the state before it is folded from the beginning of its topic, whatever range entries are wanted
of.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from infra.kafka.reader import LogReader
from infra.postgres.audit import PROJECTION, PostgresAudit
from projections.ports import AuditSink
from schemas.audit import AuditEntry
from schemas.views import Watermark
from streams.audit_keeper import TOPICS, AuditKeeper, begun
from streams.dead_letters import NoLetters
from streams.replay.into_postgres import database_of_a_replay, go_on
from streams.replay.lines import encode_lines, whole_file
from streams.replay.plan import Asked, Plan
from streams.replay.processes import Monitor
from streams.replay.source import Source

Planned = Sequence[tuple[Source, Plan]]
"""Of each topic of the audit."""


async def planned(source: Source, asked: Asked) -> Planned:
    """Raises LogBroken, LogUnavailable."""
    sources = [replace(source, topic=topic) for topic in TOPICS]
    return [(one, await one.plan(replace(asked, topic=one.topic))) for one in sources]


async def audit_left(plans: Planned, url: str) -> Planned:
    """What of them is left to be read into that database. Raises StoreTaken, StoreUnavailable."""
    async with database_of_a_replay(url) as database:
        return [(source, await go_on(database, PROJECTION, plan)) for source, plan in plans]


async def audit_into_postgres(plans: Planned, url: str, monitor: Monitor) -> int:
    """Of plans that are left. How many records could not be taken in. Raises LogBroken, LogUnavailable, StoreTaken,
    StoreUnavailable."""
    async with database_of_a_replay(url) as database:
        return await _keep(plans, PostgresAudit(database), monitor)


async def audit_into_file(plans: Planned, path: Path, monitor: Monitor) -> int:
    """By topic, partition and offset. How many records could not be taken in. Raises LogBroken, LogUnavailable."""
    starts = {(source.topic, part.partition): part.start for source, plan in plans for part in plan.parts}
    with whole_file(path) as file:
        return await _keep(plans, _File(file, starts), monitor)


async def _keep(plans: Planned, sink: AuditSink, monitor: Monitor) -> int:
    letters = NoLetters()
    for source, plan in plans:
        keeper = AuditKeeper(sink, LogReader(source.bootstrap_servers), letters)
        for part in plan.parts:
            reading = begun(source.topic, part.start)
            if part.records:
                async with aclosing(source.batches(replace(part, start=reading.next_offset))) as batches:
                    async for batch in batches:
                        await keeper.take(reading, batch, part.start)
                        monitor.read(len(batch))
    return letters.told


class _File:
    """Takes entries from where its range begins."""

    def __init__(self, file: BinaryIO, starts: Mapping[tuple[str, int], int]) -> None:
        self._file = file
        self._starts = starts

    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]:
        return {}

    async def keep(
        self, topic: str, partition: int, first: int, entries: Sequence[AuditEntry], reached: Watermark
    ) -> bool:
        start = self._starts[topic, partition]
        self._file.write(encode_lines([one for one in entries if one.position.offset >= start]))
        return True
