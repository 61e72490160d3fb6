"""Probes' leases in Redis: so many at once for a circuit's trial over all processes, each expiring by itself.

Redis may forget them: then a few probes more are let go, which the writer of the circuit does not count. It may be
away: then each process lets one go now and then, or no circuit would ever close again.
"""

import asyncio

import structlog

from infra.probes import LocalProbes
from infra.redis.connection import Client, unavailable
from infra.redis.scripts import script
from schemas.circuit import CircuitView, circuit_name, lease_id
from schemas.errors import StoreUnavailable
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod

log = structlog.get_logger(__name__)

WAIT_S = 0.1
"""A payment waits for it."""
ASKED_AGAIN_AFTER_S = 1.0
"""Or all payments would wait while Redis hangs, each for itself and in vain."""


class RedisProbes:
    def __init__(self, redis: Client, local: LocalProbes) -> None:
        self._take = script(redis, "probes")
        self._local = local
        self._away_until_ms: float | None = None

    async def take(self, gateway: GatewayId, payment_method: PaymentMethod, view: CircuitView) -> str | None:
        if self._is_away:
            return self._local.take((gateway, payment_method), view)
        is_trial = self._away_until_ms is not None
        if is_trial:
            self._leave_alone()  # meanwhile nobody else asks
        leases = f"probes:{{{circuit_name(gateway, payment_method)}}}:{view.trial}"
        try:
            with unavailable():
                async with asyncio.timeout(WAIT_S):
                    name = await self._take(keys=[leases], args=[view.probes, view.probe_lease_s * 1000])
        except StoreUnavailable as error:
            if is_trial or not self._is_away:  # of those that asked at the same time, one says so
                log.warning("nobody counts probes", reason=str(error))
                self._leave_alone()
            return self._local.take((gateway, payment_method), view)
        self._away_until_ms = None
        return None if name is None else lease_id(view.trial, int(name))

    @property
    def _is_away(self) -> bool:
        return self._away_until_ms is not None and self._local.elapsed_ms() < self._away_until_ms

    def _leave_alone(self) -> None:
        self._away_until_ms = self._local.elapsed_ms() + ASKED_AGAIN_AFTER_S * 1000
