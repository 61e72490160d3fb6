"""How another configuration would route: a payment that is being made, or one of the past from what its event holds."""

from typing import NamedTuple

from msgspec.structs import replace

from commands.routing.ranking import had_it_been, rank
from commands.routing.route import affinity, ruled_out
from commands.routing.rules import apply
from schemas.ids import GatewayId
from schemas.payment import Order, PaymentRouted
from schemas.routing import Candidate, Decision, Exclusion, Strategy
from schemas.routing_configuration import (
    AlternativePolicy,
    Exclude,
    Pin,
    Prefer,
    RetryPolicy,
    RoutingConfiguration,
    Split,
)

BY_RULE: tuple[Exclusion, ...] = ("rule", "not_pinned")
BY_CIRCUIT: tuple[Exclusion, ...] = ("circuit_open", "circuit_half_open")


class Rerouted(NamedTuple):
    strategy: Strategy
    candidates: tuple[Candidate, ...]
    """Each with the probability that it is put first. None: nobody would take the payment."""
    decision: Decision
    retries: RetryPolicy
    unrecorded: tuple[GatewayId, ...]
    """Gateways that this policy's rules let in and that were no candidates, for the rules of then or, as long as there
    was another, for their circuits. What was believed of them is in no event: where there are any, all else here is a
    guess."""

    def had_it_been(self, first: GatewayId) -> tuple[Candidate, ...]:
        """In the order in which they would be tried where that one comes first; it may, by its probability."""
        if self.candidates and self.candidates[0].gateway == first:
            return self.candidates
        return had_it_been(first, self.candidates, self.decision)


def otherwise(configuration: RoutingConfiguration, policy: AlternativePolicy) -> RoutingConfiguration:
    """To route by what is in force but for this. Retries are not a matter of it (`retries_of`)."""
    return replace(
        configuration,
        weights=policy.weights or configuration.weights,
        affinities=configuration.affinities if policy.affinities is None else policy.affinities,
        rules=policy.rules or configuration.rules,
        bandits=configuration.bandits if policy.bandits is None else policy.bandits,
    )


def retries_of(merchant_id: str, policy: AlternativePolicy, in_force: RetryPolicy) -> RetryPolicy:
    own = policy.retry_policies or {}
    return own.get(merchant_id) or own.get("*") or in_force


def gateways_named(policy: AlternativePolicy) -> frozenset[GatewayId]:
    named = {one.gateway for one in policy.affinities or ()}
    for rule in policy.rules.rules if policy.rules is not None else ():
        match rule.then:
            case Pin(gateway=gateway):
                named.add(gateway)
            case Prefer(gateways=several) | Exclude(gateways=several):
                named.update(several)
            case Split(weights=weights):
                named.update(weights)
    return frozenset(named)


def rerouted(
    order: Order,
    routed: PaymentRouted,
    policy: AlternativePolicy,
    memory: dict[object, tuple[float, ...]] | None = None,
) -> Rerouted:
    """What the policy makes of a past decision, by the function that made it.

    Circuits, beliefs, switches and leaves to probe stay as they were, and an experiment's variant too, but for what the
    policy sets itself: it is judged as if it were everybody's.
    """
    decision, candidates = routed.decision, routed.candidates
    assert decision is not None
    retries = retries_of(order.merchant_id, policy, routed.policy)
    if (policy.weights, policy.affinities, policy.rules, policy.bandits) == (None,) * 4:
        return Rerouted(routed.strategy, candidates, decision, retries, ())
    unrecorded: tuple[GatewayId, ...] = ()
    if policy.weights is not None:
        decision = replace(decision, weights=policy.weights)
    if policy.bandits is not None and not decision.by_priority:
        bandit = RoutingConfiguration(bandits=policy.bandits).bandit(decision.segment)
        decision = replace(decision, bandit=bandit if bandit.enabled else None)
    if policy.rules is not None:
        ruling = apply(policy.rules, order, decision.segment)
        candidates = tuple(one for one in candidates if ruled_out(one.gateway, ruling) is None)
        reasons = BY_RULE if candidates or not routed.policy.try_open_circuits else BY_RULE + BY_CIRCUIT
        unrecorded = tuple(
            one.gateway
            for one in routed.excluded
            if one.reason in reasons and ruled_out(one.gateway, ruling) is None
        )
        tests = decision.probe is not None and any(
            one.gateway == decision.probe.gateway for one in candidates
        )
        decision = replace(decision, rule=ruling.decided_by, probe=decision.probe if tests else None)
    if policy.affinities is not None:
        candidates = tuple(
            replace(one, affinity=affinity(order, one.gateway, policy.affinities)) for one in candidates
        )
    strategy, ranked = rank(candidates, decision, memory)
    return Rerouted(strategy, ranked, decision, retries, unrecorded)
