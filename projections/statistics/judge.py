"""The verdict on an experiment as it stands, from sums alone: never from a bare p < 0.05.

A broken split is reported before anything else, since nothing that is compared across it is fair.
"""

from collections.abc import Iterator, Sequence

from projections.statistics.holm import holm
from projections.statistics.latency import SLOW_ALPHA, Latency, latency
from projections.statistics.outstanding import sequential_in_all_cases, winning_in_all_cases
from projections.statistics.sample_ratio import sample_ratio
from projections.statistics.sequential import HARM_ALPHA, Sequential, is_ripe
from projections.statistics.verdict import Arm, Judged, Judgement, Reason, Rules, Verdict
from projections.statistics.winning import Winning


def judge(control: Arm, treatments: Sequence[Arm], rules: Rules) -> Judgement:
    """Arms may still be empty; their names and weights are known."""
    arms = (control, *treatments)
    split = sample_ratio([arm.assigned for arm in arms], [arm.weight for arm in arms])
    tests = [
        winning_in_all_cases(
            control.success,
            arm.success,
            _planned(control, arm, arms, rules),
            (control.outstanding, arm.outstanding),
        )
        for arm in treatments
    ]
    adjusted = holm([min(2 * (test.test.p_value or 0.0), 1.0) for test in tests])
    judged = tuple(
        _judged(control, arm, test, p, rules, len(treatments))
        for arm, test, p in zip(treatments, tests, adjusted, strict=True)
    )
    if split.is_mismatch:
        return Judgement(
            verdict=Verdict.SRM,
            winner=None,
            reasons=(Reason.SPLIT_IS_BROKEN,),
            sample_ratio=split,
            treatments=judged,
        )
    verdict, deciding = _overall(judged, treatments)
    return Judgement(
        verdict=verdict,
        winner=deciding[0].variant if verdict == Verdict.WINNER else None,
        reasons=tuple(dict.fromkeys(reason for one in deciding for reason in one.reasons)),
        sample_ratio=split,
        treatments=judged,
    )


def _overall(judged: Sequence[Judged], arms: Sequence[Arm]) -> tuple[Verdict, list[Judged]]:
    """The experiment's, and the treatments that decided it: a winner wins; else all that are not harmful must agree."""
    rates = {arm.variant: float(arm.success.rate) for arm in arms}
    winners = [one for one in judged if one.verdict == Verdict.WINNER]
    if winners:
        return Verdict.WINNER, [max(winners, key=lambda one: rates[one.variant])]
    harmless = [one for one in judged if one.verdict != Verdict.HARMFUL]
    if not harmless:
        return Verdict.HARMFUL, list(judged)
    undecided = [one for one in harmless if one.verdict == Verdict.COLLECTING]
    return (Verdict.COLLECTING, undecided) if undecided else (Verdict.NO_DIFFERENCE, harmless)


def _planned(control: Arm, arm: Arm, arms: Sequence[Arm], rules: Rules) -> float:
    """Customers in the smaller of the two arms, when the smallest of all has those of the plan."""
    smallest = min(one.weight for one in arms if one.weight > 0)
    return rules.planned_customers * max(min(control.weight, arm.weight) / smallest, 1.0)


def _judged(
    control: Arm, arm: Arm, test: Winning, adjusted_p: float, rules: Rules, treatments: int
) -> Judged:
    """Whatever one treatment may be paused for pauses them all: so each has its part of the error (Bonferroni), and of
    that each metric by which it is judged."""
    metrics = 1 if arm.any_attempt_success is None else 2
    alpha = HARM_ALPHA / treatments / metrics
    outstanding = control.outstanding, arm.outstanding
    success = sequential_in_all_cases(control.success, arm.success, outstanding, alpha=alpha)
    any_attempt = None
    if control.any_attempt_success is not None and arm.any_attempt_success is not None:
        any_attempt = sequential_in_all_cases(
            control.any_attempt_success, arm.any_attempt_success, outstanding, alpha=alpha
        )
    slowness = latency(
        control.log_latency,
        arm.log_latency,
        rules.max_latency_multiplier,
        least_customers=rules.min_samples,
        alpha=SLOW_ALPHA / treatments,
    )
    is_enough = bool(is_ripe(control.success, arm.success, rules.min_samples))
    verdict, reasons = _verdict(success, any_attempt, slowness, test, adjusted_p, rules, is_enough=is_enough)
    return Judged(
        variant=arm.variant,
        verdict=verdict,
        reasons=reasons,
        sequential=success,
        any_attempt=any_attempt,
        winning=test,
        adjusted_p=adjusted_p,
        latency=slowness,
    )


def _verdict(
    success: Sequential,
    any_attempt: Sequential | None,
    slowness: Latency,
    test: Winning,
    adjusted_p: float,
    rules: Rules,
    *,
    is_enough: bool,
) -> tuple[Verdict, tuple[Reason, ...]]:
    if harms := tuple(_harms(success, any_attempt, slowness)):
        return Verdict.HARMFUL, harms
    if not is_enough:
        return Verdict.COLLECTING, (Reason.TOO_FEW_CUSTOMERS,)
    doubts = tuple(_doubts(success, any_attempt, rules.max_success_drop))
    if adjusted_p <= rules.alpha:
        return Verdict.COLLECTING if doubts else Verdict.WINNER, (Reason.BETTER, *doubts)
    if test.reached < 1:
        return Verdict.COLLECTING, (Reason.NOT_BETTER_YET, Reason.PLAN_NOT_REACHED)
    upper = success.difference.upper
    if not doubts and upper is not None and upper < rules.max_success_drop:
        return Verdict.NO_DIFFERENCE, (Reason.WITHIN_MARGIN,)
    return Verdict.COLLECTING, (Reason.NOT_BETTER_YET, Reason.PLAN_WAS_TOO_SMALL)


def _harms(success: Sequential, any_attempt: Sequential | None, slowness: Latency) -> Iterator[Reason]:
    if success.is_harmful:
        yield Reason.CREDIBLY_WORSE
    if any_attempt is not None and any_attempt.is_harmful:
        yield Reason.ANY_ATTEMPT_CREDIBLY_WORSE
    if slowness.is_slow:
        yield Reason.CREDIBLY_SLOWER


def _doubts(success: Sequential, any_attempt: Sequential | None, margin: float) -> Iterator[Reason]:
    """What keeps a treatment from being certainly not worse by the margin. Where all must hold, none has to pay for the
    other's chance."""
    if not _is_certified(success, margin):
        yield Reason.NOT_CERTIFIED
    if any_attempt is not None and not _is_certified(any_attempt, margin):
        yield Reason.ANY_ATTEMPT_NOT_CERTIFIED


def _is_certified(compared: Sequential, margin: float) -> bool:
    lower = compared.difference.lower
    return lower is not None and lower > -margin
