"""An experiment's results, from the tallies of its arms alone: whoever has those can check every figure."""

from collections.abc import Mapping
from datetime import datetime

from projections.experiment_answer import ResultsAnswer, Standing, TreatmentVerdict, WinnerAnswer
from projections.experiment_comparison import Known, adjusted, treatment_figures
from projections.experiment_figures import ANY, log_latency_sums, outstanding, success_sums, variant_figures
from projections.statistics.judge import judge
from projections.statistics.verdict import Arm, Judged, Judgement, Rules, Verdict
from schemas.experiment import Design, Evidence, Guardrails, Variant
from schemas.exposure import Tally


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
        any_attempt_success=None if design.metric == ANY else success_sums(tally, ANY),
        log_latency=log_latency_sums(tally),
        outstanding=outstanding(tally),
    )


def results(
    known: Known, tallies: Mapping[str, Tally], next_offsets: Mapping[int, int], rules: Rules, at: datetime
) -> ResultsAnswer:
    design = known.design
    judgement = judged(design, tallies, rules)
    of_all = [tallies.get(variant.name, Tally()) for variant in design.variants]
    treatments = [
        treatment_figures(
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
            variant_figures(variant, tally, of_all, is_control=variant is design.control)
            for variant, tally in zip(design.variants, of_all, strict=True)
        ),
        treatments=adjusted(treatments),
        acted_on=known.acted_on,
        next_offsets=dict(sorted(next_offsets.items())),
    )


def winner(known: Known, tallies: Mapping[str, Tally], rules: Rules) -> WinnerAnswer:
    """The sums of a concluded experiment still change a little; its verdict does not."""
    design = known.design
    judgement = judged(design, tallies, rules)
    now = Standing(verdict=judgement.verdict, winner=judgement.winner, reasons=judgement.reasons)
    is_concluded = known.status == "CONCLUDED"
    then = _standing(known.acted_on) if is_concluded and known.acted_on is not None else now
    return WinnerAnswer(
        experiment_id=known.experiment_id,
        status=known.status,
        verdict=then.verdict,
        winner=then.winner,
        reasons=then.reasons,
        now=now,
        margin=rules.max_success_drop,
        metric=design.metric,
        sample_ratio=judgement.sample_ratio,
        treatments=tuple(_verdict(one) for one in judgement.treatments),
        acted_on=known.acted_on,
    )


def _standing(then: Evidence) -> Standing:
    named = (variant for variant, figures in then.figures.items() if figures.get("is_winner"))
    winner = next(named, None) if then.verdict == Verdict.WINNER else None
    return Standing(verdict=then.verdict, winner=winner, reasons=then.reasons)


def _verdict(one: Judged) -> TreatmentVerdict:
    return TreatmentVerdict(
        variant=one.variant,
        verdict=one.verdict,
        reasons=one.reasons,
        adjusted_p=one.adjusted_p,
        always_valid_difference=one.sequential.difference,
        harm_p=one.sequential.harm_p,
        always_valid_any_attempt_difference=one.any_attempt.difference if one.any_attempt else None,
        any_attempt_harm_p=one.any_attempt.harm_p if one.any_attempt else None,
        slow_p=one.latency.slow_p,
        reached=one.winning.reached,
    )
