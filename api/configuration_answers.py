"""How what is configured looks from outside, with who set it, when and why. Version 0 is the defaults."""

from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response

from api import headers
from api.answers import json_response
from commands.routing.configuration import Configured, Setting
from commands.routing.configuration_faults import ANY_SEGMENT
from commands.routing.gateways import with_terms
from commands.routing.unreached_rules import warnings_in
from schemas.base import Value
from schemas.configuration import ROUTING_RULES, SCORING, SEGMENTATION, SHADOW, bandit, gateway, retry_policy
from schemas.gateway import NO_TERMS, GatewayConfiguration, GatewayTerms
from schemas.http import FieldError
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.routing_configuration import (
    Affinity,
    AlternativePolicy,
    RetryPolicy,
    Rule,
    ScoringWeights,
    SegmentDimension,
)


class RoutingRulesAnswer(Setting, frozen=True, kw_only=True):
    rules: tuple[Rule, ...]
    warnings: tuple[FieldError, ...]
    """Rules that no payment reaches."""


class ScoringWeightsAnswer(Setting, frozen=True, kw_only=True):
    weights: ScoringWeights
    affinities: tuple[Affinity, ...]


class SegmentationAnswer(Setting, frozen=True, kw_only=True):
    dimensions: tuple[SegmentDimension, ...]
    merchant_tiers: dict[str, str]


class ShadowPolicyAnswer(Setting, frozen=True, kw_only=True):
    policy: AlternativePolicy | None
    """Null: there is no shadow."""


class BanditPolicyAnswer(Setting, frozen=True, kw_only=True):
    segment: str
    enabled: bool
    exploration_share: float
    worse_by: float
    expected_loss: float
    sharpness: float


class BanditPoliciesAnswer(Value, frozen=True, kw_only=True):
    """`*` first: it stands for every segment that is not listed."""

    policies: tuple[BanditPolicyAnswer, ...]


class GatewayAnswer(Setting, frozen=True, kw_only=True):
    """As it is in force; `set` is what operators have set of it, and the rest is as it is configured."""

    id: GatewayId
    name: str
    adapter: str
    enabled: bool
    priority: int
    fee_bps: int
    payment_methods: tuple[PaymentMethod, ...]
    currencies: tuple[str, ...]
    minimum_amount_minor: int
    maximum_amount_minor: int | None
    timeout_ms: int
    set: GatewayTerms


class GatewaysAnswer(Value, frozen=True, kw_only=True):
    gateways: tuple[GatewayAnswer, ...]


class KillSwitchAnswer(Setting, frozen=True, kw_only=True):
    kind: str
    name: str
    on: bool
    warnings: tuple[FieldError, ...]
    """What no gateway takes while it is on."""


class KillSwitchesAnswer(Value, frozen=True, kw_only=True):
    """All that were ever on."""

    switches: tuple[KillSwitchAnswer, ...]


class RetryPolicyAnswer(Setting, frozen=True, kw_only=True):
    """What is in force for the merchant, whose own it is unless `is_default`."""

    merchant_id: str
    is_default: bool
    max_attempts: int
    latency_budget_ms: int
    enabled: bool
    retry_on_timeout: bool
    keep_late_success: bool
    try_open_circuits: bool
    warnings: tuple[FieldError, ...]


def rules_answer(configured: Configured) -> RoutingRulesAnswer:
    setting, rules = configured.setting(ROUTING_RULES), configured.routing.rules
    return RoutingRulesAnswer(**asdict(setting), rules=rules.rules, warnings=tuple(warnings_in(rules)))


def weights_answer(configured: Configured) -> ScoringWeightsAnswer:
    setting, routing = configured.setting(SCORING), configured.routing
    return ScoringWeightsAnswer(**asdict(setting), weights=routing.weights, affinities=routing.affinities)


def shadow_answer(configured: Configured) -> ShadowPolicyAnswer:
    return ShadowPolicyAnswer(**asdict(configured.setting(SHADOW)), policy=configured.routing.shadow)


def segmentation_answer(configured: Configured) -> SegmentationAnswer:
    setting, segmentation = configured.setting(SEGMENTATION), configured.routing.segmentation
    return SegmentationAnswer(
        **asdict(setting),
        dimensions=segmentation.dimensions,
        merchant_tiers=segmentation.merchant_tiers,
    )


def policy_answer(segment: str, configured: Configured) -> BanditPolicyAnswer:
    policy = configured.routing.bandit(segment)
    return BanditPolicyAnswer(
        **asdict(configured.setting(bandit(segment))),
        segment=segment,
        enabled=policy.enabled,
        exploration_share=policy.exploration_share,
        worse_by=policy.worse_by,
        expected_loss=policy.expected_loss,
        sharpness=policy.sharpness,
    )


def policies_answer(configured: Configured) -> BanditPoliciesAnswer:
    segments = sorted(configured.routing.bandits.keys() | {ANY_SEGMENT})
    return BanditPoliciesAnswer(policies=tuple(policy_answer(segment, configured) for segment in segments))


def gateway_answer(configured_as: GatewayConfiguration, configured: Configured) -> GatewayAnswer:
    terms = configured.routing.gateways.get(configured_as.id, NO_TERMS)
    in_force = with_terms(configured_as, terms)
    return GatewayAnswer(
        **asdict(configured.setting(gateway(in_force.id))),
        id=in_force.id,
        name=in_force.name,
        adapter=in_force.adapter,
        enabled=in_force.enabled,
        priority=in_force.priority,
        fee_bps=in_force.fee_bps,
        payment_methods=in_force.payment_methods,
        currencies=in_force.currencies,
        minimum_amount_minor=in_force.minimum_amount_minor,
        maximum_amount_minor=in_force.maximum_amount_minor,
        timeout_ms=in_force.timeout_ms,
        set=terms,
    )


def retry_policy_answer(
    merchant_id: str, default: RetryPolicy, drained_budget_ms: int, configured: Configured
) -> RetryPolicyAnswer:
    own = configured.routing.retry_policies.get(merchant_id)
    policy = own if own is not None else default
    cut_off = FieldError(
        pointer="/latency_budget_ms",
        detail=f"is more than {drained_budget_ms}: a restart may cut a payment off (DRAIN_TIMEOUT_S), "
        "which is then verified",
    )
    return RetryPolicyAnswer(
        **asdict(configured.setting(retry_policy(merchant_id))),
        merchant_id=merchant_id,
        is_default=own is None,
        max_attempts=policy.max_attempts,
        latency_budget_ms=policy.latency_budget_ms,
        enabled=policy.enabled,
        retry_on_timeout=policy.retry_on_timeout,
        keep_late_success=policy.keep_late_success,
        try_open_circuits=policy.try_open_circuits,
        warnings=(cut_off,) if policy.latency_budget_ms > drained_budget_ms else (),
    )


def shown(request: Request, answer: Setting) -> Response:
    """To whoever reads it: its version is its entity tag."""
    answered = {"ETag": _etag(answer)}
    if headers.is_known(request, answered["ETag"]):
        return Response(None, 304, answered)
    return json_response(answer, 200, answered)


def told(answer: Setting) -> Response:
    """To whoever has set it."""
    return json_response(answer, 200, {"ETag": _etag(answer)})


def _etag(answer: Setting) -> str:
    return f'"{answer.version}"'
