"""Probes' leases in memory, of as many processes as share a `MemoryLeases`."""

from collections.abc import Callable
from typing import NamedTuple

from infra.probes import LocalProbes
from schemas.circuit import CircuitView, lease_id
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod


class Trial(NamedTuple):
    gateway: GatewayId
    payment_method: PaymentMethod
    number: int


class MemoryLeases:
    """What all processes share."""

    def __init__(self) -> None:
        self.is_away = False
        self.given = 0
        self.end_ms: dict[Trial, list[float]] = {}


class MemoryProbes:
    def __init__(self, leases: MemoryLeases, local: LocalProbes, elapsed_ms: Callable[[], float]) -> None:
        self._leases = leases
        self._local = local
        self._elapsed_ms = elapsed_ms

    async def take(self, gateway: GatewayId, payment_method: PaymentMethod, view: CircuitView) -> str | None:
        if self._leases.is_away:
            return self._local.take((gateway, payment_method), view)
        trial, now_ms = Trial(gateway, payment_method, view.trial), self._elapsed_ms()
        out = [end_ms for end_ms in self._leases.end_ms.get(trial, ()) if end_ms > now_ms]
        if len(out) >= view.probes:
            return None
        self._leases.end_ms[trial] = [*out, now_ms + view.probe_lease_s * 1000]
        self._leases.given += 1
        return lease_id(view.trial, self._leases.given)
