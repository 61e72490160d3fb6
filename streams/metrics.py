"""The numbers of a projection, read when they are asked for."""

from collections.abc import Callable, Iterable

from msgspec.structs import asdict
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from projections.absorption import Counts
from streams.watchdog import Watchdog


class ProjectionMetrics(Collector):
    def __init__(self, name: str, counts: Counts, watchdog: Watchdog, now_ms: Callable[[], float]) -> None:
        self._name = name
        self._counts = counts
        self._watchdog = watchdog
        self._now_ms = now_ms

    def collect(self) -> Iterable[Metric]:
        records = CounterMetricFamily(
            "projection_records", "Records by what became of them.", labels=["projection", "result"]
        )
        for result, count in asdict(self._counts).items():
            records.add_metric([self._name, result], count)
        yield records
        labels = ["projection", "partition"]
        offset = GaugeMetricFamily("projection_next_offset", "The watermark.", labels=labels)
        lag = GaugeMetricFamily("projection_lag_records", "Records not yet taken in.", labels=labels)
        time_lag = GaugeMetricFamily(
            "projection_lag_seconds", "Age of the newest record taken in, 0 without a lag.", labels=labels
        )
        for partition, progress in self._watchdog.progress.items():
            where = [self._name, str(partition)]
            offset.add_metric(where, progress.next_offset)
            lag.add_metric(where, progress.lag)
            behind_ms = self._now_ms() - progress.last_stamp_ms if progress.lag else 0
            time_lag.add_metric(where, max(0.0, behind_ms / 1000))
        yield from (offset, lag, time_lag)
