"""One treatment against control, from the tallies of both."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from projections.experiment_answer import (
    ComparisonAnswer,
    HarmAnswer,
    PowerAnswer,
    SlownessAnswer,
    TreatmentAnswer,
    WinningAnswer,
)
from projections.experiment_figures import (
    ANY,
    CONFIDENCE,
    FIRST,
    latency_bins,
    log_latency_sums,
    success_sums,
)
from projections.statistics.clustered import clustered
from projections.statistics.effective import effective, observed
from projections.statistics.holm import holm
from projections.statistics.power import least_difference, remaining_days
from projections.statistics.proportions import proportions
from projections.statistics.ranks import Timed, clustered_ranks
from projections.statistics.sequential import Sequential, sequential
from projections.statistics.sums import Numbers, Sums
from projections.statistics.verdict import Judged
from schemas.experiment import Design, Evidence, Status
from schemas.exposure import Tally
from schemas.ids import ExperimentId

POWER = 0.8
_DAY_S = 86_400.0


class Known(NamedTuple):
    """What is known of an experiment beside its figures."""

    experiment_id: ExperimentId
    design: Design
    status: Status
    started_at: datetime
    paused_for: timedelta
    """Until it was last resumed: no day of the plan."""
    ended_at: datetime | None
    """When it was paused or ended; None while it runs."""
    acted_on: Evidence | None


def treatment_figures(
    known: Known, one: Judged, control: Tally, treated: Tally, at: datetime
) -> TreatmentAnswer:
    return TreatmentAnswer(
        variant=one.variant,
        verdict=one.verdict,
        reasons=one.reasons,
        any_attempt_success=_comparison(success_sums(control, ANY), success_sums(treated, ANY)),
        first_attempt_success=_comparison(success_sums(control, FIRST), success_sums(treated, FIRST)),
        harm=_harm(one.sequential),
        any_attempt_harm=_harm(one.any_attempt) if one.any_attempt else None,
        winning=WinningAnswer(
            test=one.winning.test, adjusted_p=one.adjusted_p, difference=one.winning.difference
        ),
        latency=SlownessAnswer(
            geometric_means=one.latency,
            ranks=clustered_ranks(_timed(control), _timed(treated)),
            adjusted_p=None,
        ),
        power=_power(known, one, control, treated, at),
    )


def _harm(compared: Sequential) -> HarmAnswer:
    return HarmAnswer(
        method=compared.method,
        difference=compared.difference,
        p_value=compared.harm_p,
        log10_evidence=compared.harm_log10_evidence,
        is_harmful=compared.is_harmful,
        alpha=compared.alpha,
    )


def _comparison(control: Sums, treated: Sums) -> ComparisonAnswer | None:
    if not (control.payments and treated.payments):
        return None
    by_customers = clustered(control, treated, CONFIDENCE)
    naive = proportions(observed(control), observed(treated), CONFIDENCE)
    return ComparisonAnswer(
        difference=by_customers.score_difference,
        clustered_difference=by_customers.difference,
        naive_difference=naive.difference,
        always_valid_difference=sequential(control, treated, confidence=CONFIDENCE).difference,
        relative_lift=by_customers.relative_lift,
        test=by_customers.test,
        adjusted_p=None,
    )


def _timed(tally: Tally) -> Timed:
    return Timed(latency_bins(tally), log_latency_sums(tally))


def _power(known: Known, one: Judged, control: Tally, treated: Tally, at: datetime) -> PowerAnswer:
    here, there = (success_sums(tally, known.design.metric) for tally in (control, treated))
    now, at_plan = None, None
    if here.payments and there.payments:
        of_control, of_treatment = effective(here, there)
        now = _least(of_control.rate, of_control.trials, of_treatment.trials)
        at_plan = _least(of_control.rate, *_at_plan(known.design, one))
    return PowerAnswer(
        method="two_proportion_z_pooled_under_null",
        power=POWER,
        planned_customers=one.winning.planned_customers,
        reached=one.winning.reached,
        least_difference_now=now,
        least_difference_at_plan=at_plan,
        remaining_days=_remaining(known, one.winning.reached, at),
    )


def _at_plan(design: Design, one: Judged) -> tuple[float, float]:
    """Control's customers and the treatment's, by their weights, when the smaller arm has its plan."""
    weight = next(variant.weight for variant in design.variants if variant.name == one.variant)
    a_weight = one.winning.planned_customers / min(design.control.weight, weight)
    return design.control.weight * a_weight, weight * a_weight


def _least(rate: Numbers, of_control: Numbers, of_treatment: Numbers) -> float | None:
    """The smallest gain over control's rate that so many customers find at one look."""
    ratio = float(of_treatment / of_control)
    return (
        least_difference(float(rate), float(of_control), power=POWER, ratio=ratio) if 0 < rate < 1 else None
    )


def _remaining(known: Known, reached: float, at: datetime) -> float | None:
    if known.ended_at is not None:
        return 0.0
    elapsed = (at - known.started_at - known.paused_for).total_seconds() / _DAY_S
    of_time = max(known.design.planned_days - elapsed, 0.0)
    of_sample = remaining_days(1.0, reached, reached / elapsed) if elapsed > 0 else None
    return of_time if of_sample is None else min(of_time, of_sample)


def adjusted(treatments: Sequence[TreatmentAnswer]) -> tuple[TreatmentAnswer, ...]:
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
