"""Gateways as they are in force: as they are configured, with what operators have set of them since."""

from collections.abc import Iterable, Mapping

from msgspec.structs import asdict, replace

from schemas.gateway import GatewayConfiguration, GatewayTerms
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.routing_configuration import NOTHING_OFF, SwitchedOff


def in_force(
    configured: Iterable[GatewayConfiguration], terms: Mapping[GatewayId, GatewayTerms]
) -> tuple[GatewayConfiguration, ...]:
    """Terms of a gateway that is not configured here are nobody's."""
    return tuple(with_terms(one, terms[one.id]) if one.id in terms else one for one in configured)


def with_terms(configured: GatewayConfiguration, terms: GatewayTerms) -> GatewayConfiguration:
    return replace(configured, **{name: value for name, value in asdict(terms).items() if value is not None})


def served(
    gateways: Iterable[GatewayConfiguration], off: SwitchedOff = NOTHING_OFF
) -> set[tuple[PaymentMethod, str]]:
    """Every method and currency that a gateway takes that is enabled and not switched off, of whatever amounts."""
    return {
        (method, currency)
        for gateway in gateways
        if gateway.enabled and gateway.id not in off.gateways
        for method in gateway.payment_methods
        for currency in gateway.currencies
    }
