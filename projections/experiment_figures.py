"""The figures of one arm, from its tally."""

from collections.abc import Sequence

import numpy as np

from projections.contributions import COST_UNIT
from projections.experiment_answer import (
    CostAnswer,
    LatencyAnswer,
    RateAnswer,
    SixSums,
    SumsAnswer,
    VariantAnswer,
)
from projections.sketch import quantiles
from projections.statistics.clustered import clustered_rate
from projections.statistics.effective import counts
from projections.statistics.latency import LOG_UNIT
from projections.statistics.outstanding import Outstanding
from projections.statistics.proportions import rate_interval
from projections.statistics.results import Interval, number
from projections.statistics.sums import Numbers, Sums, scaled
from schemas.experiment import Variant
from schemas.exposure import Tally

CONFIDENCE = 0.95
ANY, FIRST = "any_attempt_success", "first_attempt_success"


def success_sums(tally: Tally, metric: str) -> Sums:
    return _in_floats(_six_of_success(tally, metric))


def log_latency_sums(tally: Tally) -> Sums:
    """Of ln(milliseconds)."""
    return scaled(_in_floats(_six_of_latency(tally)), LOG_UNIT)


def _six_of_success(tally: Tally, metric: str) -> SixSums:
    of = "first_succeeded" if metric == FIRST else "succeeded"
    return (
        tally["customers"],
        tally["payments"],
        tally[of],
        tally["payments_squared"],
        tally[f"{of}_squared"],
        tally[f"{of}_product"],
    )


def _six_of_latency(tally: Tally) -> SixSums:
    return (
        tally["timed_customers"],
        tally["timed"],
        tally["log"],
        tally["timed_squared"],
        tally["log_squared"],
        tally["log_product"],
    )


def _in_floats(six: SixSums) -> Sums:
    """Squares outgrow the integers of numpy."""
    return Sums(*map(float, six))


def outstanding(tally: Tally) -> Outstanding:
    return Outstanding(
        awaiting=tally["exposed"] - tally["payments"], in_doubt=tally["unknown"] + tally["in_review"]
    )


def variant_figures(
    variant: Variant, tally: Tally, tallies: Sequence[Tally], *, is_control: bool
) -> VariantAnswer:
    """`tallies` of all variants."""
    return VariantAnswer(
        variant=variant.name,
        is_control=is_control,
        weight=variant.weight,
        customers_assigned=tally["assigned"],
        customers=tally["customers"],
        payments_exposed=tally["exposed"],
        payments=tally["payments"],
        independent_customers=number(success_sums(tally, ANY).independent_customers),
        any_attempt_success=rate_figures(tally, tallies, ANY),
        first_attempt_success=rate_figures(tally, tallies, FIRST),
        latency=latency_figures(tally),
        costs=tuple(_costs(tally)),
        awaiting_share=_share(outstanding(tally).awaiting, tally["exposed"]),
        unknown_share=_share(tally["unknown"], tally["payments"]),
        in_review_share=_share(tally["in_review"], tally["payments"]),
        given_back_share=_share(tally["given_back"], tally["payments"]),
        sums=SumsAnswer(
            any_attempt_success=_six_of_success(tally, ANY),
            first_attempt_success=_six_of_success(tally, FIRST),
            log_latency=_six_of_latency(tally),
            awaiting=int(outstanding(tally).awaiting),
            in_doubt=int(outstanding(tally).in_doubt),
            latency_bins=dict(sorted(latency_bins(tally).items())),
        ),
    )


def rate_figures(tally: Tally, tallies: Sequence[Tally], metric: str) -> RateAnswer:
    """Of one of all variants."""
    sums = success_sums(tally, metric)
    found = clustered_rate(sums, [success_sums(one, metric) for one in tallies], CONFIDENCE)
    return RateAnswer(
        clustered=found.rate,
        naive=_share(sums.total, sums.payments),
        design_effect=found.design_effect,
    )


def _share(some: Numbers, of: Numbers) -> Interval:
    of_all = counts(some, of)
    if not of_all.trials:
        return Interval(method="wilson_score", estimate=None, lower=0.0, upper=1.0, confidence=CONFIDENCE)
    return rate_interval(of_all, CONFIDENCE)


def latency_figures(tally: Tally) -> LatencyAnswer:
    p50, p90, p95, p99 = quantiles(latency_bins(tally), (0.5, 0.9, 0.95, 0.99))
    return LatencyAnswer(
        method="log_sketch_within_1_percent",
        payments=tally["timed"],
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        geometric_mean_ms=number(np.exp(log_latency_sums(tally).rate)),
    )


def latency_bins(tally: Tally) -> dict[int, int]:
    return {
        int(name.partition(":")[2]): count
        for name, count in tally.items()
        if count > 0 and name.startswith("latency:")
    }


def _costs(tally: Tally) -> list[CostAnswer]:
    kinds = ("charged:", "given_back:")
    currencies = {name.partition(":")[2] for name, sum_ in tally.items() if sum_ and name.startswith(kinds)}
    return [_cost(tally, currency) for currency in sorted(currencies)]


def _cost(tally: Tally, currency: str) -> CostAnswer:
    charged_minor, cost_minor = tally[f"charged:{currency}"], tally[f"cost:{currency}"] * COST_UNIT
    return CostAnswer(
        method="sum_of_fees_of_charging_gateways",
        currency=currency,
        charged_minor=charged_minor,
        cost_minor=cost_minor,
        cost_share=cost_minor / charged_minor if charged_minor else None,
        given_back_minor=tally[f"given_back:{currency}"],
    )
