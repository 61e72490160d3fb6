"""The shape of results in JSON: every interval and test names its method, and what cannot be said is null."""

from datetime import datetime

from projections.statistics import holm
from projections.statistics.clustered import DESIGN_EFFECT_METHOD, INDEPENDENT_METHOD
from projections.statistics.latency import SLOW_METHOD, Latency
from projections.statistics.ranks import Ranks
from projections.statistics.results import Interval, Significance
from projections.statistics.sample_ratio import SampleRatio
from projections.statistics.sequential import HARM_METHOD
from projections.statistics.verdict import Reason, Rules, Verdict
from projections.statistics.winning import REACHED_METHOD
from schemas.base import Value
from schemas.experiment import Evidence, Status

OVER_ALL = f"{holm.METHOD}_over_treatments_and_metrics"
OVER_TREATMENTS = f"{holm.METHOD}_over_treatments_of_twice_the_one_sided_p"
SixSums = tuple[int, int, int, int, int, int]
"""Of customers, each with x and y: how many they are, Σx, Σy, Σx², Σy², Σxy."""


class RateAnswer(Value, frozen=True, kw_only=True):
    """A success rate per payment."""

    clustered: Interval
    """By customers, who were assigned: Wilson's interval of as many independent payments as tell as much."""
    naive: Interval
    """As if all payments were independent, which they are not: too narrow, and here for comparison only."""
    design_effect: float | None
    """How many times the variance of as many independent payments; null before the first."""
    design_effect_method: str = DESIGN_EFFECT_METHOD


class LatencyAnswer(Value, frozen=True, kw_only=True):
    """Milliseconds until the first answer: what the calls of all attempts took together."""

    method: str
    payments: int
    """Whose latency is known: not where nobody saw a call end."""
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    geometric_mean_ms: float | None
    geometric_mean_method: str = "exp_of_the_mean_logarithm_in_thousandths"


class CostAnswer(Value, frozen=True, kw_only=True):
    method: str
    currency: str
    charged_minor: int
    cost_minor: float
    """What the gateways that charged take, by the fees that their routes were chosen with."""
    cost_share: float | None
    """Of what was charged; null where nothing was."""
    given_back_minor: int
    """Charged beside that, and given back to the customers, or about to be."""


class SumsAnswer(Value, frozen=True, kw_only=True):
    """All that success and latency are judged by, as integers: `experiment calc clustered` and `slowness` take them."""

    any_attempt_success: SixSums
    """x payments of which y succeed."""
    first_attempt_success: SixSums
    log_latency: SixSums
    """x payments whose latency is known, y the sum of ln(milliseconds) in thousandths."""
    awaiting: int
    """Exposed payments that are in none of the others yet: on their way, or waiting for their customers."""
    in_doubt: int
    """In doubt or in review: payments of those above that have not succeeded, and may have."""
    latency_bins: dict[int, int]
    """Of the same payments: how many took from over γ^(i-1) to γ^i milliseconds, by i; γ = 1.01 / 0.99."""


class VariantAnswer(Value, frozen=True, kw_only=True):
    variant: str
    is_control: bool
    weight: int
    """Buckets, as designed."""
    customers_assigned: int
    """Who had a payment that the variants would have routed differently."""
    customers: int
    """Who have a payment that counts."""
    payments_exposed: int
    payments: int
    """That count; the others are on their way, or wait for their customers."""
    independent_customers: float | None
    """As many who pay equally often weigh the same."""
    independent_customers_method: str = INDEPENDENT_METHOD
    any_attempt_success: RateAnswer
    first_attempt_success: RateAnswer
    latency: LatencyAnswer
    costs: tuple[CostAnswer, ...]
    awaiting_share: Interval
    """Of the exposed: on their way, or waiting for their customers. They count as soon as they are settled."""
    unknown_share: Interval
    """In doubt as of now, and counted as not succeeded."""
    in_review_share: Interval
    given_back_share: Interval
    """Payments that charged once too often, or after they had failed, and gave it back."""
    sums: SumsAnswer


class ComparisonAnswer(Value, frozen=True, kw_only=True):
    """Treatment less control, in parts of 1."""

    difference: Interval
    """Newcombe's, on effective counts, so by customers; at one look."""
    clustered_difference: Interval
    """By customers, with the variance of the delta method; at one look."""
    naive_difference: Interval
    """Newcombe's, as if all payments were independent: for comparison only."""
    always_valid_difference: Interval
    """All of its intervals, over all looks, hold the truth together. Of what is counted; `harm` has what decides."""
    relative_lift: Interval
    """treatment / control - 1, by customers; at one look."""
    test: Significance
    """By customers, two-sided; at one look."""
    adjusted_p: float | None
    """Of this test, by Holm over all treatments and the three metrics; at one look."""
    adjusted_p_method: str = OVER_ALL


