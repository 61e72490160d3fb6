"""In which experiment a payment is, and how its variant routes it.

A payment is exposed only where its variants would route it differently, which does not depend on the variant that its
customer has: so the exposed of all arms are alike, and payments that nothing could happen to do not dilute the figures
(Deng and Hu, "Diluted Treatment Effect Estimation for Trigger Analysis", WSDM 2015).
"""

from collections.abc import Callable

from msgspec.structs import replace

from commands.routing.route import route
from commands.routing.rules import matches, segment_of
from schemas.experiment import NO_OVERRIDE, Override, RetryOverride, RunningExperiment
from schemas.gateway import GatewayConfiguration
from schemas.payment import ExperimentAssigned, Order, PaymentRouted
from schemas.routing import Facts, Probe
from schemas.routing_configuration import RetryPolicy

Routed = tuple[ExperimentAssigned | None, PaymentRouted]


def routed(
    order: Order,
    gateways: tuple[GatewayConfiguration, ...],
    policy: RetryPolicy,
    facts: Facts,
    draw: float = 0.0,
    probe: Probe | None = None,
) -> Routed:
    """By the first experiment that matches, has the customer, and could make a difference; or as everybody is."""

    def by(override: Override) -> PaymentRouted:
        return route(order, gateways, retried(policy, override.retry), facts, draw, probe, override)

    if facts.experiments and "experiments" not in facts.configuration.off.strategies:
        segment = segment_of(order, facts.configuration.segmentation)
        for experiment in facts.experiments:
            if not matches(experiment.filter, order, segment):
                continue
            if (found := _exposed(experiment, order.customer_id, by)) is not None:
                return found
    return None, by(NO_OVERRIDE)


def _exposed(
    experiment: RunningExperiment, customer_id: str, by: Callable[[Override], PaymentRouted]
) -> Routed | None:
    variant = experiment.assignment.variant(customer_id)
    if variant is None:
        return None
    routes = {one.name: by(one.override) for one in experiment.variants if one.weight}
    if len({_what_happens(one) for one in routes.values()}) == 1:
        return None
    assigned = ExperimentAssigned(
        experiment_id=experiment.experiment_id,
        variant=variant,
        treatment=variant != experiment.variants[0].name,
        customer_id=customer_id,
    )
    return assigned, routes[variant]


def _what_happens(routed: PaymentRouted) -> tuple[object, ...]:
    """All that the payment's fate depends on: who may be tried, in which order, how long, and after what."""
    policy, gateways = routed.policy, [candidate.gateway for candidate in routed.candidates]
    most = min(policy.max_attempts if policy.enabled else 1, len(gateways))
    retry_on_timeout = policy.retry_on_timeout and most > 1
    return policy.latency_budget_ms, retry_on_timeout, *gateways[: None if most > 1 else 1], most


def retried(policy: RetryPolicy, override: RetryOverride | None) -> RetryPolicy:
    """The budget only ever shrinks: the payment's window was reserved for the merchant's own."""
    if override is None:
        return policy
    budget_ms = override.latency_budget_ms
    return replace(
        policy,
        max_attempts=policy.max_attempts if override.max_attempts is None else override.max_attempts,
        latency_budget_ms=policy.latency_budget_ms
        if budget_ms is None
        else min(budget_ms, policy.latency_budget_ms),
        enabled=policy.enabled if override.enabled is None else override.enabled,
        retry_on_timeout=policy.retry_on_timeout
        if override.retry_on_timeout is None
        else override.retry_on_timeout,
    )
