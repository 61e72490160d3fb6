"""Another configuration of routing, in the words of the one in force: to be judged on history, or run as a shadow."""

from schemas.base import Body
from schemas.routing_configuration import (
    Affinity,
    BanditPolicy,
    MerchantRetryPolicy,
    RoutingRules,
    ScoringWeights,
)


class AlternativePolicy(Body, frozen=True, kw_only=True, omit_defaults=True):
    """What is not given is as it is in force, or was when a payment was routed."""

    weights: ScoringWeights | None = None
    affinities: tuple[Affinity, ...] | None = None
    rules: RoutingRules | None = None
    """All of them, in order."""
    bandits: dict[str, BanditPolicy] | None = None
    """By segment; `*` stands for every segment that has none of its own, and where there is neither it is off."""
    retry_policies: dict[str, MerchantRetryPolicy] | None = None
    """By merchant; `*` stands for every merchant that has none of its own."""
