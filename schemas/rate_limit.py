"""How much a client may ask for, and what is left of it: the generic cell rate algorithm (ITU-T I.371) in its words.

A client has a moment until which it is *busy*; each request puts that moment off by one interval, and is refused where
it would come to lie further ahead than a burst takes. So there is one number per client, and no window to wait out.
"""

from math import ceil

from schemas.base import Value


class RateLimit(Value, frozen=True, kw_only=True):
    """A policy by its name, as clients see it."""

    name: str
    per_second: float
    burst: int
    """So many at once, of a client that was silent for long enough."""

    @property
    def interval_us(self) -> int:
        """Whole microseconds, so that Lua and Python count alike."""
        return round(1_000_000 / self.per_second)


class Allowance(Value, frozen=True, kw_only=True):
    """What became of one request. `spare_us` is what is left of the burst, as time; below zero it was refused."""

    limit: RateLimit
    spare_us: int

    @property
    def is_allowed(self) -> bool:
        return self.spare_us >= 0

    @property
    def remaining(self) -> int:
        return max(self.spare_us, 0) // self.limit.interval_us

    @property
    def more_after_s(self) -> int:
        """Whole seconds until one more request would be let through than now."""
        interval_us = self.limit.interval_us
        wait_us = interval_us - self.spare_us % interval_us if self.is_allowed else -self.spare_us
        return ceil(wait_us / 1_000_000)
