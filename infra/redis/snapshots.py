"""The snapshot that routing believes in, as it is published: pushed, and asked for where no push comes."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from infra.redis.connection import Client, unavailable
from schemas.errors import StoreUnavailable
from schemas.metrics import SNAPSHOT_CHANNEL, SNAPSHOT_KEY, RoutingSnapshot

log = structlog.get_logger(__name__)

ASK_AFTER_S = 0.25
"""Without a push for so long, the newest is asked for: pushes may be lost."""
RETRY_S = 0.5

_decoder = msgspec.msgpack.Decoder(RoutingSnapshot)


class SnapshotFeed:
    """Gives every snapshot that is newer than the last one to `take`. Redis may come and go; the last one stays."""

    def __init__(self, redis: Client, take: Callable[[RoutingSnapshot], None]) -> None:
        self._redis = redis
        self._take = take
        self._version = -1
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                await self._listen()
            except StoreUnavailable as error:
                log.warning("no snapshot", reason=str(error))
            except Exception:  # one snapshot that cannot be made sense of must not be the last one
                log.exception("a snapshot was not taken")
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        with unavailable():
            async with self._redis.pubsub(ignore_subscribe_messages=True) as pushes:
                await pushes.subscribe(SNAPSHOT_CHANNEL)
                while True:
                    message = await pushes.get_message(timeout=ASK_AFTER_S)
                    self._hear(message["data"] if message else await self._redis.get(SNAPSHOT_KEY))

    def _hear(self, content: bytes | None) -> None:
        if content is None:
            return
        try:
            snapshot = _decoder.decode(content)
        except msgspec.DecodeError as error:
            log.error("a snapshot cannot be read", reason=str(error))
            return
        if snapshot.version > self._version:
            self._take(snapshot)
            self._version = snapshot.version
