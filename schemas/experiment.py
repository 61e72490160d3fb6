"""Experiments: what is compared, on whom, and everything that can happen to one.

The customer is the unit: whoever is in a variant stays in it. The buckets that a variant has are in the events, so that
no process needs to know how they were given out.
"""

from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.base import Body, Command, Event, Value
from schemas.gateway import GatewayConfiguration
from schemas.ids import ExperimentId, GatewayId
from schemas.routing_configuration import NO_CONDITION, Condition, ScoringWeights

BUCKETS = 10_000
"""Customers fall into so many by their hash; a weight is a number of buckets, hundredths of a percent."""
MOST_RUNNING = 50
"""Routing looks at each of them. The log is judged by it, so that it is for life."""
MOST_VARIANTS = 10

Status = Literal["RUNNING", "PAUSED", "STOPPED", "CONCLUDED"]
"""`STOPPED` by a person, `CONCLUDED` with a verdict; both are for good."""
Weight = Annotated[int, Meta(ge=0, le=BUCKETS)]
Slug = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,47}$(?!\n)")]


class RetryOverride(Body, frozen=True, kw_only=True, omit_defaults=True):
    """What is given replaces that part of the merchant's policy."""

    max_attempts: Annotated[int, Meta(ge=1, le=10)] | None = None
    latency_budget_ms: Annotated[int, Meta(ge=500, le=60_000)] | None = None
    """Less would leave nearly every payment in doubt."""
    enabled: bool | None = None
    retry_on_timeout: bool | None = None


class Override(Body, frozen=True, kw_only=True, omit_defaults=True):
    """How a variant routes otherwise than payments outside the experiment; nothing given is exactly as they are.

    Rules that pin, prefer or split come first: where one decides, `order` and `share` do not matter.
    """

    order: Annotated[tuple[GatewayId, ...], Meta(min_length=1, max_length=32)] | None = None
    """These first; the others follow by score."""
    share: (
        Annotated[dict[GatewayId, Annotated[int, Meta(ge=1, le=1_000)]], Meta(min_length=1, max_length=32)]
        | None
    ) = None
    """The first gateway is drawn by these weights."""
    weights: ScoringWeights | None = None
    bandit: bool | None = None
    """On or off, whatever the segment's policy says."""
    retry: RetryOverride | None = None


NO_OVERRIDE = Override()


class Variant(Body, frozen=True, kw_only=True):
    name: Slug
    weight: Weight
    override: Override = NO_OVERRIDE


class Guardrails(Body, frozen=True, kw_only=True):
    """Where one is not given, the service's own setting holds (`EXPERIMENT_GUARDRAIL_…`)."""

    min_samples: Annotated[int, Meta(ge=10, le=1_000_000)] | None = None
    max_success_drop: Annotated[float, Meta(gt=0, lt=1)] | None = None
    max_latency_multiplier: Annotated[float, Meta(gt=1, le=100)] | None = None


class Design(Body, frozen=True, kw_only=True):
    """All that is decided before the first customer. The first variant is the control."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    variants: Annotated[tuple[Variant, ...], Meta(min_length=2, max_length=MOST_VARIANTS)]
    planned_customers: Annotated[int, Meta(ge=10, le=100_000_000)]
    """In the smallest arm: the winner's test spends its error over them."""
    planned_days: Annotated[float, Meta(ge=0.01, le=366)]
    filter: Condition = NO_CONDITION
    metric: Literal["any_attempt_success", "first_attempt_success"] = "any_attempt_success"
    """What decides; it and the others are told whichever it is."""
    guardrails: Guardrails = Guardrails()
    group: Slug | None = None
    """No customer is in two experiments of one group at once."""

    @property
    def control(self) -> Variant:
        return self.variants[0]


ANY_VARIANT = "*"


class BucketRange(Value, frozen=True, kw_only=True):
    """The buckets from `first` up to, but without, `end`."""

    variant: str
    """`*` where the design has arms."""
    first: int
    end: int


Allocation = tuple[BucketRange, ...]
"""Disjoint, by ascending buckets; a bucket in none of them is not in the experiment."""


class RecordedDesign(Design, frozen=True, kw_only=True):
    """A design as the log has it. Who is too old for `arms` cannot read it, and so must not route by it."""

    arms: Annotated[Allocation, Meta(min_length=1)] | UnsetType = UNSET
    """In a group: who is in the experiment comes to a variant by a second hash, of the experiment's id and the
    customer, modulo the end of the last of these ranges. Without them the allocation says it all."""


