"""How late a projection is: for how long the oldest record that it has not taken in has been on the log.

Judged by two things, each of which can only say too much, so the lesser is right: the stamp of the last record taken
in, which is of long ago where nothing was appended since, and when we last saw a log that ended no further, which we
look at only now and then.
"""

from collections import deque
from collections.abc import Mapping

from schemas.views import Watermark

REMEMBERED = 120
"""Looks: a minute of them. Who is later than that is late enough."""


class Lateness:
    def __init__(self) -> None:
        self._looks: deque[tuple[float, Mapping[int, int]]] = deque(maxlen=REMEMBERED)

    def see(self, marks: Mapping[int, Watermark], ends: Mapping[int, int], now_ms: float) -> float:
        """In milliseconds, of the latest partition. The ends are those of a look after the watermarks."""
        late_ms = max(
            (
                min(max(0.0, now_ms - mark.last_stamp_ms), self._since_reached_ms(partition, mark, now_ms))
                for partition, mark in marks.items()
                if mark.next_offset < ends.get(partition, 0)
            ),
            default=0.0,
        )
        self._looks.append((now_ms, ends))
        return late_ms

    def _since_reached_ms(self, partition: int, mark: Watermark, now_ms: float) -> float:
        """Since a look whose end it has reached by now; where there is none nothing is known."""
        for seen_ms, ends in reversed(self._looks):
            if ends.get(partition, 0) <= mark.next_offset:
                return now_ms - seen_ms
        return float("inf")
