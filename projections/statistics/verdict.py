"""What may be said of an experiment: one of five verdicts, with reasons from a closed list. `judge.py` says it."""

from enum import StrEnum

from projections.statistics.latency import Latency
from projections.statistics.outstanding import NOTHING, Outstanding
from projections.statistics.sample_ratio import SampleRatio
from projections.statistics.sequential import Sequential
from projections.statistics.sums import Sums
from projections.statistics.winning import Winning
from schemas.base import Value


class Verdict(StrEnum):
    COLLECTING = "collecting"
    SRM = "srm"
    HARMFUL = "harmful"
    NO_DIFFERENCE = "no_difference"
    WINNER = "winner"


class Reason(StrEnum):
    SPLIT_IS_BROKEN = "customers_are_not_split_as_configured"
    CREDIBLY_WORSE = "succeeds_credibly_less_often_than_control"
    ANY_ATTEMPT_CREDIBLY_WORSE = "succeeds_credibly_less_often_by_any_attempt_than_control"
    CREDIBLY_SLOWER = "is_credibly_slower_than_tolerated"
    TOO_FEW_CUSTOMERS = "fewer_independent_customers_than_the_minimum"
    BETTER = "succeeds_significantly_more_often_than_control"
    NOT_BETTER_YET = "does_not_succeed_significantly_more_often_yet"
    NOT_CERTIFIED = "may_still_be_worse_by_more_than_the_margin"
    ANY_ATTEMPT_NOT_CERTIFIED = "may_still_be_worse_by_any_attempt_by_more_than_the_margin"
    PLAN_NOT_REACHED = "the_planned_sample_is_not_reached"
    WITHIN_MARGIN = "differs_from_control_by_less_than_the_margin"
    PLAN_WAS_TOO_SMALL = "the_planned_sample_could_not_tell"


class Rules(Value, frozen=True, kw_only=True):
    planned_customers: int
    """In the smaller arm: independent ones who pay once, or what tells as much."""
    min_samples: int = 100
    """Independent customers in each arm, before a winner or a slow treatment is called one."""
    max_success_drop: float = 0.05
    """The margin: a winner is certainly not worse by it, and what differs by less is no difference."""
    max_latency_multiplier: float = 1.5
    alpha: float = 0.05
    """Of all winners together, two-sided: a half of it is the probability that any harmless treatment is called one."""


class Arm(Value, frozen=True, kw_only=True):
    variant: str
    weight: float
    assigned: int
    """Customers."""
    success: Sums
    """By the metric that decides."""
    any_attempt_success: Sums | None = None
    """Where another metric decides: nobody may lose what is paid in the end. None where this decides."""
    log_latency: Sums
    """Of ln(milliseconds)."""
    outstanding: Outstanding = NOTHING


class Judged(Value, frozen=True, kw_only=True):
    """One treatment against control."""

    variant: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    sequential: Sequential
    """By the metric that decides; it holds whatever becomes of what is open, as do both below."""
    any_attempt: Sequential | None
    """Where another metric decides."""
    winning: Winning
    adjusted_p: float
    """Of the winner's test, two-sided, by Holm over the treatments."""
    latency: Latency


class Judgement(Value, frozen=True, kw_only=True):
    verdict: Verdict
    winner: str | None
    """The variant; of several the one with the highest success rate."""
    reasons: tuple[Reason, ...]
    sample_ratio: SampleRatio
    treatments: tuple[Judged, ...]
