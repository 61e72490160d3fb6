"""How routing is configured: what a score is made of, which rules come before it, and where the bandit may explore.

All of it is set by events on `configuration.events.v1`; a decision names the version that it was made under. Unknown
fields are refused also on the log: a process that is too old for a condition must not route as if it were not there.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.base import Body, Value
from schemas.gateway import GatewayTerms
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod

Weight = Annotated[float, Meta(ge=0, le=10)]
Sharpness = Annotated[float, Meta(ge=0.5, le=10)]
Share = Annotated[float, Meta(ge=0, le=1)]
Attempts = Annotated[int, Meta(ge=1, le=10)]
BudgetMs = Annotated[int, Meta(ge=100, le=60_000)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
MOST_RULES = 200
MOST_AFFINITIES = 500
MOST_NAMED = 200


class ScoringWeights(Body, frozen=True, kw_only=True):
    """What each term of a score is worth, in points of success rate (0.01 is one in a hundred payments).

    score = success + uncertainty · deviation + fit - latency · seconds - cost · percent + affinity · value
    - priority · place
    """

    uncertainty: Weight = 2.0
    """Standard deviations that a gateway is given beyond its mean success rate: what is little known is tried."""
    latency: Weight = 0.0005
    """Per second of median latency."""
    cost: Weight = 0.0005
    """Per percent of the amount that the gateway takes (100 basis points)."""
    affinity: Weight = 0.01
    """Per unit of configured affinity, which lies between -1 and 1."""
    priority: Weight = 0.0001
    """Per step of the gateway's configured priority: it decides between equals."""


class Affinity(Body, frozen=True, kw_only=True):
    """A merchant or a method goes well, or badly, with a gateway."""

    gateway: GatewayId
    value: Annotated[float, Meta(ge=-1, le=1)]
    merchant_id: Name | None = None
    payment_method: PaymentMethod | None = None


class BanditPolicy(Body, frozen=True, kw_only=True):
    """Of one segment. The two budgets bound what exploring may cost; within them propensities are Thompson's."""

    enabled: bool = False
    sharpness: Sharpness = 1.5
    """Posteriors are drawn from as if they knew so many times more; 1 is Thompson's own rule. A little sharper loses
    less where changes are detected (`./dev bench routing`)."""
    exploration_share: Share = 0.02
    """At most this share of a segment's payments goes to gateways believed to be `worse_by` or more worse."""
    worse_by: Share = 0.05
    expected_loss: Share = 0.0033
    """At most so many payments of a hundred (0.0033: a third of one) may exploring be expected to lose."""


SegmentDimension = Literal["payment_method", "merchant_tier", "amount_band", "currency"]


class Segmentation(Body, frozen=True, kw_only=True):
    """Payments of one segment learn together. Its name joins the values: `UPI`, or `UPI:gold:1e3`."""

    dimensions: tuple[SegmentDimension, ...] = ("payment_method",)
    merchant_tiers: dict[str, Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,15}$(?!\n)")]] = msgspec.field(
        default_factory=dict
    )
    """By merchant id; every other merchant is `standard`."""


# Rules


class Condition(Body, frozen=True, kw_only=True, omit_defaults=True):
    """All that is given must hold; nothing given holds for every payment.

    Only what is given is written down, so that a process without a later kind of condition reads the rules that do not
    use it.
    """

    merchant_ids: tuple[Name, ...] | None = None
    segments: tuple[Name, ...] | None = None
    payment_methods: tuple[PaymentMethod, ...] | None = None
    currencies: tuple[Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")], ...] | None = None
    minimum_amount_minor: Annotated[int, Meta(ge=1)] | None = None
    maximum_amount_minor: Annotated[int, Meta(ge=1)] | None = None
    issuers: tuple[Name, ...] | None = None
    networks: tuple[Name, ...] | None = None
    attributes: dict[str, tuple[str, ...]] | None = None
    """`X-Context-*` headers, in lower case and without the prefix, and the values any of which will do."""


NO_CONDITION = Condition()


class Pin(Body, frozen=True, kw_only=True, tag_field="type", tag="pin"):
    """Only this gateway, or none."""

    gateway: GatewayId


class Prefer(Body, frozen=True, kw_only=True, tag_field="type", tag="prefer"):
    """These first, in this order; the others after them by score."""

    gateways: Annotated[tuple[GatewayId, ...], Meta(min_length=1, max_length=32)]


class Split(Body, frozen=True, kw_only=True, tag_field="type", tag="split"):
    """The first gateway is drawn by weight among those that are eligible; the others follow by score."""

    weights: Annotated[
        dict[GatewayId, Annotated[int, Meta(ge=1, le=1_000)]], Meta(min_length=1, max_length=32)
    ]


class Exclude(Body, frozen=True, kw_only=True, tag_field="type", tag="exclude"):
    gateways: Annotated[tuple[GatewayId, ...], Meta(min_length=1, max_length=32)]


Action = Pin | Prefer | Split | Exclude


class Rule(Body, frozen=True, kw_only=True):
    id: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,47}$(?!\n)")]
    then: Action
    when: Condition = Condition()
    enabled: bool = True
    note: Annotated[str, Meta(max_length=256)] = ""


