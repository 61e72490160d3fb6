"""Verdicts, each with its reason."""

import numpy as np
from msgspec.structs import replace

from projections.statistics.judge import judge
from projections.statistics.outstanding import Outstanding
from projections.statistics.sequential import HARM_ALPHA, is_harmful
from projections.statistics.sums import Sums, paid_once
from projections.statistics.verdict import Arm, Judgement, Reason, Rules, Verdict

RULES = Rules(planned_customers=10_000)


def arm(variant: str, successes: int, trials: int = 10_000, slower: float = 0.0) -> Arm:
    mean = 6.0 + slower
    logs = Sums(trials, trials, trials * mean, trials, trials * (mean**2 + 0.25), trials * mean)
    return Arm(
        variant=variant, weight=1, assigned=trials, success=paid_once(successes, trials), log_latency=logs
    )


CONTROL = arm("control", 9_000)


def verdict(*treatments: Arm, control: Arm = CONTROL, rules: Rules = RULES) -> Judgement:
    return judge(control, treatments, rules)


def said(judgement: Judgement) -> tuple[Verdict, tuple[Reason, ...]]:
    return judgement.verdict, judgement.reasons


def test_a_better_treatment_wins_at_the_planned_sample() -> None:
    found = verdict(arm("a", 9_120))
    assert said(found) == (Verdict.WINNER, (Reason.BETTER,))
    assert found.winner == "a"


def test_a_bare_p_below_5_percent_is_no_winner_half_way() -> None:
    found = verdict(arm("a", 4_565, 5_000), control=arm("control", 4_500, 5_000))
    assert said(found) == (Verdict.COLLECTING, (Reason.NOT_BETTER_YET, Reason.PLAN_NOT_REACHED))


def test_a_broken_split_says_nothing_else() -> None:
    found = verdict(arm("a", 10_300, 11_000))
    assert said(found) == (Verdict.SRM, (Reason.SPLIT_IS_BROKEN,))
    assert found.winner is None


def test_a_harmful_treatment_is_called_so_long_before_the_plan() -> None:
    found = verdict(arm("a", 120, 200), control=arm("control", 180, 200))
    assert said(found) == (Verdict.HARMFUL, (Reason.CREDIBLY_WORSE,))


def test_a_slow_treatment_is_harmful_even_if_it_succeeds_more_often() -> None:
    assert said(verdict(arm("a", 9_300, slower=0.5))) == (Verdict.HARMFUL, (Reason.CREDIBLY_SLOWER,))


def test_what_differs_by_less_than_the_margin_at_the_plan_is_no_difference() -> None:
    assert said(verdict(arm("a", 9_010))) == (Verdict.NO_DIFFERENCE, (Reason.WITHIN_MARGIN,))
    narrow = replace(RULES, max_success_drop=0.001)
    found = verdict(arm("a", 9_010), rules=narrow)
    assert said(found) == (Verdict.COLLECTING, (Reason.NOT_BETTER_YET, Reason.PLAN_WAS_TOO_SMALL))


def test_few_customers_are_told_apart_from_no_difference() -> None:
    found = verdict(arm("a", 45, 50), control=arm("control", 45, 50))
    assert said(found) == (Verdict.COLLECTING, (Reason.TOO_FEW_CUSTOMERS,))


def test_of_several_treatments_each_pays_for_the_others_chances() -> None:
    alone = verdict(arm("a", 9_090))
    among = verdict(arm("a", 9_090), arm("b", 9_000), arm("c", 9_000))
    assert alone.verdict == Verdict.WINNER
    assert among.treatments[0].adjusted_p > alone.treatments[0].adjusted_p


def still_open(one: Arm, awaiting: int = 0, in_doubt: int = 0) -> Arm:
    return replace(one, outstanding=Outstanding(awaiting, in_doubt))


def test_a_treatment_whose_failures_are_told_late_does_not_win_by_that() -> None:
    early = arm("a", 9_000, 9_500)
    assert verdict(early).verdict == Verdict.WINNER
    found = verdict(still_open(early, awaiting=500))
    assert (found.verdict, found.winner) == (Verdict.COLLECTING, None)


