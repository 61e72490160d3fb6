"""All shards as one: what changed in any of them is summed over all of them, and put into rolling windows."""

from collections.abc import Collection, Mapping

from projections.tallies import add
from projections.windows import RollingWindows
from schemas.metrics import Buckets, Cell, Tally

STEP = 500
"""Tallies that are summed in one go: some ten milliseconds."""


class Merge:
    """A shard is given once and may change on; who changes it says what."""

    def __init__(self, now: int) -> None:
        self.windows = RollingWindows(now)
        self._shards: dict[int, Buckets] = {}
        self._due: dict[int, set[Cell]] = {}

    def holds(self, partition: int, buckets: Buckets) -> bool:
        return self._shards.get(partition) is buckets

    def replace(self, partition: int, buckets: Buckets) -> None:
        for known in (self._shards.get(partition, {}), buckets):
            self.note(known)
        self._shards[partition] = buckets

    def note(self, changed: Mapping[int, Collection[Cell]]) -> None:
        for bucket, cells in changed.items():
            self._due.setdefault(bucket, set()).update(cells)

    def settle(self) -> bool:
        """A step's worth of what is due; whether anything is left."""
        for _ in range(STEP):
            if not self._due:
                return False
            bucket = next(reversed(self._due))
            cells = self._due[bucket]
            if cells:
                cell = cells.pop()
                self.windows.put(bucket, cell, self._sum(bucket, cell))
            else:
                del self._due[bucket]
        return True

    def _sum(self, bucket: int, cell: Cell) -> Tally:
        total: Tally = {}
        for buckets in self._shards.values():
            tallies = buckets.get(bucket)
            if tallies is not None and (tally := tallies.get(cell)) is not None:
                add(total, tally)
        return total
