"""Rate limits in Redis: all processes count the same client together, by Redis's clock.

Requests of the same moment share one round trip: while one is on its way, the next ones gather. Redis may be away: then
each process limits for itself, at once, so that nobody waits and nobody is let through without limit.
"""

import asyncio
import hmac
from hashlib import sha1
from pathlib import Path

import structlog
from redis.exceptions import NoScriptError

from infra.memory.rate_limits import LocalRateLimits
from infra.metrics import RATE_LIMIT_CHECKS
from infra.redis.absence import Absence
from infra.redis.connection import Client
from schemas.rate_limit import Allowance, RateLimit

log = structlog.get_logger(__name__)

WAIT_S = 0.1
"""Every request waits for it."""
_BATCH_SIZE = 256
_LUA = Path(__file__).with_name("rate_limit.lua").read_text()
_SHA = sha1(_LUA.encode()).hexdigest()

_SHARED, _LOCAL = RATE_LIMIT_CHECKS.labels("redis"), RATE_LIMIT_CHECKS.labels("process")

_Waiting = tuple[str, RateLimit, "asyncio.Future[Allowance]"]


class RedisRateLimits:
    def __init__(
        self,
        redis: Client,
        local: LocalRateLimits,
        absence: Absence,
        secret: str,
        wait_s: float = WAIT_S,
    ) -> None:
        self._redis = redis
        self._local = local
        self._absence = absence
        self._secret = secret.encode()
        self._wait_s = wait_s
        self._waiting: list[_Waiting] = []
        self._asking: asyncio.Task[None] | None = None

    @property
    def are_shared(self) -> bool:
        return not self._absence.is_on

    async def take(self, client: str, limit: RateLimit) -> Allowance:
        if self._absence.is_on:
            return self._taken_locally(client, limit)
        future: asyncio.Future[Allowance] = asyncio.get_running_loop().create_future()
        self._waiting.append((client, limit, future))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await future

    async def _ask(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH_SIZE], self._waiting[_BATCH_SIZE:]
            is_trial = self._absence.try_again()
            try:
                async with asyncio.timeout(self._wait_s):
                    spare_us = await self._taken(batch)
            except Exception as error:  # whatever it is, those who wait must be answered
                if self._absence.noted(is_trial):
                    log.warning("each process limits for itself", reason=type(error).__name__)
                self._answer_locally(batch + self._waiting)
                self._waiting = []
                return
            self._absence.ended()
            _SHARED.inc(len(batch))
            for (client, limit, future), spare in zip(batch, spare_us, strict=True):
                allowance = Allowance(limit=limit, spare_us=spare)
                self._local.heard(client, allowance)
                if not future.done():
                    future.set_result(allowance)

    async def _taken(self, batch: list[_Waiting]) -> list[int]:
        """A pipeline of scripts cannot send one whole when Redis has forgotten it, as after a restart."""
        try:
            return await self._counted(batch)
        except NoScriptError:
            await self._redis.script_load(_LUA)
            return await self._counted(batch)

    async def _counted(self, batch: list[_Waiting]) -> list[int]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for client, limit, _ in batch:
                pipeline.evalsha(_SHA, 1, self.key(client, limit), limit.interval_us, limit.burst)
            spare_us: list[int] = await pipeline.execute()
            return spare_us

    def key(self, client: str, limit: RateLimit) -> str:
        """A client is an address, which is a person's: Redis has a hash of it that nobody can try out."""
        digest = hmac.digest(self._secret, client.encode(), "sha256")
        return f"limit:{limit.name}:{digest.hex()[:24]}"

    def _answer_locally(self, waiting: list[_Waiting]) -> None:
        for client, limit, future in waiting:
            if not future.done():
                future.set_result(self._taken_locally(client, limit))

    def _taken_locally(self, client: str, limit: RateLimit) -> Allowance:
        _LOCAL.inc()
        return self._local.taken(client, limit)
