"""The bodies by which routing is configured and tried."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from schemas.base import Body
from schemas.gateway import AmountMinor, BasisPoints, Currencies, Methods, Priority
from schemas.http import PaymentBody
from schemas.routing_configuration import (
    MOST_AFFINITIES,
    MOST_RULES,
    Affinity,
    AlternativePolicy,
    Attempts,
    BudgetMs,
    Name,
    Rule,
    ScoringWeights,
    Segmentation,
    SegmentDimension,
    Share,
    Sharpness,
)

By = Annotated[str, Meta(min_length=1, max_length=64)]
Note = Annotated[str, Meta(max_length=500)]
Rules = Annotated[tuple[Rule, ...], Meta(max_length=MOST_RULES)]


class RoutingRulesBody(Body, frozen=True, kw_only=True):
    """`PUT /routing-rules`: all rules, in order."""

    rules: Rules
    by: By
    note: Note = ""


class ScoringWeightsBody(Body, frozen=True, kw_only=True):
    """`PUT /scoring/weights`: all of both. A weight that is left out has its default."""

    weights: ScoringWeights
    affinities: Annotated[tuple[Affinity, ...], Meta(max_length=MOST_AFFINITIES)] = ()
    by: By
    note: Note = ""


class SegmentationBody(Segmentation, frozen=True, kw_only=True):
    """`PUT /bandit/segmentation`."""

    dimensions: tuple[SegmentDimension, ...]
    by: By
    note: Note = ""


class BanditPolicyBody(Body, frozen=True, kw_only=True):
    """`POST /bandit/policy/{segment}/enable` and `/disable`. A budget that is left out stays as it is."""

    sharpness: Sharpness | None = None
    exploration_share: Share | None = None
    worse_by: Share | None = None
    expected_loss: Share | None = None
    by: By = "operator"
    note: Note = ""


class ShadowPolicyBody(Body, frozen=True, kw_only=True):
    """`PUT /shadow-policy`: all of it; null ends the shadow."""

    policy: AlternativePolicy | None
    by: By
    note: Note = ""


class GatewayBody(Body, frozen=True, kw_only=True):
    """`PATCH /gateways/{id}`, a merge patch (RFC 7396): what is left out stays, what is null is again as configured."""

    by: By
    note: Note = ""
    enabled: bool | UnsetType | None = UNSET
    priority: Priority | UnsetType | None = UNSET
    fee_bps: BasisPoints | UnsetType | None = UNSET
    payment_methods: Methods | UnsetType | None = UNSET
    currencies: Currencies | UnsetType | None = UNSET
    minimum_amount_minor: AmountMinor | UnsetType | None = UNSET
    maximum_amount_minor: AmountMinor | UnsetType | None = UNSET


class RetryPolicyBody(Body, frozen=True, kw_only=True):
    """`PUT /retry-policy/{merchant_id}`: all of it. What is left out is as in the default."""

    merchant_id: str | None = None
    """The path's, where it is given."""
    max_attempts: Attempts | UnsetType = UNSET
    latency_budget_ms: BudgetMs | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    retry_on_timeout: bool | UnsetType = UNSET
    keep_late_success: bool | UnsetType = UNSET
    try_open_circuits: bool | UnsetType = UNSET
    by: By
    note: Note = ""


class KillSwitchBody(Body, frozen=True, kw_only=True):
    """`POST /kill-switches`: whom it is for, whether it is to be on, who says so and why."""

    kind: Literal["gateway", "method", "merchant", "strategy"]
    name: Name
    on: bool
    by: By
    note: Annotated[str, Meta(min_length=1, max_length=500)]


class DryRunBody(PaymentBody, frozen=True, kw_only=True):
    """`POST /routing-rules/dry-run`: a payment as it would be posted, and perhaps rules to try in place of ours."""

    rules: Rules | None = None
