"""The route of a payment: the gateways that can take it, in order, and why the others cannot."""

from schemas.gateway import GatewayConfiguration
from schemas.payment import Order, PaymentRouted
from schemas.routing import Candidate, Excluded, Exclusion, RetryPolicy


def route(order: Order, gateways: tuple[GatewayConfiguration, ...], policy: RetryPolicy) -> PaymentRouted:
    """By priority, then the lower fee, then the name. `candidates` is empty when no gateway can take the payment."""
    reasons = {gateway.id: exclusion(order, gateway) for gateway in gateways}
    eligible = sorted(
        (gateway for gateway in gateways if reasons[gateway.id] is None),
        key=lambda gateway: (gateway.priority, gateway.fee_bps, gateway.id),
    )
    candidates = tuple(
        Candidate(
            gateway=gateway.id,
            priority=gateway.priority,
            fee_bps=gateway.fee_bps,
            timeout_ms=gateway.timeout_ms,
            horizon_s=gateway.horizon_s,
        )
        for gateway in eligible
    )
    excluded = tuple(
        Excluded(gateway=id_, reason=reason) for id_, reason in reasons.items() if reason is not None
    )
    reason = (
        f"{candidates[0].gateway} has the first priority of {len(candidates)}"
        if candidates
        else "none eligible"
    )
    return PaymentRouted(
        strategy="PRIORITY", reason=reason, candidates=candidates, excluded=excluded, policy=policy
    )


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