class HarmAnswer(Value, frozen=True, kw_only=True):
    """What decides; it holds whatever becomes of payments that are open."""

    method: str
    difference: Interval
    """Always valid: what a winner's certainty not to be worse is read from, and *no difference*."""
    p_value: float
    """Always valid, one-sided: that the treatment succeeds less often than control."""
    log10_evidence: float
    is_harmful: bool
    alpha: float


class WinningAnswer(Value, frozen=True, kw_only=True):
    test: Significance
    """Always valid and strongest at the planned sample, one-sided: that the treatment succeeds more often."""
    adjusted_p: float
    """Two-sided, by Holm over the treatments: what decides."""
    adjusted_p_method: str = OVER_TREATMENTS
    difference: Interval
    """Narrowest at the planned sample, and valid at every look."""


class SlownessAnswer(Value, frozen=True, kw_only=True):
    geometric_means: Latency
    ranks: Ranks | None
    """Mann and Whitney's test on the bins of the sketch; null while an arm has no latency."""
    adjusted_p: float | None
    """Of the test by ranks, by Holm over all treatments and the three metrics; at one look."""
    adjusted_p_method: str = OVER_ALL


class PowerAnswer(Value, frozen=True, kw_only=True):
    method: str
    power: float
    planned_customers: float
    """In the smaller of this treatment's arm and control, when the smallest arm of all has those of the design."""
    reached: float
    """Of these, in the smaller arm: independent customers who pay once, or what tells as much."""
    reached_method: str = REACHED_METHOD
    least_difference_now: float | None
    """The smallest gain that a single look at what there is now finds with that power; null if none."""
    least_difference_at_plan: float | None
    """The same of the planned sample, divided by the weights."""
    remaining_days: float | None
    """Until the planned sample, at the pace so far, or until the planned end, whichever comes first; null if neither
    can be told, 0 of an experiment that does not run."""
    remaining_days_method: str = "linear_by_the_pace_so_far_or_planned_end"


class TreatmentAnswer(Value, frozen=True, kw_only=True):
    variant: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    any_attempt_success: ComparisonAnswer | None
    """Null while an arm has no payment that counts."""
    first_attempt_success: ComparisonAnswer | None
    harm: HarmAnswer
    """By the metric that decides."""
    any_attempt_harm: HarmAnswer | None
    """Where another metric decides: each of the two has half of α. Null where this one does."""
    winning: WinningAnswer
    latency: SlownessAnswer
    power: PowerAnswer


class ResultsAnswer(Value, frozen=True, kw_only=True):
    experiment_id: str
    name: str
    status: Status
    metric: str
    """What decides."""
    started_at: datetime
    planned_days: float
    rules: Rules
    """The limits that verdicts were made with."""
    verdict: Verdict
    """As things stand."""
    winner: str | None
    reasons: tuple[Reason, ...]
    sample_ratio: SampleRatio
    variants: tuple[VariantAnswer, ...]
    """Control first."""
    treatments: tuple[TreatmentAnswer, ...]
    """Those that have any weight."""
    acted_on: Evidence | None
    """The numbers on which it was concluded, or last paused by a guardrail, as they were then."""
    next_offsets: dict[int, int]
    """By partition of `payments.events.v1`: every record below is in the figures."""


class TreatmentVerdict(Value, frozen=True, kw_only=True):
    variant: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    adjusted_p: float
    """Of the winner's test, by Holm."""
    adjusted_p_method: str = OVER_TREATMENTS
    always_valid_difference: Interval
    harm_p: float
    harm_p_method: str = HARM_METHOD
    always_valid_any_attempt_difference: Interval | None
    """These two where another metric decides."""
    any_attempt_harm_p: float | None
    any_attempt_harm_p_method: str = HARM_METHOD
    slow_p: float | None
    slow_p_method: str = SLOW_METHOD
    reached: float
    reached_method: str = REACHED_METHOD


class Standing(Value, frozen=True, kw_only=True):
    verdict: str
    """A `Verdict`; or what a newer version of the service has concluded with, and likewise its reasons."""
    winner: str | None
    reasons: tuple[str, ...]


class WinnerAnswer(Value, frozen=True, kw_only=True):
    experiment_id: str
    status: Status
    verdict: str
    """Of an experiment that was concluded, what it came to then; of any other, as things stand."""
    winner: str | None
    reasons: tuple[str, ...]
    now: Standing
    """As things stand, also of a concluded one, whose last payments were settled since. So do all figures below."""
    margin: float
    """What differs by less is no difference, and a winner is certainly not worse by it."""
    metric: str
    sample_ratio: SampleRatio
    treatments: tuple[TreatmentVerdict, ...]
    acted_on: Evidence | None
