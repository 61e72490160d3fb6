"""The tallies of one source partition: a fold of its records, in memory and of bounded size.

It is worth what its watermark says: the sum of every outcome below `next_offset` whose attempt started within the hour
before the newest broker's stamp. Older buckets leave; finer cells are limited in number, and the least recently used
leave first.
"""

from collections.abc import Iterable

from msgspec import Struct

from projections.tallies import Observation, add
from schemas.metrics import BUCKET_S, BUCKETS_KEPT, Buckets, Cell, Changes, StoredShard
from schemas.views import Watermark

CELLS_MAX = 300
"""Finer cells of a kind, of one gateway and method."""
CELLS_LEFT = 250
"""After some had to leave: they do so in groups, since finding them means looking at all."""
AHEAD = 6
"""Buckets by which an attempt may have started after its outcome was stamped: a clock that is a minute wrong."""
KEPT = BUCKETS_KEPT + AHEAD
BUCKETS_PER_SLICE = 6

Family = tuple[str, str, str]
"""Gateway, method and kind: the cells among which those that are too many are chosen."""


class Counts(Struct):
    counted: int = 0
    out_of_range: int = 0
    """Observations of too long ago, or of the future."""
    evicted: int = 0
    """Finer cells that had to leave, since there were too many."""


class Shard:
    """`counts` may be one for several shards."""

    def __init__(self, partition: int, begin: StoredShard, counts: Counts | None = None) -> None:
        self.partition = partition
        self.next_offset = begin.watermark.next_offset
        self.last_stamp_ms = begin.watermark.last_stamp_ms
        self.buckets = begin.buckets
        self.counts = counts or Counts()
        self._changed: dict[int, set[Cell]] = {}
        self._left: set[int] = set()
        self._newest: dict[Family, dict[Cell, int]] = {}
        for bucket in sorted(self.buckets):
            for cell in self.buckets[bucket]:
                self._use(cell, bucket)

    @property
    def watermark(self) -> Watermark:
        return Watermark(next_offset=self.next_offset, last_stamp_ms=self.last_stamp_ms)

    @property
    def stored(self) -> StoredShard:
        return StoredShard(self.watermark, self.buckets)

    @property
    def cells(self) -> int:
        return sum(map(len, self._newest.values()))

    def advance(self, next_offset: int, stamp_ms: int) -> None:
        """Past a record, whatever it was. Stamps of one partition never go back while its leader's clock does not."""
        self.next_offset = next_offset
        if stamp_ms // 1000 // BUCKET_S > self.last_stamp_ms // 1000 // BUCKET_S:
            self._drop_before(stamp_ms // 1000 // BUCKET_S - KEPT)
        self.last_stamp_ms = max(self.last_stamp_ms, stamp_ms)

    def count(self, observation: Observation) -> None:
        newest = self.last_stamp_ms // 1000 // BUCKET_S
        bucket, cells, counts = observation
        if not newest - KEPT < bucket <= newest + AHEAD:
            self.counts.out_of_range += 1
            return
        self.counts.counted += 1
        tallies = self.buckets.setdefault(bucket, {})
        changed = self._changed.setdefault(bucket, set())
        for cell in cells:
            tally = tallies.get(cell)
            if tally is None:
                self._make_room(cell)
                tally = tallies[cell] = {}
            self._use(cell, bucket)
            add(tally, counts)
            if not tally:
                del tallies[cell]
            changed.add(cell)

    def take_changes(self) -> Changes:
        """Those since they were last taken."""
        changes = Changes(
            {
                bucket: {cell: self.buckets.get(bucket, {}).get(cell) for cell in cells}
                for bucket, cells in self._changed.items()
                if bucket not in self._left
            },
            frozenset(self._left),
        )
        self._changed, self._left = {}, set()
        return changes

    def _use(self, cell: Cell, bucket: int) -> None:
        family = self._newest.setdefault(cell[:3], {})
        if bucket > family.get(cell, -1):
            family[cell] = bucket

    def _make_room(self, cell: Cell) -> None:
        family = self._newest.get(cell[:3], {})
        if cell in family or len(family) < CELLS_MAX:
            return
        by_use = sorted(family, key=lambda known: (family[known], self._weight(known, family[known]), known))
        for gone in by_use[: len(family) - CELLS_LEFT]:
            del family[gone]
            self.counts.evicted += 1
            for bucket, tallies in self.buckets.items():
                if tallies.pop(gone, None) is not None:
                    self._changed.setdefault(bucket, set()).add(gone)

    def _weight(self, cell: Cell, bucket: int) -> int:
        return sum(self.buckets.get(bucket, {}).get(cell, {}).values())

    def _drop_before(self, first: int) -> None:
        for bucket in [bucket for bucket in self.buckets if bucket <= first]:
            for cell in self.buckets.pop(bucket):
                family = self._newest[cell[:3]]
                if family.get(cell) == bucket:
                    del family[cell]
            self._changed.pop(bucket, None)
            self._left.add(bucket)


def minute_of(bucket: int) -> int:
    return bucket // BUCKETS_PER_SLICE


def slices(buckets: Buckets, minutes: Iterable[int]) -> dict[int, Buckets]:
    """What a checkpoint is made of; an empty one where all of a minute has left."""
    return {
        minute: {
            bucket: buckets[bucket]
            for bucket in range(minute * BUCKETS_PER_SLICE, (minute + 1) * BUCKETS_PER_SLICE)
            if buckets.get(bucket)
        }
        for minute in minutes
    }