def test_a_treatment_does_not_win_by_successes_of_control_that_are_told_late() -> None:
    late = arm("control", 8_550, 9_650)
    assert verdict(arm("a", 8_980), control=late).verdict == Verdict.WINNER
    assert verdict(arm("a", 8_980), control=still_open(late, awaiting=350)).winner is None


def test_a_treatment_that_is_only_slower_to_tell_is_not_harmful() -> None:
    slower = arm("a", 850, 1_000)
    control = arm("control", 900, 1_000)
    assert verdict(slower, control=control).verdict == Verdict.HARMFUL
    assert verdict(still_open(slower, in_doubt=50), control=control).verdict == Verdict.COLLECTING


def test_a_treatment_is_not_harmful_by_failures_of_control_that_are_told_late() -> None:
    control = arm("control", 900, 930)
    assert verdict(arm("a", 900, 1_000), control=control).verdict == Verdict.HARMFUL
    found = verdict(arm("a", 900, 1_000), control=still_open(control, awaiting=70))
    assert found.verdict == Verdict.COLLECTING


def test_a_treatment_that_leaves_most_in_doubt_is_harmful_before_anybody_knows_what_became_of_it() -> None:
    dead = still_open(arm("a", 16, 40), in_doubt=24)
    assert said(verdict(dead, control=arm("control", 36, 40))) == (Verdict.HARMFUL, (Reason.CREDIBLY_WORSE,))


def test_what_is_open_in_both_arms_alike_keeps_nobody_from_winning() -> None:
    found = verdict(still_open(arm("a", 9_130), awaiting=30), control=still_open(CONTROL, awaiting=30))
    assert said(found) == (Verdict.WINNER, (Reason.BETTER,))


def test_what_is_certain_holds_whatever_becomes_of_what_is_open() -> None:
    sure = verdict(arm("a", 9_000)).treatments[0].sequential.difference
    open_too = verdict(still_open(arm("a", 9_000), awaiting=100)).treatments[0].sequential.difference
    assert sure.lower is not None
    assert sure.upper is not None
    assert open_too.lower is not None
    assert open_too.upper is not None
    assert open_too.estimate == sure.estimate
    assert open_too.lower < sure.lower < sure.upper < open_too.upper


def test_the_best_of_several_winners_wins_and_a_harmful_one_does_not_keep_it_from_winning() -> None:
    found = verdict(arm("a", 9_200), arm("b", 9_300), arm("c", 8_000))
    assert (found.verdict, found.winner) == (Verdict.WINNER, "b")
    assert [one.verdict for one in found.treatments] == [Verdict.WINNER, Verdict.WINNER, Verdict.HARMFUL]


def test_an_experiment_is_harmful_when_all_its_treatments_are() -> None:
    assert verdict(arm("a", 8_000), arm("b", 9_000)).verdict == Verdict.NO_DIFFERENCE
    assert verdict(arm("a", 8_000), arm("b", 8_000)).verdict == Verdict.HARMFUL


def test_an_experiment_that_nobody_has_met_is_collecting() -> None:
    nobody = Arm(variant="control", weight=1, assigned=0, success=Sums(), log_latency=Sums())
    found = verdict(replace(nobody, variant="a"), control=nobody)
    assert said(found) == (Verdict.COLLECTING, (Reason.TOO_FEW_CUSTOMERS,))


def test_arms_of_unequal_weight_come_to_their_plans_together() -> None:
    """The larger treatment would be four times past its plan when the smaller one reaches it."""
    rules = replace(RULES, planned_customers=1_000)
    control = replace(arm("control", 4_500, 5_000), weight=5_000)
    small = replace(arm("small", 900, 1_000), weight=1_000)
    large = replace(arm("large", 3_720, 4_000), weight=4_000)
    judgement = verdict(small, large, control=control, rules=rules)
    assert [round(one.winning.reached, 2) for one in judgement.treatments] == [1, 1]
    assert judgement.verdict == Verdict.WINNER
    assert judgement.winner == "large"


