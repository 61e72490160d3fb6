"""What the shadow says of a payment, and that the payment knows nothing of it."""

from hypothesis import given, settings
from msgspec.structs import replace

from commands.routing.alternative import rerouted
from commands.routing.shadow import shadowed
from schemas.ids import GatewayId
from schemas.payment import PaymentRouted, RequestPayment
from schemas.routing_configuration import AlternativePolicy, Exclude, Prefer, RoutingRules, Rule
from tests.builders import a_request
from tests.commands.routes import requests, routed_of
from tests.commands.rules import ALPHA, BETA
from tests.commands.system import System
from tests.commands.test_alternative import policies

BETA_FIRST = AlternativePolicy(rules=RoutingRules(rules=(Rule(id="r", then=Prefer(gateways=(BETA,))),)))


@given(requests(), policies)
@settings(max_examples=100, deadline=None)
def test_the_shadow_says_what_history_will_say_of_the_same_policy(
    request: RequestPayment, policy: AlternativePolicy
) -> None:
    routed = routed_of(request)
    off = request.facts.configuration.off.strategies
    history = rerouted(request.order, routed, policy)
    if not routed.candidates or history.unrecorded or "bandit" in off:
        return
    found = shadowed(request, routed, policy)
    assert [(one.gateway, one.propensity) for one in found.candidates] == [
        (one.gateway, one.propensity) for one in history.candidates
    ]
    assert found.routed_to == routed.candidates[0].gateway
    assert found.agrees == (
        bool(history.candidates) and history.candidates[0].gateway == routed.candidates[0].gateway
    )


def test_the_shadow_knows_also_what_a_rule_has_kept_out() -> None:
    rules = RoutingRules(rules=(Rule(id="no-alpha", then=Exclude(gateways=(ALPHA,))),))
    request = a_request()
    configuration = replace(request.facts.configuration, rules=rules)
    request = replace(request, facts=replace(request.facts, configuration=configuration))
    found = shadowed(request, routed_of(request), AlternativePolicy(rules=RoutingRules()))
    assert GatewayId("alpha") in [one.gateway for one in found.candidates]


async def test_a_payment_is_shown_to_the_shadow_once_with_the_facts_it_was_routed_by() -> None:
    system = System()
    await system.post()
    await system.post()
    ((command, routed),) = system.shadow.followed
    assert isinstance(routed, PaymentRouted)
    assert routed_of(command) == routed
