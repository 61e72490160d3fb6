"""Which gateways a payment could test: those that can take it and whose circuit is half open."""

from commands.routing.eligibility import exclusion
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.payment import Order
from schemas.routing import Facts


def testable(order: Order, gateways: tuple[GatewayConfiguration, ...], facts: Facts) -> tuple[GatewayId, ...]:
    """In the order in which their circuits became half open."""
    half_open = [
        (view.since, gateway.id)
        for gateway in gateways
        if (view := facts.circuit(gateway.id, order.payment_method)).status == "HALF_OPEN"
        and exclusion(order, gateway) is None
    ]
    return tuple(gateway for _, gateway in sorted(half_open, key=str))
