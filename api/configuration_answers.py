"""How what is configured looks from outside, with who set it, when and why. Version 0 is the defaults."""

from msgspec.structs import asdict

from commands.routing.configuration import Configured, Setting
from commands.routing.configuration_faults import ANY_SEGMENT
from commands.routing.unreached_rules import warnings_in
from schemas.base import Value
from schemas.configuration import ROUTING_RULES, SCORING, SEGMENTATION, bandit
from schemas.http import FieldError
from schemas.routing_configuration import Affinity, Rule, ScoringWeights, SegmentDimension


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


def rules_answer(configured: Configured) -> RoutingRulesAnswer:
    setting, rules = configured.setting(ROUTING_RULES), configured.routing.rules
    return RoutingRulesAnswer(**asdict(setting), rules=rules.rules, warnings=tuple(warnings_in(rules)))


def weights_answer(configured: Configured) -> ScoringWeightsAnswer:
    setting, routing = configured.setting(SCORING), configured.routing
    return ScoringWeightsAnswer(**asdict(setting), weights=routing.weights, affinities=routing.affinities)


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
