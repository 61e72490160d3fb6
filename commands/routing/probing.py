"""Which gateways a payment could test: those that it could go to if their circuit were not half open."""

from commands.routing.route import excluded
from commands.routing.rules import apply, segment_of
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.payment import Order
from schemas.routing import Facts


def testable(order: Order, gateways: tuple[GatewayConfiguration, ...], facts: Facts) -> tuple[GatewayId, ...]:
    """In the order in which their circuits became half open."""
    half_open = [
        (facts.circuit(gateway.id, order.payment_method).since, gateway)
        for gateway in gateways
        if facts.circuit(gateway.id, order.payment_method).status == "HALF_OPEN"
    ]
    if not half_open:
        return ()
    configuration = facts.configuration
    ruling = apply(configuration.rules, order, segment_of(order, configuration.segmentation))
    return tuple(
        gateway.id
        for _, gateway in sorted(half_open, key=lambda one: str(one[0]))
        if excluded(order, gateway, ruling, configuration.off) is None
    )
