"""Another configuration on past decisions: what the route function makes of them, from what their events hold."""

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.routing.alternative import otherwise, rerouted, retries_of
from commands.routing.route import route
from schemas.ids import GatewayId
from schemas.payment import PaymentRouted, RequestPayment
from schemas.routing import Posterior
from schemas.routing_configuration import (
    AlternativePolicy,
    BanditPolicy,
    Exclude,
    MerchantRetryPolicy,
    Pin,
    RetryPolicy,
    RoutingRules,
    Rule,
)
from tests.builders import a_request
from tests.commands.routes import bandits, configurations, requests, routed_of, weights
from tests.commands.rules import ALPHA, BETA, actions

NOTHING = AlternativePolicy()
policies = st.builds(
    AlternativePolicy,
    weights=st.none() | weights,
    affinities=st.none() | configurations.map(lambda one: one.affinities),
    rules=st.none()
    | st.builds(
        lambda action: RoutingRules(rules=(Rule(id="other", then=action),)),
        actions,
    ),
    bandits=st.none() | st.dictionaries(st.sampled_from(["*", "UPI"]), bandits),
)


def as_read_back(routed: PaymentRouted) -> PaymentRouted:
    return msgspec.json.decode(msgspec.json.encode(routed), type=PaymentRouted)


def shown(routed: PaymentRouted) -> list[tuple[GatewayId, float | None, float | None]]:
    return [(one.gateway, one.propensity, one.score) for one in routed.candidates]


def a_decision(*rules: Rule) -> tuple[RequestPayment, PaymentRouted]:
    """Of alpha, which succeeds a little more often than beta, and gamma, of which nothing is known."""
    asked = a_request()
    posteriors = {(ALPHA, "UPI"): Posterior(alpha=90, beta=10), (BETA, "UPI"): Posterior(alpha=88, beta=12)}
    configuration = replace(asked.facts.configuration, rules=RoutingRules(rules=rules))
    asked = replace(asked, facts=replace(asked.facts, configuration=configuration, posteriors=posteriors))
    return asked, routed_of(asked)


@given(requests(), policies)
@settings(max_examples=300, deadline=None)
def test_a_past_decision_is_routed_as_the_payment_would_have_been(
    request: RequestPayment, policy: AlternativePolicy
) -> None:
    off = request.facts.configuration.off.strategies
    assume("bandit" not in off or policy.bandits is None)
    found = rerouted(request.order, as_read_back(routed_of(request)), policy)
    assume(not found.unrecorded)
    other = replace(request.facts, configuration=otherwise(request.facts.configuration, policy))
    live = route(request.order, request.gateways, request.policy, other, request.draw, request.probe)
    assert found.strategy == live.strategy
    assert [(one.gateway, one.propensity, one.score) for one in found.candidates] == shown(live)


@given(requests())
@settings(max_examples=100, deadline=None)
def test_a_policy_that_sets_nothing_decides_as_was_decided(request: RequestPayment) -> None:
    routed = routed_of(request)
    found = rerouted(request.order, routed, NOTHING)
    assert (found.strategy, found.candidates) == (routed.strategy, routed.candidates)
    assert (found.retries, found.unrecorded) == (routed.policy, ())


def test_a_gateway_that_a_rule_kept_out_is_named_when_it_is_let_in() -> None:
    request, routed = a_decision(Rule(id="no-alpha", then=Exclude(gateways=(ALPHA,))))
    assert rerouted(request.order, routed, AlternativePolicy(rules=RoutingRules())).unrecorded == (ALPHA,)


def test_rules_may_leave_nobody_to_take_the_payment() -> None:
    request, routed = a_decision()
    pinned = RoutingRules(rules=(Rule(id="elsewhere", then=Pin(gateway=GatewayId("omega"))),))
    assert rerouted(request.order, routed, AlternativePolicy(rules=pinned)).candidates == ()


def test_what_a_draw_did_not_put_first_follows_by_score_as_it_would_have() -> None:
    request, routed = a_decision()
    policy = AlternativePolicy(
        bandits={"*": BanditPolicy(enabled=True, exploration_share=1, expected_loss=1)}
    )
    found = rerouted(request.order, routed, policy)
    assert found.strategy == "THOMPSON"
    in_order = [one.gateway for one in found.had_it_been(BETA)]
    drawn = next(
        [one.gateway for one in candidates]
        for draw in range(100)
        if (candidates := _drawn_with(request, policy, draw / 100).candidates)[0].gateway == BETA
    )
    assert in_order == drawn


def _drawn_with(request: RequestPayment, policy: AlternativePolicy, draw: float) -> PaymentRouted:
    facts = replace(request.facts, configuration=otherwise(request.facts.configuration, policy))
    return route(request.order, request.gateways, request.policy, facts, draw)


@pytest.mark.parametrize(("merchant", "most"), [("mrc_1", 1), ("mrc_2", 5)])
def test_a_merchants_own_retries_come_before_those_of_all(merchant: str, most: int) -> None:
    policy = AlternativePolicy(
        retry_policies={
            "mrc_1": MerchantRetryPolicy(max_attempts=1),
            "*": MerchantRetryPolicy(max_attempts=5),
        }
    )
    assert retries_of(merchant, policy, RetryPolicy()).max_attempts == most
    assert retries_of(merchant, NOTHING, RetryPolicy(max_attempts=2)).max_attempts == 2
