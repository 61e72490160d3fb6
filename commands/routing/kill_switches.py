"""What operators have switched off: what a kill switch turns, and what it stops."""

from typing import assert_never

from msgspec.structs import replace

from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.payment import Order
from schemas.routing import Exclusion, Facts
from schemas.routing_configuration import (
    GatewaySwitch,
    KillSwitch,
    MerchantSwitch,
    MethodSwitch,
    StrategySwitch,
    SwitchedOff,
)


def turned(switch: KillSwitch, off: SwitchedOff, *, on: bool) -> SwitchedOff:
    match switch:
        case GatewaySwitch(name=gateway):
            return replace(off, gateways=off.gateways | {gateway} if on else off.gateways - {gateway})
        case MethodSwitch(name=method):
            return replace(off, methods=off.methods | {method} if on else off.methods - {method})
        case MerchantSwitch(name=merchant):
            return replace(off, merchants=off.merchants | {merchant} if on else off.merchants - {merchant})
        case StrategySwitch(name=strategy):
            return replace(off, strategies=off.strategies | {strategy} if on else off.strategies - {strategy})
        case _:
            assert_never(switch)


def is_on(switch: KillSwitch, off: SwitchedOff) -> bool:
    return turned(switch, off, on=True) == off


def stops(order: Order, gateway: GatewayId, off: SwitchedOff) -> Exclusion | None:
    """Why a payment may not go to a gateway; the first two are why it may go nowhere."""
    if order.merchant_id in off.merchants:
        return "merchant_switched_off"
    if order.payment_method in off.methods:
        return "method_switched_off"
    return "gateway_switched_off" if gateway in off.gateways else None


def shut(
    merchant_id: str, method: PaymentMethod, gateways: tuple[GatewayConfiguration, ...], facts: Facts
) -> frozenset[GatewayId]:
    """Where a payment that is under way is tried no more: its circuit has opened, or it was taken out of service."""
    return facts.open_circuits(method) | out_of_service(merchant_id, method, gateways, facts)


def out_of_service(
    merchant_id: str, method: PaymentMethod, gateways: tuple[GatewayConfiguration, ...], facts: Facts
) -> frozenset[GatewayId]:
    """Where operators let nothing be sent. An open circuit is not among it: a probe or the least bad goes there."""
    off = facts.configuration.off
    if merchant_id in off.merchants or method in off.methods:
        return frozenset(gateway.id for gateway in gateways)
    disabled = {gateway.id for gateway in gateways if not gateway.enabled}
    return off.gateways | disabled
