"""How far behind the log what is published is: not by whose clock it was published, but by what was folded."""

from collections.abc import Mapping

from schemas.metrics import WINDOWS_MIN
from schemas.views import Watermark

NOTHING_YET = Watermark(next_offset=-1, last_stamp_ms=0)
MOST_MS = WINDOWS_MIN[-1] * 60_000
"""Who is further behind than the windows reach has nothing of what they show."""


def reaches(marks: Mapping[int, Watermark], ends: Mapping[int, int]) -> bool:
    """Whether everything below these offsets was folded."""
    return all(marks.get(partition, NOTHING_YET).next_offset >= end for partition, end in ends.items() if end)


def behind_ms(looked_ms: int, ends: Mapping[int, int], marks: Mapping[int, Watermark]) -> int:
    """Up to the moment of the look everything was folded, but for so much. A partition is as far as its last record
    that was, one that reached the end that was seen is as far as the look."""
    stamps = [
        mark.last_stamp_ms
        for partition, end in ends.items()
        if (mark := marks.get(partition, NOTHING_YET)).next_offset < end and end > 0
    ]
    return min(MOST_MS, max(0, looked_ms - min(stamps))) if stamps else 0
