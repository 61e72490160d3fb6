"""What is found in an experiment's figures, and the numbers that an event carries of it."""

from collections.abc import Mapping, Sequence

import msgspec

from projections.experiment_figures import ANY, latency_figures, outstanding, rate_figures
from projections.statistics.sequential import Sequential
from projections.statistics.verdict import Judged, Judgement, Reason, Rules, Verdict
from schemas.experiment import Design, Evidence
from schemas.experiment_finding import Finding, Harm, Standing
from schemas.exposure import Tally

Numbers = dict[str, float | None]


def found_in(
    design: Design,
    tallies: Mapping[str, Tally],
    judgement: Judgement,
    rules: Rules,
    next_offsets: Mapping[int, int],
) -> Finding:
    """`rules` are those that it was judged by, and the figures have every record below `next_offsets`."""

    def told(verdict: Verdict) -> Evidence:
        return evidence(design, tallies, judgement, verdict, rules, next_offsets)

    harmful = [one for one in judgement.treatments if one.verdict == Verdict.HARMFUL]
    compared = {design.control.name, *(one.variant for one in judgement.treatments)}
    harm = None
    if harmful:
        harm = Harm(variants=tuple(one.variant for one in harmful), evidence=told(Verdict.HARMFUL))
    return Finding(
        harm=harm,
        is_split_broken=judgement.verdict == Verdict.SRM,
        treatments=tuple(_standing(one) for one in judgement.treatments),
        unsettled_share=max(_unsettled_share(tallies.get(name, Tally())) for name in compared),
        evidence=told(judgement.verdict),
    )


def _standing(one: Judged) -> Standing:
    return Standing(
        is_winner=one.verdict == Verdict.WINNER,
        reached=one.winning.reached,
        lacks_customers=Reason.TOO_FEW_CUSTOMERS in one.reasons,
    )


def evidence(
    design: Design,
    tallies: Mapping[str, Tally],
    judgement: Judgement,
    verdict: Verdict,
    rules: Rules,
    next_offsets: Mapping[int, int],
) -> Evidence:
    """The numbers of every variant, as they stand; of a treatment those too that it was judged by. `verdict` is what is
    acted on: of several treatments one that is harmful is enough, whatever the experiment comes to."""
    of_all = [tallies.get(variant.name, Tally()) for variant in design.variants]
    figures = {
        variant.name: _of_variant(design, tally, of_all)
        for variant, tally in zip(design.variants, of_all, strict=True)
    }
    for one in judgement.treatments:
        figures[one.variant] |= _of_treatment(one, is_winner=one.variant == judgement.winner)
    harmful = [one for one in judgement.treatments if one.verdict == Verdict.HARMFUL]
    reasons = [*judgement.reasons, *(reason for one in harmful for reason in one.reasons)]
    return Evidence(
        verdict=verdict,
        reasons=tuple(dict.fromkeys(reasons)),
        figures=figures,
        rules=msgspec.to_builtins(rules),
        split_p=judgement.sample_ratio.always_valid.p_value,
        next_offsets=dict(sorted(next_offsets.items())),
    )


def _of_variant(design: Design, tally: Tally, tallies: Sequence[Tally]) -> Numbers:
    """`payments_exposed` beyond `payments` are on their way, or wait for their customers."""
    return {
        "customers_assigned": float(tally["assigned"]),
        "customers": float(tally["customers"]),
        "payments_exposed": float(tally["exposed"]),
        "payments": float(tally["payments"]),
        **_rate(tally, tallies, design.metric, "success_rate"),
        **(_rate(tally, tallies, ANY, f"{ANY}_rate") if design.metric != ANY else {}),
        "latency_ms_p50": latency_figures(tally).p50_ms,
        "unknown": float(tally["unknown"]),
        "in_review": float(tally["in_review"]),
        "unsettled_share": _unsettled_share(tally),
        "given_back": float(tally["given_back"]),
    }


def _of_treatment(one: Judged, *, is_winner: bool) -> Numbers:
    return {
        **_compared(one.sequential),
        **(_compared(one.any_attempt, f"{ANY}_") if one.any_attempt else {}),
        "harm_alpha": one.sequential.alpha,
        "winner_adjusted_p": one.adjusted_p,
        "latency_ratio": one.latency.always_valid_ratio.estimate,
        "latency_ratio_lower": one.latency.always_valid_ratio.lower,
        "slow_p": one.latency.slow_p,
        "slow_alpha": one.latency.alpha,
        "planned_customers": one.winning.planned_customers,
        "reached": one.winning.reached,
        "is_winner": float(is_winner),
    }


def _compared(compared: Sequential, of: str = "") -> Numbers:
    return {
        f"{of}difference": compared.difference.estimate,
        f"{of}difference_lower": compared.difference.lower,
        f"{of}difference_upper": compared.difference.upper,
        f"{of}harm_p": compared.harm_p,
    }


def _rate(tally: Tally, tallies: Sequence[Tally], metric: str, name: str) -> Numbers:
    rate = rate_figures(tally, tallies, metric).clustered
    return {name: rate.estimate, f"{name}_lower": rate.lower, f"{name}_upper": rate.upper}


def _unsettled_share(tally: Tally) -> float:
    return float(sum(outstanding(tally))) / tally["exposed"] if tally["exposed"] else 0.0