class Evidence(Value, frozen=True, kw_only=True):
    """The numbers that somebody acted on, as the results told them then."""

    verdict: str
    reasons: tuple[str, ...]
    figures: dict[str, dict[str, float | None]] = msgspec.field(default_factory=dict)
    """By variant: customers, payments, rates, intervals and what else decided."""
    rules: dict[str, float] = msgspec.field(default_factory=dict)
    """The limits, the plan and the α that these were judged by, by name."""
    split_p: float | None = None
    """Always valid: that customers are split as configured. None before it was told."""
    next_offsets: dict[int, int] = msgspec.field(default_factory=dict)
    """By partition of `payments.events.v1`: every record below is in the figures."""


# Commands


class StartExperiment(Command, frozen=True, kw_only=True):
    experiment_id: ExperimentId
    design: Design
    gateways: tuple[GatewayConfiguration, ...]
    budgets_ms: tuple[int, ...] = ()
    """The latency budgets of the merchants that the filter names."""
    limits: Guardrails = Guardrails()
    """The service's own, where the design has none."""
    by: str
    note: str


class PauseExperiment(Command, frozen=True, kw_only=True):
    experiment_id: ExperimentId
    by: str
    note: str
    evidence: Evidence | None = None


class ResumeExperiment(Command, frozen=True, kw_only=True):
    experiment_id: ExperimentId
    by: str
    note: str
    scale: float = 1.0
    """Every weight is multiplied by it: the proportions of the arms are for the experiment's life."""


class StopExperiment(Command, frozen=True, kw_only=True):
    experiment_id: ExperimentId
    by: str
    note: str


class ConcludeExperiment(Command, frozen=True, kw_only=True):
    experiment_id: ExperimentId
    follows_version: int
    """Of the experiment that was judged."""
    by: str
    evidence: Evidence


ExperimentCommand = StartExperiment | PauseExperiment | ResumeExperiment | StopExperiment | ConcludeExperiment

# Events


class ExperimentStarted(Event, frozen=True, kw_only=True):
    """`salt` is hashed with the customer's id: the group's name, or the experiment's id. Of one salt, no bucket is held
    by two experiments at once."""

    experiment_id: ExperimentId
    design: RecordedDesign
    salt: str
    allocation: Allocation
    by: str
    note: str


class ExperimentPaused(Event, frozen=True, kw_only=True):
    """Everybody is routed as outside the experiment from now on. `evidence` is there when a guardrail did it."""

    experiment_id: ExperimentId
    by: str
    note: str
    evidence: Evidence | None = None


class ExperimentResumed(Event, frozen=True, kw_only=True):
    """Nobody changes the variant: an allocation that grew only takes in new customers."""

    experiment_id: ExperimentId
    allocation: Allocation
    by: str
    note: str


class ExperimentStopped(Event, frozen=True, kw_only=True):
    """By a person, and for good."""

    experiment_id: ExperimentId
    by: str
    note: str


class ExperimentConcluded(Event, frozen=True, kw_only=True):
    """At its end, with what it came to."""

    experiment_id: ExperimentId
    by: str
    evidence: Evidence
    follows_version: int | None = None
    """The offset after the last event of the experiment that counted: void where another one counts in between. None
    in older ones, which follow whatever is there."""


ExperimentEvent = (
    ExperimentStarted | ExperimentPaused | ExperimentResumed | ExperimentStopped | ExperimentConcluded
)

# What a process hears that is too old for a design


class DesignOutline(Value, frozen=True, kw_only=True):
    """As much of a design as every process can read."""

    name: str


class UnreadStarted(Event, frozen=True, kw_only=True, tag="ExperimentStarted"):
    """An `ExperimentStarted` without how it routes, which the reader is too old for. It is never written."""

    experiment_id: ExperimentId
    design: DesignOutline
    salt: str
    allocation: Allocation
    by: str
    note: str


HeardOfExperiments = ExperimentEvent | UnreadStarted

# What routing knows of a running one


class Assignment(Protocol):
    def variant(self, customer_id: str) -> str | None:
        """None: the customer is not in the experiment."""


class RunningExperiment(Value, frozen=True, kw_only=True):
    experiment_id: ExperimentId
    assignment: Assignment
    filter: Condition
    variants: tuple[Variant, ...]
