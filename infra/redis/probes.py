"""Probes' leases in Redis: so many at once for a circuit's trial over all processes, each expiring by itself.

Redis may forget them: then a few probes more are let go, which the writer of the circuit does not count. It may be
away: then each process lets one go now and then, or no circuit would ever close again.
"""

import asyncio

import structlog

from infra.probes import LocalProbes
from infra.redis.absence import Absence
from infra.redis.connection import Client, unavailable
from infra.redis.scripts import script
from schemas.circuit import CircuitView, circuit_name, lease_id
from schemas.errors import StoreUnavailable
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod

log = structlog.get_logger(__name__)

WAIT_S = 0.1
"""A payment waits for it."""


class RedisProbes:
    def __init__(self, redis: Client, local: LocalProbes, wait_s: float = WAIT_S) -> None:
        self._take = script(redis, "probes")
        self._local = local
        self._wait_s = wait_s
        self._absence = Absence(local.elapsed_ms)

    async def take(self, gateway: GatewayId, payment_method: PaymentMethod, view: CircuitView) -> str | None:
        if self._absence.is_on:
            return self._local.take((gateway, payment_method), view)
        is_trial = self._absence.try_again()
        leases = f"probes:{{{circuit_name(gateway, payment_method)}}}:{view.trial}"
        try:
            with unavailable():
                async with asyncio.timeout(self._wait_s):
                    name = await self._take(keys=[leases], args=[view.probes, view.probe_lease_s * 1000])
        except StoreUnavailable as error:
            if self._absence.noted(is_trial):
                log.warning("nobody counts probes", reason=str(error))
            return self._local.take((gateway, payment_method), view)
        self._absence.ended()
        return None if name is None else lease_id(view.trial, int(name))
