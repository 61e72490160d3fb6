"""An experiment's results, from the tallies of its arms alone: whoever has those can check every figure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from projections.experiment_answer import (
    ComparisonAnswer,
    CostAnswer,
    HarmAnswer,
    LatencyAnswer,
    PowerAnswer,
    RateAnswer,
    ResultsAnswer,
    SlownessAnswer,
    Status,
    TreatmentAnswer,
    TreatmentVerdict,
    VariantAnswer,
    WinnerAnswer,
    WinningAnswer,
)
from projections.experiments import COST_UNIT
from projections.sketch import BIN_LOG, quantiles
from projections.statistics.clustered import clustered
from projections.statistics.effective import Counts, counts, design_effect, effective
from projections.statistics.holm import holm
from projections.statistics.intervals import newcombe, wilson
from projections.statistics.judge import judge
from projections.statistics.latency import LOG_UNIT
from projections.statistics.normal import critical
from projections.statistics.power import least_difference, remaining_days
from projections.statistics.proportions import proportions, rate_interval
from projections.statistics.ranks import Ranks, ranks
from projections.statistics.results import Interval, number
from projections.statistics.sequential import sequential
from projections.statistics.sums import Sums, scaled, variance
from projections.statistics.verdict import Arm, Judged, Judgement, Rules, Verdict
from schemas.experiment import Design, Evidence, Guardrails, Variant
from schemas.exposure import Tally
from schemas.ids import ExperimentId

CONFIDENCE = 0.95
POWER = 0.8
_DAY_S = 86_400.0
_ANY, _FIRST = "any_attempt_success", "first_attempt_success"


class Known(NamedTuple):
    """What is known of an experiment beside its figures."""

    experiment_id: ExperimentId
    design: Design
    status: Status
    started_at: datetime
    ended_at: datetime | None
    """When it was paused or ended; None while it runs."""
    acted_on: Evidence | None


def rules_of(design: Design, limits: Guardrails) -> Rules:
    """The design's own guardrails, and where it has none the service's."""
    own, usual = design.guardrails, Rules(planned_customers=design.planned_customers)
    return Rules(
        planned_customers=design.planned_customers,
        min_samples=own.min_samples or limits.min_samples or usual.min_samples,
        max_success_drop=own.max_success_drop or limits.max_success_drop or usual.max_success_drop,
        max_latency_multiplier=own.max_latency_multiplier
        or limits.max_latency_multiplier
        or usual.max_latency_multiplier,
    )


def success_sums(tally: Tally, metric: str) -> Sums:
    of = "first_succeeded" if metric == _FIRST else "succeeded"
    return _sums(tally, "customers", "payments", of, "payments_squared", f"{of}_squared", f"{of}_product")


def log_latency_sums(tally: Tally) -> Sums:
    """Of ln(milliseconds)."""
    names = ("timed_customers", "timed", "log", "timed_squared", "log_squared", "log_product")
    return scaled(_sums(tally, *names), LOG_UNIT)


def _sums(tally: Tally, *names: str) -> Sums:
    """In floats: squares outgrow the integers of numpy."""
    return Sums(*(float(tally[name]) for name in names))


def judged(design: Design, tallies: Mapping[str, Tally], rules: Rules) -> Judgement:
    """Treatments without any weight are not compared."""
    arms = [_arm(design, variant, tallies.get(variant.name, Tally())) for variant in design.variants]
    return judge(arms[0], [arm for arm in arms[1:] if arm.weight], rules)


def _arm(design: Design, variant: Variant, tally: Tally) -> Arm:
    return Arm(
        variant=variant.name,
        weight=variant.weight,
        assigned=tally["assigned"],
        success=success_sums(tally, design.metric),
        log_latency=log_latency_sums(tally),
    )


def evidence(
    design: Design, tallies: Mapping[str, Tally], judgement: Judgement, verdict: Verdict
) -> Evidence:
    """The numbers of every variant, as they stand; of a treatment those too that it was judged by. `verdict` is what is
    acted on: of several treatments one that is harmful is enough, whatever the experiment comes to."""
    figures = {
        variant.name: _numbers(design, tallies.get(variant.name, Tally())) for variant in design.variants
    }
    for one in judgement.treatments:
        figures[one.variant] |= {
            "difference": one.sequential.difference.estimate,
            "difference_lower": one.sequential.difference.lower,
            "difference_upper": one.sequential.difference.upper,
            "harm_p": one.sequential.harm_p,
            "winner_adjusted_p": one.adjusted_p,
            "latency_ratio": one.latency.always_valid_ratio.estimate,
            "latency_ratio_lower": one.latency.always_valid_ratio.lower,
            "slow_p": one.latency.slow_p,
            "reached": one.winning.reached,
            "is_winner": float(one.variant == judgement.winner),
        }
    harmful = [one for one in judgement.treatments if one.verdict == Verdict.HARMFUL]
    reasons = [*judgement.reasons, *(reason for one in harmful for reason in one.reasons)]
    return Evidence(verdict=verdict, reasons=tuple(dict.fromkeys(reasons)), figures=figures)


def _numbers(design: Design, tally: Tally) -> dict[str, float | None]:
    rate = _rate(success_sums(tally, design.metric)).clustered
    return {
        "customers_assigned": float(tally["assigned"]),
        "customers": float(tally["customers"]),
        "payments": float(tally["payments"]),
        "success_rate": rate.estimate,
        "success_rate_lower": rate.lower,
        "success_rate_upper": rate.upper,
        "latency_ms_p50": _latency(tally).p50_ms,
        "unknown": float(tally["unknown"]),
        "in_review": float(tally["in_review"]),
    }


def results(
    known: Known, tallies: Mapping[str, Tally], next_offsets: Mapping[int, int], rules: Rules, at: datetime
) -> ResultsAnswer:
    design = known.design
    judgement = judged(design, tallies, rules)
    treatments = [
        _treatment(
            known, one, tallies.get(design.control.name, Tally()), tallies.get(one.variant, Tally()), at
        )
        for one in judgement.treatments
    ]
    return ResultsAnswer(
        experiment_id=known.experiment_id,
        name=design.name,
        status=known.status,
        metric=design.metric,
        started_at=known.started_at,
        planned_days=design.planned_days,
        rules=rules,
        verdict=judgement.verdict,
        winner=judgement.winner,
        reasons=judgement.reasons,
        sample_ratio=judgement.sample_ratio,
        variants=tuple(
            _variant(variant, tallies.get(variant.name, Tally()), is_control=variant is design.control)
            for variant in design.variants
        ),
        treatments=_adjusted(treatments),
        acted_on=known.acted_on,
        next_offsets=dict(sorted(next_offsets.items())),
    )


def winner(known: Known, tallies: Mapping[str, Tally], rules: Rules) -> WinnerAnswer:
    """The sums of a concluded experiment still change a little; its verdict does not."""
    design = known.design
    judgement = judged(design, tallies, rules)
    verdict, reasons, name = judgement.verdict, judgement.reasons, judgement.winner
    if known.status == "ended" and (then := known.acted_on) is not None:
        verdict, reasons = Verdict(then.verdict), then.reasons  # type: ignore[assignment]  # the names of ours
        name = next((one for one, figures in then.figures.items() if figures.get("is_winner")), None)
    return WinnerAnswer(
        experiment_id=known.experiment_id,
        status=known.status,
        verdict=verdict,
        winner=name,
        reasons=reasons,
        margin=rules.max_success_drop,
        metric=design.metric,
        sample_ratio=judgement.sample_ratio,
        treatments=tuple(
            TreatmentVerdict(
                variant=one.variant,
                verdict=one.verdict,
                reasons=one.reasons,
                adjusted_p=one.adjusted_p,
                always_valid_difference=one.sequential.difference,
                harm_p=one.sequential.harm_p,
                slow_p=one.latency.slow_p,
                reached=one.winning.reached,
            )
            for one in judgement.treatments
        ),
        acted_on=known.acted_on,
    )


# One variant


def _variant(variant: Variant, tally: Tally, *, is_control: bool) -> VariantAnswer:
    return VariantAnswer(
        variant=variant.name,
        is_control=is_control,
        weight=variant.weight,
        customers_assigned=tally["assigned"],
        customers=tally["customers"],
        payments_exposed=tally["exposed"],
        payments=tally["payments"],
        independent_customers=number(success_sums(tally, _ANY).independent_customers),
        any_attempt_success=_rate(success_sums(tally, _ANY)),
        first_attempt_success=_rate(success_sums(tally, _FIRST)),
        latency=_latency(tally),
        costs=tuple(_costs(tally)),
        unknown_share=_share(tally["unknown"], tally["payments"]),
        in_review_share=_share(tally["in_review"], tally["payments"]),
    )


def _rate(sums: Sums) -> RateAnswer:
    effect = design_effect(sums)
    bounds = wilson(Counts(sums.total / effect, sums.payments / effect), critical(CONFIDENCE))
    return RateAnswer(
        clustered=Interval.of("wilson_score_of_effective_counts", sums.rate, bounds, CONFIDENCE),
        naive=_share(sums.total, sums.payments),
        design_effect=number(effect) if sums.payments else None,
    )


def _share(some: object, of: object) -> Interval:
    of_all = counts(some, of)  # type: ignore[arg-type]  # numbers
    if not of_all.trials:
        return Interval(method="wilson_score", estimate=None, lower=0.0, upper=1.0, confidence=CONFIDENCE)
    return rate_interval(of_all, CONFIDENCE)


def _latency(tally: Tally) -> LatencyAnswer:
    p50, p90, p95, p99 = quantiles(_bins(tally), (0.5, 0.9, 0.95, 0.99))
    return LatencyAnswer(
        method="log_sketch_within_1_percent",
        payments=tally["timed"],
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        geometric_mean_ms=number(np.exp(log_latency_sums(tally).rate)),
    )


def _bins(tally: Tally) -> dict[int, int]:
    return {
        int(name.partition(":")[2]): count
        for name, count in tally.items()
        if count > 0 and name.startswith("latency:")
    }


def _costs(tally: Tally) -> list[CostAnswer]:
    currencies = sorted(name.partition(":")[2] for name in tally if name.startswith("charged:"))
    return [
        CostAnswer(
            method="sum_of_fees_of_charging_gateways",
            currency=currency,
            charged_minor=tally[f"charged:{currency}"],
            cost_minor=tally[f"cost:{currency}"] * COST_UNIT,
            cost_share=tally[f"cost:{currency}"] * COST_UNIT / tally[f"charged:{currency}"],
        )
        for currency in currencies
        if tally[f"charged:{currency}"]
    ]


# One treatment against control


def _treatment(known: Known, one: Judged, control: Tally, treated: Tally, at: datetime) -> TreatmentAnswer:
    return TreatmentAnswer(
        variant=one.variant,
        verdict=one.verdict,
        reasons=one.reasons,
        any_attempt_success=_comparison(success_sums(control, _ANY), success_sums(treated, _ANY)),
        first_attempt_success=_comparison(success_sums(control, _FIRST), success_sums(treated, _FIRST)),
        harm=HarmAnswer(
            method=one.sequential.method,
            p_value=one.sequential.harm_p,
            log10_evidence=one.sequential.harm_log10_evidence,
            is_harmful=one.sequential.is_harmful,
            alpha=one.sequential.alpha,
        ),
        winning=WinningAnswer(
            test=one.winning.test, adjusted_p=one.adjusted_p, difference=one.winning.difference
        ),
        latency=SlownessAnswer(geometric_means=one.latency, ranks=_ranks(control, treated), adjusted_p=None),
        power=_power(known, one, control, treated, at),
    )


def _comparison(control: Sums, treated: Sums) -> ComparisonAnswer | None:
    if not (control.payments and treated.payments):
        return None
    by_customers = clustered(control, treated, CONFIDENCE)
    naive = proportions(
        counts(control.total, control.payments), counts(treated.total, treated.payments), CONFIDENCE
    )
    bounds = newcombe(*effective(control, treated), critical(CONFIDENCE))
    difference = treated.rate - control.rate
    return ComparisonAnswer(
        difference=Interval.of("newcombe_hybrid_score_of_effective_counts", difference, bounds, CONFIDENCE),
        clustered_difference=by_customers.difference,
        naive_difference=naive.difference,
        always_valid_difference=sequential(control, treated, confidence=CONFIDENCE).difference,
        relative_lift=by_customers.relative_lift,
        test=by_customers.test,
        adjusted_p=None,
    )


def _ranks(control: Tally, treated: Tally) -> Ranks | None:
    here, there = _bins(control), _bins(treated)
    if not (here and there):
        return None
    return ranks(here, there, max(_log_design_effect(control), _log_design_effect(treated)))


def _log_design_effect(tally: Tally) -> float:
    """The variance of the mean logarithm over that of as many independent payments, whose spread the bins tell; at
    least 1."""
    bins = _bins(tally)
    payments = sum(bins.values())
    # Bins are steps of one ratio, so that logarithms differ as their numbers do.
    spread = float(np.cov(list(bins), fweights=list(bins.values()))) if payments > 1 else 0.0
    independent = spread * BIN_LOG**2 / payments
    found = number(variance(log_latency_sums(tally)) / independent) if independent > 0 else None
    return max(found or 1.0, 1.0)


def _power(known: Known, one: Judged, control: Tally, treated: Tally, at: datetime) -> PowerAnswer:
    here, there = (success_sums(tally, known.design.metric) for tally in (control, treated))
    trials = effective(here, there) if here.payments and there.payments else None
    planned = known.design.planned_customers
    return PowerAnswer(
        method="two_proportion_z_pooled_under_null",
        power=POWER,
        planned_customers=planned,
        reached=one.winning.reached,
        least_difference_now=_least(trials, None),
        least_difference_at_plan=_least(trials, planned),
        remaining_days=_remaining(known, one.winning.reached, at),
    )


def _least(trials: tuple[Counts, Counts] | None, planned: int | None) -> float | None:
    """Of so many in control, or of as many as there are, at control's rate."""
    if trials is None:
        return None
    here, there = trials
    customers = float(here.trials) if planned is None else float(planned)
    ratio = float(there.trials / here.trials) if planned is None else 1.0
    rate = float(here.rate)
    return least_difference(rate, customers, power=POWER, ratio=ratio) if 0 < rate < 1 else None


