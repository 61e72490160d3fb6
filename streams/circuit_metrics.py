"""The numbers of circuits: what each is now, as everybody knows it, and how often this writer has changed it."""

from collections.abc import Iterable, Mapping
from typing import Protocol, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from schemas.circuit import CircuitKey, CircuitStatus, CircuitView

_STATUSES = get_args(CircuitStatus)


class Facts(Protocol):
    @property
    def views(self) -> Mapping[CircuitKey, CircuitView]: ...


class CircuitMetrics(Collector):
    def __init__(self, facts: Facts, transitions: Mapping[tuple[CircuitKey, str], int]) -> None:
        self._facts = facts
        self._transitions = transitions

    def collect(self) -> Iterable[Metric]:
        state = GaugeMetricFamily(
            "payments_gateway_circuit_state",
            "1 for the status that a circuit has, 0 for the others.",
            labels=["gateway", "payment_method", "status"],
        )
        for key, view in self._facts.views.items():
            for status in _STATUSES:
                state.add_metric([*key, status], float(view.status == status))
        yield state
        told = CounterMetricFamily(
            "payments_gateway_circuit_transitions",
            "Events that this writer has told.",
            labels=["gateway", "payment_method", "event"],
        )
        for (key, event), times in self._transitions.items():
            told.add_metric([*key, event], times)
        yield told
