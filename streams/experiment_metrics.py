"""What the analyzer tells of running experiments, as it judged them last."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from projections.statistics.verdict import Verdict
from streams.experiment_analysis import Analysis


class ExperimentMetrics(Collector):
    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis

    def collect(self) -> Iterable[Metric]:
        verdicts = GaugeMetricFamily(
            "payments_gateway_experiment_verdict",
            "1 for the verdict that a running experiment has, 0 for the others.",
            labels=["experiment", "verdict"],
        )
        mismatch = GaugeMetricFamily(
            "payments_gateway_experiment_split_is_broken",
            "1 while customers are not split as configured.",
            labels=["experiment"],
        )
        for experiment_id, judged in self._analysis.judged.items():
            for verdict in Verdict:
                is_it = float(judged.judgement.verdict == verdict)
                verdicts.add_metric([experiment_id, verdict], is_it)
            mismatch.add_metric([experiment_id], float(judged.judgement.sample_ratio.is_mismatch))
        yield from (verdicts, mismatch)
        acted = CounterMetricFamily(
            "payments_gateway_experiment_acts", "Events of this analyzer.", labels=["event"]
        )
        for event, times in self._analysis.acted.items():
            acted.add_metric([event], times)
        yield acted
