"""Leases of probes, in memory: the twin of those in Redis."""

from collections.abc import Callable

from schemas.circuit import CircuitView, lease_id
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod


class MemoryProbes:
    def __init__(self, elapsed_ms: Callable[[], float]) -> None:
        self._elapsed_ms = elapsed_ms
        self._until_ms: dict[tuple[GatewayId, PaymentMethod, str], float] = {}

    async def take(self, gateway: GatewayId, payment_method: PaymentMethod, view: CircuitView) -> str | None:
        for number in range(view.probes):
            lease = lease_id(view.trial, number)
            key = (gateway, payment_method, lease)
            if self._until_ms.get(key, 0.0) <= self._elapsed_ms():
                self._until_ms[key] = self._elapsed_ms() + view.probe_lease_s * 1000
                return lease
        return None
