"""What the analyzer tells of running and paused experiments, as it looked at them last."""

from collections.abc import Callable, Iterable
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from projections.statistics.verdict import Verdict
from streams.experiment_analysis import Analysis


class ExperimentMetrics(Collector):
    def __init__(self, analysis: Analysis, now: Callable[[], datetime]) -> None:
        self._analysis = analysis
        self._now = now

    def collect(self) -> Iterable[Metric]:
        verdicts = GaugeMetricFamily(
            "payments_gateway_experiment_verdict",
            "1 for the verdict that a running or paused experiment has, 0 for the others.",
            labels=["experiment", "verdict"],
        )
        mismatch = GaugeMetricFamily(
            "payments_gateway_experiment_split_is_broken",
            "1 while customers are not split as configured: somebody has to find out why.",
            labels=["experiment"],
        )
        for experiment_id, look in self._analysis.looks.items():
            for verdict in Verdict:
                is_it = float(look.judgement.verdict == verdict)
                verdicts.add_metric([experiment_id, verdict], is_it)
            mismatch.add_metric([experiment_id], float(look.judgement.sample_ratio.is_mismatch))
        paused = GaugeMetricFamily(
            "payments_gateway_experiment_paused_seconds",
            "For how long a paused experiment has waited for somebody to resume or to stop it.",
            labels=["experiment"],
        )
        for experiment_id, since in self._analysis.paused_since.items():
            paused.add_metric([experiment_id], max(0.0, (self._now() - since).total_seconds()))
        judged = GaugeMetricFamily(
            "payments_gateway_experiments_judged_seconds_ago",
            "Since experiments were judged last, by any analyzer; since this one's start, where it knows of none.",
            self._analysis.judged_s_ago,
        )
        yield from (verdicts, mismatch, paused, judged)
        acted = CounterMetricFamily(
            "payments_gateway_experiment_acts", "Events of this analyzer that count.", labels=["event"]
        )
        for event, times in self._analysis.acted.items():
            acted.add_metric([event], times)
        yield acted
