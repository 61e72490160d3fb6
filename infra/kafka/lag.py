"""What consumer groups have committed, as their coordinator says."""

import asyncio
from contextlib import suppress

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.errors import LogUnavailable


class GroupOffsets:
    """One client, opened by the first question and replaced after a failure."""

    def __init__(self, bootstrap_servers: str, timeout_s: float = 2.0) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._timeout_s = timeout_s
        self._client: AIOKafkaAdminClient | None = None
        self._turn = asyncio.Lock()

    async def offsets(self, group: str) -> dict[tuple[str, int], int]:
        """The next offset by topic and partition; nothing where the group has committed nothing.

        Raises LogUnavailable.
        """
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                return await self._ask(group)
        except (TimeoutError, KafkaError, OSError) as error:
            raise LogUnavailable(f"no group offsets: {type(error).__name__}") from error

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(TimeoutError, KafkaError, OSError):
                async with asyncio.timeout(3):
                    await client.close()

    async def _ask(self, group: str) -> dict[tuple[str, int], int]:
        try:
            if self._client is None:
                self._client = AIOKafkaAdminClient(
                    bootstrap_servers=self._bootstrap_servers, request_timeout_ms=5000, retry_backoff_ms=50
                )
                await self._client.start()
            committed = await self._client.list_consumer_group_offsets(group)
        except BaseException:
            await self.stop()
            raise
        return {
            (place.topic, place.partition): found.offset
            for place, found in committed.items()
            if found.offset >= 0
        }