def test_each_of_several_treatments_has_its_part_of_the_error_of_harm() -> None:
    alone, among = verdict(arm("a", 9_000)), verdict(arm("a", 9_000), arm("b", 9_000))
    assert among.treatments[0].sequential.alpha == alone.treatments[0].sequential.alpha / 2
    assert among.treatments[0].latency.alpha == alone.treatments[0].latency.alpha / 2


# Where another metric than success by any attempt decides


def by_first_attempt(variant: str, first: int, any_attempt: int, trials: int = 10_000) -> Arm:
    return replace(arm(variant, first, trials), any_attempt_success=paid_once(any_attempt, trials))


def test_a_treatment_that_loses_what_a_fall_back_saves_is_harmful_whatever_metric_decides() -> None:
    control = by_first_attempt("control", 160, 190, 200)
    found = verdict(by_first_attempt("a", 160, 162, 200), control=control)
    assert said(found) == (Verdict.HARMFUL, (Reason.ANY_ATTEMPT_CREDIBLY_WORSE,))
    both = verdict(by_first_attempt("a", 100, 110, 200), control=control)
    assert both.reasons == (Reason.CREDIBLY_WORSE, Reason.ANY_ATTEMPT_CREDIBLY_WORSE)


def test_two_metrics_share_the_error_of_harm_and_one_has_all_of_it() -> None:
    alone = verdict(arm("a", 9_000)).treatments[0]
    both = verdict(by_first_attempt("a", 8_000, 9_000), control=by_first_attempt("control", 8_000, 9_000))
    judged = both.treatments[0]
    assert judged.any_attempt is not None
    assert judged.sequential.alpha == judged.any_attempt.alpha == alone.sequential.alpha / 2
    assert (alone.sequential.alpha, alone.any_attempt) == (HARM_ALPHA, None)


def test_a_winner_at_the_first_attempt_is_certainly_not_worse_in_the_end() -> None:
    control = by_first_attempt("control", 8_000, 9_000)
    rules = replace(RULES, max_success_drop=0.02)
    found = verdict(by_first_attempt("a", 8_300, 8_900), control=control, rules=rules)
    assert said(found) == (Verdict.COLLECTING, (Reason.BETTER, Reason.ANY_ATTEMPT_NOT_CERTIFIED))
    found = verdict(by_first_attempt("a", 8_300, 9_000), control=control, rules=rules)
    assert said(found) == (Verdict.WINNER, (Reason.BETTER,))


def test_there_is_no_difference_only_where_there_is_none_in_the_end_either() -> None:
    control = by_first_attempt("control", 8_000, 9_000)
    rules = replace(RULES, max_success_drop=0.025)
    found = verdict(by_first_attempt("a", 8_000, 8_880), control=control, rules=rules)
    assert said(found) == (Verdict.COLLECTING, (Reason.NOT_BETTER_YET, Reason.PLAN_WAS_TOO_SMALL))
    found = verdict(by_first_attempt("a", 8_000, 9_000), control=control, rules=rules)
    assert said(found) == (Verdict.NO_DIFFERENCE, (Reason.WITHIN_MARGIN,))


def test_judged_by_two_metrics_harmless_treatments_are_paused_no_more_often() -> None:
    """A look after each of 2,000 pairs; a fall-back saves half of what the first attempt loses."""
    rng = np.random.default_rng(1)
    trials = np.broadcast_to(np.arange(1.0, 2_001), (200, 2_000))

    def an_arm() -> tuple[Sums, Sums]:
        first = rng.random(trials.shape) < 0.8
        paid = first | (rng.random(trials.shape) < 0.5)
        at_first, at_last = (paid_once(np.cumsum(one, axis=1, dtype=float), trials) for one in (first, paid))
        return at_first, at_last

    control, treatment = an_arm(), an_arm()
    looks = [is_harmful(*arms, HARM_ALPHA / 2) for arms in zip(control, treatment, strict=True)]
    assert np.mean(np.any(looks[0] | looks[1], axis=1)) <= 0.04
