"""Probes' leases in Redis: so many at once for a circuit's trial over all processes, each expiring by itself.

Redis may forget them: then a few probes more are let go, which the writer of the circuit does not count. It may be
away: then each process lets one go now and then, or no circuit would ever close again.
"""

import asyncio
from pathlib import Path
from typing import Any

import structlog
from redis.exceptions import RedisError

from infra.probes import LocalProbes
from schemas.circuit import CircuitView, circuit_name, lease_id
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod

log = structlog.get_logger(__name__)

WAIT_S = 0.1
"""A payment waits for it."""

Client = Any
"""Its own types leave open whether an answer is awaited."""


class RedisProbes:
    def __init__(self, redis: Client, local: LocalProbes) -> None:
        self._take = redis.register_script(Path(__file__).with_suffix(".lua").read_text())
        self._local = local

    async def take(self, gateway: GatewayId, payment_method: PaymentMethod, view: CircuitView) -> str | None:
        circuit = circuit_name(gateway, payment_method)
        leases = f"probes:{{{circuit}}}:{view.trial}"
        try:
            async with asyncio.timeout(WAIT_S):
                name = await self._take(keys=[leases], args=[view.probes, view.probe_lease_s * 1000])
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("nobody counts probes", circuit=circuit, reason=type(error).__name__)
            return self._local.take((gateway, payment_method), view)
        return None if name is None else lease_id(view.trial, int(name))
