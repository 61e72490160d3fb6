"""What the metrics worker tells of itself, beside what every projection does."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from projections.hot_metrics import HotMetrics
from streams.metrics_publisher import PublisherCounts


class HotMetricsMetrics(Collector):
    def __init__(self, metrics: HotMetrics, publisher: PublisherCounts) -> None:
        self._metrics = metrics
        self._publisher = publisher

    def collect(self) -> Iterable[Metric]:
        counts, shards = self._metrics.shard_counts, self._metrics.shards.values()
        outcomes = CounterMetricFamily(
            "hot_metrics_outcomes",
            "Outcomes that were counted, and those of too long ago or of the future.",
            labels=["result"],
        )
        outcomes.add_metric(["counted"], counts.counted)
        outcomes.add_metric(["out_of_range"], counts.out_of_range)
        yield outcomes
        yield CounterMetricFamily(
            "hot_metrics_cells_evicted",
            "Finer cells that left since there were too many.",
            value=counts.evicted,
        )
        yield GaugeMetricFamily(
            "hot_metrics_cells", "Cells in memory, of all shards.", value=sum(shard.cells for shard in shards)
        )
        yield CounterMetricFamily(
            "hot_metrics_publications", "Snapshots that were published.", value=self._publisher.published
        )
        yield CounterMetricFamily(
            "hot_metrics_publishing_seconds", "Time they took.", value=self._publisher.busy_ms / 1000
        )
        yield GaugeMetricFamily(
            "hot_metrics_publishes", "1 while this worker publishes.", value=self._publisher.leads
        )
