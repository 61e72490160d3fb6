"""What may be said of another policy: one of five verdicts, with reasons from a closed list.

*History cannot answer* is one of them. It comes before any figure that could be believed by mistake.
"""

from collections.abc import Iterator
from enum import StrEnum

from projections.statistics.off_policy import OffPolicy
from projections.statistics.results import Interval
from schemas.base import Value

LEAST_CUSTOMERS = 100
LEAST_EFFECTIVE = 100
"""Effective payments: with fewer the intervals are too narrow (`./dev bench what-if`)."""
MOST_UNKNOWN = 0.02
"""Points of the reward: bounds that lie farther apart, without chance, say nothing of a routing policy."""
MOST_WEIGHTS_OFF = 4.0
"""Standard errors."""


class WhatIfVerdict(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE_SEEN = "no_difference_seen"
    SAME = "decides_the_same"
    CANNOT_ANSWER = "history_cannot_answer"


class WhatIfReason(StrEnum):
    TOO_FEW_CUSTOMERS = "too_few_customers"
    TOO_FEW_EXAMPLES = "too_few_payments_went_where_it_would_send_them"
    NO_OVERLAP = "it_sends_payments_where_history_sent_none"
    UNRECORDED = "it_sends_payments_where_history_recorded_nothing"
    OPEN = "too_many_outcomes_are_not_known_yet"
    UNTOLD = "its_retries_would_go_on_otherwise_than_history_did"
    PROPENSITIES_ARE_WRONG = "payments_were_not_sent_by_the_propensities_that_were_recorded"


PLAINLY = {
    WhatIfReason.TOO_FEW_CUSTOMERS: f"fewer than {LEAST_CUSTOMERS} customers: any figure is chance",
    WhatIfReason.TOO_FEW_EXAMPLES: "what it does was hardly ever done: a few payments would stand for all",
    WhatIfReason.NO_OVERLAP: "what it would do was never tried, or too seldom: let the bandit explore, or experiment",
    WhatIfReason.UNRECORDED: "it lets gateways in of which nothing was recorded: run it as a shadow",
    WhatIfReason.OPEN: "too many payments have no outcome yet: end the range earlier",
    WhatIfReason.UNTOLD: "its retries would go where history's did not: only its first attempts can be judged",
    WhatIfReason.PROPENSITIES_ARE_WRONG: "gateways were not drawn as the events say: find out why first",
}


class WhatIfJudgement(Value, frozen=True, kw_only=True):
    verdict: WhatIfVerdict
    reasons: tuple[WhatIfReason, ...] = ()


def judge_other(found: OffPolicy) -> WhatIfJudgement:
    if found.is_same:
        return WhatIfJudgement(verdict=WhatIfVerdict.SAME)
    if faults := tuple(_faults(found)):
        return WhatIfJudgement(verdict=WhatIfVerdict.CANNOT_ANSWER, reasons=faults)
    least, most = _edges(found.uplift_bounds)
    if least > 0:
        return WhatIfJudgement(verdict=WhatIfVerdict.BETTER)
    if most < 0:
        return WhatIfJudgement(verdict=WhatIfVerdict.WORSE)
    lower, upper = _edges(found.uplift)
    unknown = (most - least) - (upper - lower)
    is_seen_by_chance_alone = lower > 0 or upper < 0
    if unknown > MOST_UNKNOWN or (is_seen_by_chance_alone and unknown > 0):
        return WhatIfJudgement(verdict=WhatIfVerdict.CANNOT_ANSWER, reasons=(_most_unknown(found),))
    return WhatIfJudgement(verdict=WhatIfVerdict.NO_DIFFERENCE_SEEN)


def _edges(interval: Interval) -> tuple[float, float]:
    assert interval.lower is not None
    assert interval.upper is not None
    return interval.lower, interval.upper


def _faults(found: OffPolicy) -> Iterator[WhatIfReason]:
    """Those for which no interval can be believed."""
    if found.weights_off is None or abs(found.weights_off) > MOST_WEIGHTS_OFF:
        yield WhatIfReason.PROPENSITIES_ARE_WRONG
    if found.customers < LEAST_CUSTOMERS:
        yield WhatIfReason.TOO_FEW_CUSTOMERS
    elif (found.overlap.effective_sample or 0.0) < LEAST_EFFECTIVE:
        without, unrecorded = found.overlap.without_examples, found.overlap.unrecorded
        if max(without, unrecorded) < 0.5:
            yield WhatIfReason.TOO_FEW_EXAMPLES
        else:
            yield WhatIfReason.NO_OVERLAP if without > unrecorded else WhatIfReason.UNRECORDED


def _most_unknown(found: OffPolicy) -> WhatIfReason:
    overlap = found.overlap
    shares = {
        WhatIfReason.OPEN: overlap.open,
        WhatIfReason.UNTOLD: overlap.untold,
        WhatIfReason.UNRECORDED: overlap.unrecorded,
        WhatIfReason.NO_OVERLAP: overlap.without_examples,
    }
    return max(shares, key=shares.__getitem__)
