"""An experiment's results, from the tallies of its arms alone: whoever has those can check every figure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from projections.experiment_answer import ResultsAnswer, TreatmentVerdict, WinnerAnswer
from projections.experiment_comparison import Known, adjusted, treatment_figures
from projections.experiment_figures import (
    ANY,
    latency_figures,
    log_latency_sums,
    rate_figures,
    success_sums,
    variant_figures,
)
from projections.statistics.judge import judge
from projections.statistics.sequential import Sequential
from projections.statistics.verdict import Arm, Judgement, Rules, Verdict
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
    )


def evidence(
    design: Design, tallies: Mapping[str, Tally], judgement: Judgement, verdict: Verdict
) -> Evidence:
    """The numbers of every variant, as they stand; of a treatment those too that it was judged by. `verdict` is what is
    acted on: of several treatments one that is harmful is enough, whatever the experiment comes to."""
    figures = {
        variant.name: _numbers(design, tallies.get(variant.name, Tally()), _of_all(design, tallies))
        for variant in design.variants
    }
    for one in judgement.treatments:
        figures[one.variant] |= {
            **_compared(one.sequential),
            **(_compared(one.any_attempt, f"{ANY}_") if one.any_attempt else {}),
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


def _of_all(design: Design, tallies: Mapping[str, Tally]) -> list[Tally]:
    return [tallies.get(variant.name, Tally()) for variant in design.variants]


def _compared(compared: Sequential, of: str = "") -> dict[str, float | None]:
    return {
        f"{of}difference": compared.difference.estimate,
        f"{of}difference_lower": compared.difference.lower,
        f"{of}difference_upper": compared.difference.upper,
        f"{of}harm_p": compared.harm_p,
    }


def _rates(tally: Tally, tallies: Sequence[Tally], metric: str, name: str) -> dict[str, float | None]:
    rate = rate_figures(tally, tallies, metric).clustered
    return {name: rate.estimate, f"{name}_lower": rate.lower, f"{name}_upper": rate.upper}


def _numbers(design: Design, tally: Tally, tallies: Sequence[Tally]) -> dict[str, float | None]:
    return {
        "customers_assigned": float(tally["assigned"]),
        "customers": float(tally["customers"]),
        "payments": float(tally["payments"]),
        **_rates(tally, tallies, design.metric, "success_rate"),
        **(_rates(tally, tallies, ANY, f"{ANY}_rate") if design.metric != ANY else {}),
        "latency_ms_p50": latency_figures(tally).p50_ms,
        "unknown": float(tally["unknown"]),
        "in_review": float(tally["in_review"]),
        "given_back": float(tally["given_back"]),
    }


def results(
    known: Known, tallies: Mapping[str, Tally], next_offsets: Mapping[int, int], rules: Rules, at: datetime
) -> ResultsAnswer:
    design = known.design
    judgement = judged(design, tallies, rules)
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
            variant_figures(
                variant,
                tallies.get(variant.name, Tally()),
                _of_all(design, tallies),
                is_control=variant is design.control,
            )
            for variant in design.variants
        ),
        treatments=adjusted(treatments),
        acted_on=known.acted_on,
        next_offsets=dict(sorted(next_offsets.items())),
    )


def winner(known: Known, tallies: Mapping[str, Tally], rules: Rules) -> WinnerAnswer:
    """The sums of a concluded experiment still change a little; its verdict does not."""
    design = known.design
    judgement = judged(design, tallies, rules)
    verdict, reasons, name = judgement.verdict, judgement.reasons, judgement.winner
    if known.status == "CONCLUDED" and (then := known.acted_on) is not None:
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
                always_valid_any_attempt_difference=one.any_attempt.difference if one.any_attempt else None,
                any_attempt_harm_p=one.any_attempt.harm_p if one.any_attempt else None,
                slow_p=one.latency.slow_p,
                reached=one.winning.reached,
            )
            for one in judgement.treatments
        ),
        acted_on=known.acted_on,
    )
