"""Rate limits of one process: what Redis does for all of them, and what stands in for it while it is away."""

from collections import OrderedDict
from collections.abc import Callable

from schemas.rate_limit import Allowance, RateLimit

REMEMBERED = 65_536
"""Clients; whoever was silent for longest is forgotten first, and has a whole burst again."""


class LocalRateLimits:
    def __init__(self, elapsed_ms: Callable[[], float]) -> None:
        self._elapsed_ms = elapsed_ms
        self._busy_until_us: OrderedDict[str, int] = OrderedDict()

    async def take(self, client: str, limit: RateLimit) -> Allowance:
        return self.taken(client, limit)

    def taken(self, client: str, limit: RateLimit) -> Allowance:
        now_us = int(self._elapsed_ms() * 1000)
        key = f"{limit.name}:{client}"
        busy_until_us = max(self._busy_until_us.get(key, now_us), now_us) + limit.interval_us
        allowance = Allowance(limit=limit, spare_us=now_us + limit.burst * limit.interval_us - busy_until_us)
        if allowance.is_allowed:
            self._remember(key, busy_until_us)
        return allowance

    def heard(self, client: str, allowance: Allowance) -> None:
        """What others counted: whoever has used up his burst has no second one here when they are away."""
        limit, spare_us = allowance.limit, max(allowance.spare_us, 0)
        now_us = int(self._elapsed_ms() * 1000)
        self._remember(f"{limit.name}:{client}", now_us + limit.burst * limit.interval_us - spare_us)

    def _remember(self, key: str, busy_until_us: int) -> None:
        self._busy_until_us[key] = busy_until_us
        self._busy_until_us.move_to_end(key)
        if len(self._busy_until_us) > REMEMBERED:
            self._busy_until_us.popitem(last=False)
