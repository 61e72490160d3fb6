"""The numbers of webhooks: what waits, counted now and then by the store, and what attempts came to here."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from schemas.delivery import DeliveryBacklog
from schemas.errors import StoreUnavailable
from streams.webhook_dispatch import Dispatch

COUNT_EVERY_S = 10.0
PREFIX = "payments_gateway_webhook_"


class WebhookMetrics(Collector):
    """The backlog's numbers are left out while the store is away."""

    def __init__(self, count: Callable[[], Awaitable[DeliveryBacklog]], dispatch: Dispatch) -> None:
        self._count = count
        self._dispatch = dispatch
        self.backlog: DeliveryBacklog | None = None

    async def watch(self) -> None:
        while True:
            try:
                self.backlog = await self._count()
            except StoreUnavailable:
                self.backlog = None
            await asyncio.sleep(COUNT_EVERY_S)

    def collect(self) -> Iterable[Metric]:
        attempts = CounterMetricFamily(
            f"{PREFIX}attempts", "Attempts of this dispatcher, by what they came to.", labels=["result"]
        )
        for result, count in self._dispatch.counted.items():
            attempts.add_metric([result], count)
        yield attempts
        yield _gauge("in_flight", "Attempts that have not ended yet.", self._dispatch.in_flight)
        if self.backlog is not None:
            yield _gauge("waiting", "Deliveries that wait, or are being attempted.", self.backlog.waiting)
            yield _gauge(
                "oldest_waiting_seconds",
                "Since when the first of them is due; 0 for none.",
                self.backlog.oldest_waiting_s,
            )
            yield _gauge("dead", "Deliveries that were given up, and are kept.", self.backlog.dead)
            yield _gauge(
                "endpoints_paused",
                "Endpoints that failed in a row, and are left alone.",
                self.backlog.endpoints_paused,
            )


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, what, value=value)
