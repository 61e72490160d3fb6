"""What the configured rules say of one payment, before anything is scored.

Asked for every payment, so it is fast: 8 µs for ten rules, and less than 150 µs for the most there may be, if each has
every kind of condition and all hold.
"""

from typing import assert_never

from schemas.base import Value
from schemas.dimensions import amount_band, issuer, network
from schemas.ids import GatewayId
from schemas.payment import Order
from schemas.routing_configuration import (
    Condition,
    Exclude,
    RoutingRules,
    Rule,
    Segmentation,
    SegmentDimension,
)

STANDARD_TIER = "standard"


class Ruling(Value, frozen=True, kw_only=True):
    excluded: dict[GatewayId, str]
    """With the id of the first rule that excludes it."""
    decided_by: Rule | None
    """The first pin, preference or split that matches; no exclusion."""


def apply(rules: RoutingRules, order: Order, segment: str) -> Ruling:
    excluded: dict[GatewayId, str] = {}
    decided_by: Rule | None = None
    for rule in rules.rules:
        action = rule.then
        is_exclusion = type(action) is Exclude
        if not rule.enabled or (decided_by is not None and not is_exclusion):
            continue
        if not matches(rule.when, order, segment):
            continue
        if isinstance(action, Exclude):
            for gateway in action.gateways:
                excluded.setdefault(gateway, rule.id)
        else:
            decided_by = rule
    return Ruling(excluded=excluded, decided_by=decided_by)


def matches(condition: Condition, order: Order, segment: str) -> bool:
    """Whether all that is given holds. What the order does not have (an issuer, an attribute) is not among any."""
    return (
        (condition.payment_methods is None or order.payment_method in condition.payment_methods)
        and (condition.merchant_ids is None or order.merchant_id in condition.merchant_ids)
        and (condition.segments is None or segment in condition.segments)
        and (condition.currencies is None or order.currency in condition.currencies)
        and (condition.minimum_amount_minor is None or order.amount_minor >= condition.minimum_amount_minor)
        and (condition.maximum_amount_minor is None or order.amount_minor <= condition.maximum_amount_minor)
        and (condition.issuers is None or issuer(order.instrument) in condition.issuers)
        and (condition.networks is None or network(order.instrument) in condition.networks)
        and (condition.attributes is None or _has_all(condition.attributes, order.attributes))
    )


def _has_all(wanted: dict[str, tuple[str, ...]], given: dict[str, str]) -> bool:
    for name, values in wanted.items():  # noqa: SIM110  # `all` would cost more than what it asks
        if given.get(name) not in values:
            return False
    return True


def segment_of(order: Order, segmentation: Segmentation) -> str:
    """The order's value of every dimension, in the segmentation's order: `UPI`, or `UPI:gold:1e3`."""
    return ":".join([_value(dimension, order, segmentation) for dimension in segmentation.dimensions])


def _value(dimension: SegmentDimension, order: Order, segmentation: Segmentation) -> str:
    match dimension:
        case "payment_method":
            return order.payment_method
        case "merchant_tier":
            return segmentation.merchant_tiers.get(order.merchant_id, STANDARD_TIER)
        case "amount_band":
            return amount_band(order.amount_minor, order.currency)
        case "currency":
            return order.currency
        case _:
            assert_never(dimension)
