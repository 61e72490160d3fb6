"""A partition folded key by key in bounded memory: a long one is read several times, a share of its keys each time."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import TypeVar
from zlib import crc32

from projections.ports import RawRecord
from schemas.errors import Unreadable
from streams.replay.plan import Part
from streams.replay.processes import Monitor
from streams.replay.source import Source

RECORDS_IN_MEMORY = 250_000
"""So many are folded at a time: some fifty thousand payments."""


Places = frozenset[tuple[int, int]]
"""Partitions and offsets."""


class Fold(ABC):
    """In memory, as the live projection folds: what that could not take in is left out."""

    def __init__(self, left_out: Places = frozenset()) -> None:
        self._left_out = left_out
        self.dead = 0
        """Records that could not be read."""

    def take(self, records: Iterable[RawRecord]) -> None:
        for record in records:
            if (record.partition, record.offset) in self._left_out:
                continue
            try:
                self._take_in(record)
            except Unreadable:
                self.dead += 1

    @abstractmethod
    def _take_in(self, record: RawRecord) -> None:
        """Raises Unreadable."""


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
