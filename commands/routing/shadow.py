"""What the shadow policy would have done with a payment: by the route function, from the facts of its decision."""

from msgspec.structs import replace

from commands.routing.alternative import otherwise, retries_of
from commands.routing.route import route
from schemas.payment import PaymentRouted, RequestPayment
from schemas.routing_configuration import AlternativePolicy
from schemas.shadow import PaymentShadowed, ShadowCandidate


def shadowed(command: RequestPayment, routed: PaymentRouted, policy: AlternativePolicy) -> PaymentShadowed:
    """Outside every experiment: the policy is looked at as if it were everybody's."""
    facts = replace(
        command.facts, configuration=otherwise(command.facts.configuration, policy), propensities={}
    )
    retries = retries_of(command.order.merchant_id, policy, command.policy)
    found = route(command.order, command.gateways, retries, facts, command.draw, command.probe)
    assert found.decision is not None
    routed_to = routed.candidates[0].gateway
    return PaymentShadowed(
        strategy=found.strategy,
        candidates=tuple(
            ShadowCandidate(gateway=one.gateway, propensity=one.propensity or 0.0) for one in found.candidates
        ),
        routed_to=routed_to,
        agrees=bool(found.candidates) and found.candidates[0].gateway == routed_to,
        decided_at=command.at,
        versions=found.decision.versions,
    )
