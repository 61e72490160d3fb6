"""A partition folded key by key in bounded memory: a long one is read several times, a share of its keys each time."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Protocol, TypeVar
from zlib import crc32

from projections.ports import RawRecord
from streams.replay.plan import Part
from streams.replay.processes import Monitor
from streams.replay.source import Source

RECORDS_IN_MEMORY = 250_000
"""So many are folded at a time: some fifty thousand payments."""


class Fold(Protocol):
    def take(self, records: Iterable[RawRecord]) -> None: ...


F = TypeVar("F", bound=Fold)


async def in_turns(
    source: Source, part: Part, new: Callable[[], F], monitor: Monitor, at_once: int = RECORDS_IN_MEMORY
) -> AsyncGenerator[F, None]:
    """A fold of each share, with all records of its keys; which key is in which share follows from the part alone.

    Raises LogBroken, LogUnavailable.
    """
    times = -(-part.records // at_once)
    for turn in range(times):
        fold = new()
        async with aclosing(source.batches(part)) as batches:
            async for batch in batches:
                fold.take(one for one in batch if times == 1 or crc32(one.key or b"") % times == turn)
                monitor.read(len(batch) if turn == 0 else 0)
        yield fold