def _remaining(known: Known, reached: float, at: datetime) -> float | None:
    if known.ended_at is not None:
        return 0.0
    elapsed = (at - known.started_at).total_seconds() / _DAY_S
    of_time = max(known.design.planned_days - elapsed, 0.0)
    of_sample = remaining_days(1.0, reached, reached / elapsed) if elapsed > 0 else None
    return of_time if of_sample is None else min(of_time, of_sample)


def _adjusted(treatments: Sequence[TreatmentAnswer]) -> tuple[TreatmentAnswer, ...]:
    """By Holm over every treatment and metric: any success, first success, and latency by ranks."""
    p_values = [p for one in treatments for p in _p_values(one) if p is not None]
    stepped = iter(holm(p_values))
    found = []
    for one in treatments:
        any_p, first_p, slow_p = (None if p is None else next(stepped) for p in _p_values(one))
        found.append(
            replace(
                one,
                any_attempt_success=_with_p(one.any_attempt_success, any_p),
                first_attempt_success=_with_p(one.first_attempt_success, first_p),
                latency=replace(one.latency, adjusted_p=slow_p),
            )
        )
    return tuple(found)


def _p_values(one: TreatmentAnswer) -> tuple[float | None, float | None, float | None]:
    by_any, by_first, by_ranks = one.any_attempt_success, one.first_attempt_success, one.latency.ranks
    return (
        by_any.test.p_value if by_any else None,
        by_first.test.p_value if by_first else None,
        by_ranks.test.p_value if by_ranks else None,
    )


def _with_p(comparison: ComparisonAnswer | None, p: float | None) -> ComparisonAnswer | None:
    return None if comparison is None else replace(comparison, adjusted_p=p)
