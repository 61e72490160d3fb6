"""Whether one partition's consumer moves: its watermark must advance while the log grows."""

from typing import Literal

LAGGING_AFTER_MS = 5_000
STALLED_AFTER_MS = 10_000

LagStatus = Literal["OK", "LAGGING", "STALLED"]


class Progress:
    """What one partition's consumer did while it was watched.

    It is behind since the moment at which an end it has not reached yet was first seen; at the first sight, since
    the stamp of the last record that it applied.
    """

    def __init__(self, position: int, end: int, now_ms: int, behind_since_ms: int) -> None:
        self._position = position
        self._target = end
        self._moved_ms = now_ms
        self._behind_since_ms = behind_since_ms

    def see(self, position: int, end: int, now_ms: int) -> None:
        if position != self._position or position >= self._target:
            self._position, self._moved_ms = position, now_ms
        if position >= self._target:
            self._target, self._behind_since_ms = end, now_ms

    def time_lag_ms(self, now_ms: int) -> int:
        return max(0, now_ms - self._behind_since_ms) if self._position < self._target else 0

    def still_ms(self, now_ms: int) -> int:
        """Since when it has not moved though there is something before it."""
        return max(0, now_ms - self._moved_ms) if self._position < self._target else 0

    def status(self, now_ms: int) -> LagStatus:
        if self._position >= self._target:
            return "OK"
        if self.still_ms(now_ms) > STALLED_AFTER_MS:
            return "STALLED"
        return "LAGGING" if self.time_lag_ms(now_ms) > LAGGING_AFTER_MS else "OK"
