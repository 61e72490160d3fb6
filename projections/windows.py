"""Windows over event time: sums of the newest buckets, kept by adding what enters them and taking back what leaves.

The work follows what changed: a tally that changed is added as a difference, and every ten seconds the buckets that
enter and leave are. Nobody tells the time here: `advance` is told the bucket that is now.
"""

from collections.abc import Iterable, Mapping

from projections.tallies import add, health
from schemas.metrics import BUCKET_S, BUCKETS_KEPT, WINDOWS_MIN, Cell, Tally

LENGTHS = tuple(minutes * 60 // BUCKET_S for minutes in WINDOWS_MIN)
HISTORIES = ("method", "segment")
_NOTHING: Tally = {}


class RollingWindows:
    def __init__(self, now: int) -> None:
        self.now = now
        self.touched: set[Cell] = set()
        """Whose windows may have changed; for the reader to clear."""
        self._buckets: dict[int, dict[Cell, Tally]] = {}
        self._health: dict[int, dict[Cell, tuple[int, int]]] = {}
        self._sums: dict[Cell, tuple[Tally, ...]] = {}

    def put(self, bucket: int, cell: Cell, tally: Tally) -> None:
        """What the bucket holds of the cell from now on, instead of what it held."""
        if bucket <= self.now - BUCKETS_KEPT:
            return
        cells = self._buckets.setdefault(bucket, {})
        difference = dict(tally)
        add(difference, cells.get(cell, _NOTHING), -1)
        if tally:
            cells[cell] = dict(tally)
        else:
            cells.pop(cell, None)
        if cell.kind in HISTORIES:
            self._note_health(bucket, cell, tally)
        for place, length in enumerate(LENGTHS):
            if self.now - length < bucket <= self.now:
                self._shift(cell, place, difference, 1)

    def advance(self, now: int) -> None:
        """Time that goes back is taken to stand still."""
        if now - self.now > BUCKETS_KEPT:
            self._start_over(now)
        for moment in range(self.now + 1, now + 1):
            for cell, tally in self._buckets.get(moment, {}).items():
                for place in range(len(LENGTHS)):
                    self._shift(cell, place, tally, 1)
            for place, length in enumerate(LENGTHS):
                self._leave(moment - length, place)
        self.now = max(self.now, now)
        for bucket in [bucket for bucket in self._buckets if bucket <= self.now - BUCKETS_KEPT]:
            del self._buckets[bucket]
            self._health.pop(bucket, None)

    def cells(self) -> Iterable[Cell]:
        """Those with anything within the hour."""
        return self._sums.keys()

    def sums(self, cell: Cell) -> tuple[Mapping[str, int], ...]:
        """Of each window, in the order of WINDOWS_MIN."""
        return self._sums.get(cell) or (_NOTHING,) * len(LENGTHS)

    def history(self, cell: Cell) -> tuple[tuple[int, int, int], ...]:
        """(bucket, succeeded, failed) of the hour, the oldest first, of methods and segments that had anything."""
        return tuple(
            (bucket, *noted[cell])
            for bucket in range(self.now - BUCKETS_KEPT + 1, self.now + 1)
            if (noted := self._health.get(bucket)) and cell in noted
        )

    def _note_health(self, bucket: int, cell: Cell, tally: Tally) -> None:
        """Once for each change: a tally has a hundred latencies, and an hour 360 tallies."""
        noted = self._health.setdefault(bucket, {})
        succeeded, faults, doubts = health(tally)
        if succeeded or faults or doubts:
            noted[cell] = (succeeded, faults + doubts)
        else:
            noted.pop(cell, None)

    def _leave(self, bucket: int, place: int) -> None:
        for cell, tally in self._buckets.get(bucket, {}).items():
            self._shift(cell, place, tally, -1)

    def _shift(self, cell: Cell, place: int, tally: Mapping[str, int], times: int) -> None:
        sums = self._sums.get(cell)
        if sums is None:
            sums = self._sums[cell] = tuple({} for _ in LENGTHS)
        add(sums[place], tally, times)
        self.touched.add(cell)
        if not sums[-1] and not any(sums):
            del self._sums[cell]

    def _start_over(self, now: int) -> None:
        """Nothing of what the windows held is within them any more."""
        self.touched |= self._sums.keys()
        self._sums, self._health = {}, {}
        self.now = now
        for bucket in sorted(self._buckets):
            cells = self._buckets.pop(bucket)
            for cell, tally in cells.items():
                self.put(bucket, cell, tally)
