"""Leases of one process, for when nobody can count those of all: one per circuit and interval."""

from collections.abc import Callable

from schemas.circuit import CircuitKey, CircuitView, lease_id

LOCAL_PROBE_EVERY_S = 10.0
"""Ten processes then let one go every second, and a trial needs five."""


class LocalProbes:
    """`name` tells this process from all others, so that its leases are nobody else's."""

    def __init__(self, name: str, elapsed_ms: Callable[[], float]) -> None:
        self._name = name
        self.elapsed_ms = elapsed_ms
        self._taken_ms: dict[CircuitKey, float] = {}
        self._given = 0

    def take(self, circuit: CircuitKey, view: CircuitView) -> str | None:
        now_ms, last_ms = self.elapsed_ms(), self._taken_ms.get(circuit)
        if last_ms is not None and now_ms - last_ms < LOCAL_PROBE_EVERY_S * 1000:
            return None
        self._taken_ms[circuit] = now_ms
        self._given += 1
        return lease_id(view.trial, f"local-{self._name}-{self._given}")