class RoutingRules(Body, frozen=True, kw_only=True):
    """In order. Every exclusion that matches counts; of the other rules the first that matches decides."""

    rules: Annotated[tuple[Rule, ...], Meta(max_length=MOST_RULES)] = ()


# Retries


class RetryPolicy(Value, frozen=True, kw_only=True):
    """One total latency budget over all attempts. `enabled: false` means one attempt."""

    max_attempts: Attempts = 3
    latency_budget_ms: BudgetMs = 10_000
    enabled: bool = True
    retry_on_timeout: bool = False
    """Another gateway may be tried after an attempt that is in doubt. A second success is then given back."""
    keep_late_success: bool = False
    """A single success after we said FAILURE is kept, not given back."""
    try_open_circuits: bool = True
    """When the circuits of all eligible gateways are open, the least bad is tried, instead of none."""


class MerchantRetryPolicy(RetryPolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As operators have set it for one merchant: whoever cannot read all of it must not obey half of it."""


# Kill switches


class GatewaySwitch(Body, frozen=True, kw_only=True, tag_field="kind", tag="gateway"):
    """No payment is sent there, no retry and no probe either."""

    name: GatewayId


class MethodSwitch(Body, frozen=True, kw_only=True, tag_field="kind", tag="method"):
    """No payment by this method is taken."""

    name: PaymentMethod


class MerchantSwitch(Body, frozen=True, kw_only=True, tag_field="kind", tag="merchant"):
    """No payment of this merchant is taken."""

    name: Name


StrategyName = Literal["scores", "bandit", "experiments"]


class StrategySwitch(Body, frozen=True, kw_only=True, tag_field="kind", tag="strategy"):
    """`scores`: gateways follow one another by their priority, and no bandit draws. `bandit`: none draws, whatever a
    policy or a variant says. `experiments`: nobody is in any. Rules, circuits and probes stay."""

    name: StrategyName


KillSwitch = GatewaySwitch | MethodSwitch | MerchantSwitch | StrategySwitch


class SwitchedOff(Value, frozen=True, kw_only=True):
    """What kill switches are on for, by name."""

    gateways: frozenset[GatewayId] = frozenset()
    methods: frozenset[PaymentMethod] = frozenset()
    merchants: frozenset[str] = frozenset()
    strategies: frozenset[StrategyName] = frozenset()


NOTHING_OFF = SwitchedOff()


# Another configuration


class AlternativePolicy(Body, frozen=True, kw_only=True, omit_defaults=True):
    """To be judged on history, or computed beside what is in force, as a shadow. What is not given is as it is in
    force, or was when a payment was routed."""

    weights: ScoringWeights | None = None
    affinities: Annotated[tuple[Affinity, ...], Meta(max_length=MOST_AFFINITIES)] | None = None
    rules: RoutingRules | None = None
    """All of them, in order."""
    bandits: Annotated[dict[str, BanditPolicy], Meta(max_length=MOST_NAMED)] | None = None
    """By segment; `*` stands for every segment that has none of its own, and where there is neither it is off."""
    retry_policies: Annotated[dict[str, MerchantRetryPolicy], Meta(max_length=MOST_NAMED)] | None = None
    """By merchant; `*` stands for every merchant that has none of its own."""


# All of it


class RoutingConfiguration(Value, frozen=True, kw_only=True):
    """Everything that is configured, as it stands after some event of `configuration.events.v1`."""

    version: int = 0
    """The offset after that event: 0 before there was any."""
    weights: ScoringWeights = ScoringWeights()
    affinities: tuple[Affinity, ...] = ()
    rules: RoutingRules = RoutingRules()
    segmentation: Segmentation = Segmentation()
    bandits: dict[str, BanditPolicy] = msgspec.field(default_factory=dict)
    """By segment; `*` stands for every segment that has none of its own."""
    gateways: dict[GatewayId, GatewayTerms] = msgspec.field(default_factory=dict)
    """Of those of which anything was ever set."""
    retry_policies: dict[str, MerchantRetryPolicy] = msgspec.field(default_factory=dict)
    """By merchant id, of those that have one set; every other has that of the settings."""
    off: SwitchedOff = NOTHING_OFF
    shadow: AlternativePolicy | None = None
    """What is computed beside every route, and obeyed by nobody."""

    def bandit(self, segment: str) -> BanditPolicy:
        return self.bandits.get(segment) or self.bandits.get("*") or BanditPolicy()
