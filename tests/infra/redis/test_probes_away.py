"""A Redis that is away is asked once a second, and once a second somebody says so."""

import asyncio
from collections.abc import Sequence

from redis.exceptions import ConnectionError
from structlog.testing import capture_logs

from infra.probes import LocalProbes
from infra.redis.probes import RedisProbes
from schemas.circuit import CircuitView
from schemas.ids import GatewayId

ALPHA = GatewayId("alpha")
TRIAL = CircuitView(status="HALF_OPEN", trial=3, probes=5, probe_lease_s=1)


class Redis:
    def __init__(self) -> None:
        self.now_ms = 0.0
        self.asked = 0
        self.is_away = True

    def register_script(self, text: str) -> "Redis":
        return self

    async def __call__(self, keys: Sequence[str], args: Sequence[object]) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise ConnectionError("refused")
        return b"7"


async def test_while_redis_is_away_it_is_asked_once_a_second_and_said_so() -> None:
    redis = Redis()
    probes = RedisProbes(redis, LocalProbes("p", lambda: redis.now_ms))

    async def payments() -> list[str | None]:
        return await asyncio.gather(*(probes.take(ALPHA, "UPI", TRIAL) for _ in range(5)))

    with capture_logs() as logged:
        assert await payments() == ["3.local-p-1", None, None, None, None]
        assert (redis.asked, len(logged)) == (5, 1)
        redis.now_ms = 999
        await payments()
        assert (redis.asked, len(logged)) == (5, 1)
        redis.now_ms = 1_000
        await payments()
        assert (redis.asked, len(logged)) == (6, 2)
    redis.now_ms, redis.is_away = 2_000, False
    assert await payments() == ["3.7", None, None, None, None]
    assert await payments() == ["3.7"] * 5
