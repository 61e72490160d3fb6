"""A partition folded key by key in bounded memory: a share of its keys at a time, while the others are put aside."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from projections.ports import RawRecord
from schemas.errors import Unreadable
from streams.replay.aside import Aside
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
    source: Source,
    part: Part,
    new: Callable[[], F],
    monitor: Monitor,
    folder: Path | None = None,
    at_once: int = RECORDS_IN_MEMORY,
) -> AsyncGenerator[F, None]:
    """A fold of each share, with all records of its keys; which key is in which share follows from the part alone.

    What is put aside lies in that folder, or where temporary files do (`TMPDIR`), in a file without a name, which is
    gone when this process is, however that ends. Raises LogBroken, LogUnavailable and OSError.
    """
    turns = -(-part.records // at_once)
    if turns <= 1:
        if turns:
            yield await _at_once(source, part, new(), monitor)
        return
    note = _by_halves(monitor)
    with tempfile.TemporaryFile(dir=folder) as file:
        aside = Aside(file, turns)
        async with aclosing(source.batches(part)) as batches:
            async for batch in batches:
                aside.put(batch)
                note(len(batch))
        for turn in range(turns):
            fold = new()
            for records in aside.share(turn):
                fold.take(records)
                note(len(records))
            yield fold


async def _at_once(source: Source, part: Part, fold: F, monitor: Monitor) -> F:
    async with aclosing(source.batches(part)) as batches:
        async for batch in batches:
            fold.take(batch)
            monitor.read(len(batch))
    return fold


def _by_halves(monitor: Monitor) -> Callable[[int], None]:
    """One half of a record's work is done when it is put aside, the other when it is folded."""
    halves = 0

    def note(records: int) -> None:
        nonlocal halves
        whole, halves = divmod(halves + records, 2)
        monitor.read(whole)

    return note
