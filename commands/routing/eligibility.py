"""Which gateways can take a payment, and why the others cannot."""

from msgspec.structs import replace

from schemas.circuit import CircuitStatus
from schemas.gateway import GatewayConfiguration
from schemas.payment import Order
from schemas.routing import Exclusion

CIRCUIT_REASONS: dict[CircuitStatus, Exclusion] = {
    "OPEN": "circuit_open",
    "FORCED_OPEN": "circuit_forced_open",
    "HALF_OPEN": "circuit_half_open",
}


def may_ever_take(order: Order, gateway: GatewayConfiguration) -> bool:
    """Whether it is by the gateway's terms that such a payment goes there, though not just now perhaps."""
    return exclusion(order, replace(gateway, enabled=True)) is None


def exclusion(order: Order, gateway: GatewayConfiguration) -> Exclusion | None:
    """The first reason why the gateway cannot take the order; None when it can."""
    if not gateway.enabled:
        return "disabled"
    if order.payment_method not in gateway.payment_methods:
        return "method"
    if order.currency not in gateway.currencies:
        return "currency"
    if order.amount_minor < gateway.minimum_amount_minor:
        return "amount_below_minimum"
    if gateway.maximum_amount_minor is not None and order.amount_minor > gateway.maximum_amount_minor:
        return "amount_above_maximum"
    return None
