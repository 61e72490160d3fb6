"""When an experiment that is looked at after every outcome would be paused, and when a winner named.

The verdict is that of `judge`. It is asked at those looks only where the functions that it is made of say that it could
be more than *collecting*, since it judges one look at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from math import inf, log, sqrt
from typing import Any, NamedTuple

import numpy as np

from projections.statistics.effective import Counts, counts, effective
from projections.statistics.horizon import Fraction, horizon_z
from projections.statistics.judge import judge
from projections.statistics.normal import critical
from projections.statistics.outstanding import NOTHING, Outstanding
from projections.statistics.proportions import pooled_z
from projections.statistics.sequential import HARM_ALPHA, is_harmful, is_ripe, signed_root
from projections.statistics.sums import Bools, Floats, Sums
from projections.statistics.verdict import Arm, Judgement, Rules, Verdict
from projections.statistics.winning import winning_log_p
from tests.bench.experiments_world import LOOKS_AT_ONCE, Looks

LEAST_PAYMENTS, POINTS = 100, 0.05
"""The point rule pauses a treatment that succeeds less often by more than five points, after a hundred payments."""
ONE_SIDED, TWO_SIDED = critical(0.90), critical(0.95)
"""Standard errors at p = .05."""


class Found(NamedTuple):
    """Of every run, the number of the first look that found it; infinite where none did."""

    paused: Floats
    won: Floats
    """A treatment is called winner."""
    differed: Floats
    """A treatment is called winner, or control would be if it were one."""
    point_rule: Floats
    """Would pause."""
    z_pauses: Floats
    """A one-sided z test with p < .05 at each look, after as many payments."""
    z_wins: Floats
    """A two-sided one."""


class Plan(NamedTuple):
    """Every treatment is compared at the plan of the smallest arm."""

    weights: tuple[int, ...]
    planned: int
    """Customers in the smallest arm."""

    @property
    def rules(self) -> Rules:
        return Rules(planned_customers=self.planned)


Open = Sequence[Outstanding]
"""Of every arm, control first; fields are (runs, looks)."""


def found(looks: Looks, plan: Plan, outstanding: Open = ()) -> Found:
    """What is still open can only keep `judge` from saying what it says without."""
    slices = list(_sliced(looks))
    by_rule = zip(*(_at_looks(one, plan) for one in slices), strict=True)
    harmful, better, worse, *others = (np.concatenate(rule, axis=1) for rule in by_rule)
    paused = _first_judged(harmful, looks, plan, outstanding, is_paused)
    won = _first_judged(better, looks, plan, outstanding, is_won)
    return Found(paused, won, np.minimum(won, first(worse)), *map(first, others))


def first(seen: Bools) -> Floats:
    return np.where(seen.any(axis=1), seen.argmax(axis=1) + 1.0, inf)


def is_paused(judgement: Judgement) -> bool:
    """One harmful treatment is enough."""
    return any(one.verdict == Verdict.HARMFUL for one in judgement.treatments)


def is_won(judgement: Judgement) -> bool:
    return judgement.verdict == Verdict.WINNER


def judged(looks: Looks, run: int, look: int, plan: Plan, outstanding: Open = ()) -> Judgement:
    still_open = [Outstanding(*(int(np.asarray(field)[run, look]) for field in one)) for one in outstanding]
    control, *treatments = (
        Arm(
            variant=str(place),
            weight=weight,
            assigned=round(float(sums.customers)),
            success=sums,
            log_latency=Sums(),
            outstanding=still_open[place] if still_open else NOTHING,
        )
        for place, (weight, sums) in enumerate(
            zip(plan.weights, (_picked(one, (run, look)) for one in looks), strict=True)
        )
    )
    return judge(control, treatments, plan.rules)


def _first_judged(
    candidates: Bools, looks: Looks, plan: Plan, outstanding: Open, says: Callable[[Judgement], bool]
) -> Floats:
    numbers = np.full(len(candidates), inf)
    for run in np.flatnonzero(candidates.any(axis=1)):
        for look in np.flatnonzero(candidates[run]):
            if says(judged(looks, int(run), int(look), plan, outstanding)):
                numbers[run] = look + 1
                break
    return numbers


def _at_looks(looks: Looks, plan: Plan) -> list[Bools]:
    """Whether a treatment is harmful, whether one may be a winner, and whether control would be; what other rules say.

    The least p of several decides whether Holm rejects any, so that a winner is nowhere else.
    """
    control, *treatments = looks
    each = [_compared(control, one, plan, len(treatments)) for one in treatments]
    return [np.logical_or.reduce(rule) for rule in zip(*each, strict=True)]


def _compared(control: Sums, treatment: Sums, plan: Plan, treatments: int) -> list[Bools]:
    alpha = plan.rules.alpha / 2 / treatments
    z = signed_root(*effective(control, treatment))
    harmful, better, worse = (np.zeros(z.shape, np.bool_) for _ in range(3))
    far = np.abs(z) >= _least_z(alpha, treatments)
    here, there = _picked(control, far), _picked(treatment, far)
    if far.any():
        harmful[far] = is_harmful(here, there, HARM_ALPHA / treatments)
        better[far] = winning_log_p(here, there, plan.planned) <= log(alpha)
        worse[far] = is_ripe(here, there, plan.rules.min_samples) & (
            winning_log_p(there, here, plan.planned) <= log(alpha)
        )
    return [harmful, better, worse, *_as_others_do(control, treatment)]


def _least_z(alpha: float, treatments: int) -> float:
    """Nothing is found below: the winner's line is lowest at the plan, and no mixture of likelihood ratios is above the
    largest of them, exp(z²/2)."""
    at_plan = float(horizon_z(Fraction(np.asarray(1.0)), alpha))
    return min(at_plan, sqrt(2 * log(treatments / HARM_ALPHA))) - 1e-9


def _as_others_do(control: Sums, treatment: Sums) -> list[Bools]:
    is_enough = np.minimum(control.payments, treatment.payments) >= LEAST_PAYMENTS
    with np.errstate(invalid="ignore", divide="ignore"):
        drop = control.rate - treatment.rate
        z = pooled_z(_counted(control), _counted(treatment))
    return [
        is_enough & (drop > POINTS),
        is_enough & (z < -ONE_SIDED),
        is_enough & (z > TWO_SIDED),
    ]


def _counted(sums: Sums) -> Counts:
    return counts(sums.total, sums.payments)


def _picked(sums: Sums, at: Any) -> Sums:
    return Sums(*(np.asarray(field)[at] for field in sums))


def _sliced(looks: Looks) -> Iterator[Looks]:
    """Few enough at once that they stay in the processor's cache."""
    runs, count = np.shape(looks[0].total)
    step = max(LOOKS_AT_ONCE // runs, 1)
    for begin in range(0, count, step):
        yield [_picked(arm, (slice(None), slice(begin, begin + step))) for arm in looks]
