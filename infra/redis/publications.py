"""What is published of hot metrics: written by whoever holds the lease, read by every API process.

Two who both believe that they hold it do no harm: each publishes the same sums, and a reader of snapshots keeps the
highest version.
"""

from collections.abc import Callable, Mapping

import msgspec

from infra.redis.connection import Client, unavailable
from infra.redis.scripts import script
from schemas.metrics import GATEWAY_KEY, PUBLISHED_KEY, SNAPSHOT_CHANNEL, SNAPSHOT_KEY, Published

LEASE_KEY = "metrics:publisher"
GATEWAYS_FOR_S = 60
"""What nobody publishes any more is not shown for longer: its windows have ended."""
SNAPSHOT_FOR_S = 3_600
FRESH_MS = 200.0
"""What was read from Redis is shown for so long."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Published).decode


class RedisPublications:
    """Raises StoreUnavailable."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._lease = script(redis, "lease")

    async def lead(self, name: str, for_ms: int) -> bool:
        """Take the lease, or keep it. False while it is somebody else's."""
        with unavailable():
            return bool(await self._lease(keys=[LEASE_KEY], args=[name, for_ms]))

    async def published(self) -> Published | None:
        """What was published last, if it was lately."""
        with unavailable():
            return _published(await self._redis.get(PUBLISHED_KEY))

    async def publish(self, published: Published, gateways: Mapping[str, bytes], snapshot: bytes) -> None:
        with unavailable():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for gateway, figures in gateways.items():
                    pipeline.set(GATEWAY_KEY + gateway, figures, ex=GATEWAYS_FOR_S)
                pipeline.set(SNAPSHOT_KEY, snapshot, ex=SNAPSHOT_FOR_S)
                pipeline.publish(SNAPSHOT_CHANNEL, snapshot)
                pipeline.set(PUBLISHED_KEY, _encode(published), ex=GATEWAYS_FOR_S)
                await pipeline.execute()


class PublishedMetrics:
    """As the API reads them, from Redis at most every FRESH_MS for each gateway. Raises StoreUnavailable."""

    def __init__(self, redis: Client, elapsed_ms: Callable[[], float]) -> None:
        self._redis = redis
        self._elapsed_ms = elapsed_ms
        self._known: dict[str, tuple[float, bytes | None, Published | None]] = {}

    async def figures(self, gateway: str) -> tuple[bytes | None, Published | None]:
        """JSON of GatewayFigures, None for a gateway that has none; and what was published last, None when nothing
        was lately. For gateways that exist only: each is remembered."""
        read_ms, figures, published = self._known.get(gateway, (-FRESH_MS, None, None))
        now_ms = self._elapsed_ms()
        if now_ms - read_ms >= FRESH_MS:
            with unavailable():
                async with self._redis.pipeline(transaction=False) as pipeline:
                    pipeline.get(GATEWAY_KEY + gateway)
                    pipeline.get(PUBLISHED_KEY)
                    figures, told = await pipeline.execute()
            published = _published(told)
            self._known[gateway] = (now_ms, figures, published)
        return figures, published


def _published(text: bytes | None) -> Published | None:
    return _decode(text) if text else None
