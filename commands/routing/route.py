"""The route of a payment: the gateways that can take it, in order, and why the others cannot."""

from collections.abc import Iterable

from commands.routing.eligibility import CIRCUIT_REASONS, exclusion
from commands.routing.kill_switches import stops
from commands.routing.ranking import rank
from commands.routing.rules import Ruling, apply, segment_of
from schemas.dimensions import amount_band, issuer, network
from schemas.experiment import NO_OVERRIDE, Override
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.payment import Order, PaymentRouted
from schemas.routing import (
    NO_FACTS,
    Candidate,
    Decision,
    Excluded,
    Exclusion,
    Facts,
    Probe,
    Strategy,
    Versions,
)
from schemas.routing_configuration import (
    NOTHING_OFF,
    Affinity,
    Pin,
    Prefer,
    RetryPolicy,
    Rule,
    Split,
    SwitchedOff,
)

OF_AN_EXPERIMENT = "experiment"
"""The id of the rule that stands for a variant's order or share; which variant, `ExperimentAssigned` says."""


def route(
    order: Order,
    gateways: tuple[GatewayConfiguration, ...],
    policy: RetryPolicy,
    facts: Facts = NO_FACTS,
    draw: float = 0.0,
    probe: Probe | None = None,
    override: Override = NO_OVERRIDE,
) -> PaymentRouted:
    """`override` is what an experiment's variant does otherwise.

    `candidates` is empty when no gateway can take the payment. The same arguments give the same route.
    """
    segment = segment_of(order, facts.configuration.segmentation)
    ruling, off = apply(facts.configuration.rules, order, segment), facts.configuration.off
    left_out: list[Excluded] = []
    open_to: list[GatewayConfiguration] = []
    shut: list[tuple[GatewayConfiguration, Exclusion]] = []
    for gateway in gateways:
        if (out := excluded(order, gateway, ruling, off)) is not None:
            left_out.append(out)
        elif (reason := _circuit(order, gateway, facts, probe)) is not None:
            shut.append((gateway, reason))
        else:
            open_to.append(gateway)
    if not open_to and policy.try_open_circuits:
        open_to = [gateway for gateway, reason in shut if reason != "circuit_forced_open"]
        shut = [one for one in shut if one[1] == "circuit_forced_open"]
    left_out += [Excluded(gateway=gateway.id, reason=reason) for gateway, reason in shut]
    bandit = facts.configuration.bandit(segment)
    is_drawn = bandit.enabled if override.bandit is None else override.bandit
    by_priority = "scores" in off.strategies
    decision = Decision(
        segment=segment,
        draw=draw,
        weights=override.weights or facts.configuration.weights,
        bandit=bandit if is_drawn and not by_priority and "bandit" not in off.strategies else None,
        rule=ruling.decided_by or _rule_of(override),
        probe=probe if any(_may_probe(order, one, facts, probe) for one in open_to) else None,
        versions=Versions(
            configuration=facts.configuration.version,
            circuits=facts.circuits_version,
            health=facts.health_version,
        ),
        by_priority=by_priority,
    )
    strategy, candidates = rank(
        [_candidate(order, one, segment, facts) for one in open_to], decision, facts.propensities
    )
    return PaymentRouted(
        strategy=strategy,
        reason=_reason(strategy, candidates, decision),
        candidates=candidates,
        excluded=tuple(left_out),
        policy=policy,
        decision=decision,
    )


def _rule_of(override: Override) -> Rule | None:
    """A variant's order or share, as a rule: so a past decision is recomputed like any other."""
    if override.order is not None:
        return Rule(id=OF_AN_EXPERIMENT, then=Prefer(gateways=override.order))
    if override.share is not None:
        return Rule(id=OF_AN_EXPERIMENT, then=Split(weights=override.share))
    return None


def excluded(
    order: Order, gateway: GatewayConfiguration, ruling: Ruling, off: SwitchedOff
) -> Excluded | None:
    """Whatever its circuit says."""
    reason = stops(order, gateway.id, off) if off is not NOTHING_OFF else None
    if (reason := reason or exclusion(order, gateway)) is not None:
        return Excluded(gateway=gateway.id, reason=reason)
    return ruled_out(gateway.id, ruling)


def ruled_out(gateway: GatewayId, ruling: Ruling) -> Excluded | None:
    if (rule := ruling.excluded.get(gateway)) is not None:
        return Excluded(gateway=gateway, reason="rule", rule=rule)
    pinned = ruling.decided_by
    if pinned is not None and isinstance(pinned.then, Pin) and pinned.then.gateway != gateway:
        return Excluded(gateway=gateway, reason="not_pinned", rule=pinned.id)
    return None


def _circuit(
    order: Order, gateway: GatewayConfiguration, facts: Facts, probe: Probe | None
) -> Exclusion | None:
    if _may_probe(order, gateway, facts, probe):
        return None
    return CIRCUIT_REASONS.get(facts.circuit(gateway.id, order.payment_method).status)


def _may_probe(order: Order, gateway: GatewayConfiguration, facts: Facts, probe: Probe | None) -> bool:
    """A leave is worth nothing any more where the circuit has closed, or opened again, since it was given."""
    status = facts.circuit(gateway.id, order.payment_method).status
    return probe is not None and probe.gateway == gateway.id and status == "HALF_OPEN"


def _candidate(order: Order, gateway: GatewayConfiguration, segment: str, facts: Facts) -> Candidate:
    method = order.payment_method
    posterior = facts.posterior(gateway.id, segment, method)
    return Candidate(
        gateway=gateway.id,
        priority=gateway.priority,
        fee_bps=gateway.fee_bps,
        timeout_ms=gateway.timeout_ms,
        horizon_s=gateway.horizon_s,
        circuit=facts.circuit(gateway.id, method).status,
        alpha=posterior.alpha,
        beta=posterior.beta,
        fit=_fit(order, gateway.id, facts) if facts.fits else 0.0,
        latency_ms=facts.latencies_ms.get((gateway.id, method)),
        affinity=affinity(order, gateway.id, facts.configuration.affinities),
    )


def _fit(order: Order, gateway: GatewayId, facts: Facts) -> float:
    method, fits = order.payment_method, facts.fits
    band = fits.get((gateway, method, "amount_band", amount_band(order.amount_minor, order.currency)), 0.0)
    bank, scheme = issuer(order.instrument), network(order.instrument)
    by_issuer = fits.get((gateway, method, "issuer", bank), 0.0) if bank else 0.0
    by_network = fits.get((gateway, method, "network", scheme), 0.0) if scheme else 0.0
    return band + by_issuer + by_network


def affinity(order: Order, gateway: GatewayId, affinities: Iterable[Affinity]) -> float:
    return sum(
        (
            one.value
            for one in affinities
            if one.gateway == gateway
            and one.merchant_id in (None, order.merchant_id)
            and one.payment_method in (None, order.payment_method)
        ),
        0.0,
    )


def _reason(strategy: Strategy, candidates: tuple[Candidate, ...], decision: Decision) -> str:
    """In a sentence; the numbers stand beside it."""
    if not candidates:
        return "none eligible"
    first, of = candidates[0], len(candidates)
    match strategy:
        case "PROBE":
            return f"{first.gateway} is tested by a payment: its circuit is half open"
        case "RULE":
            return f"{first.gateway} by the rule {decision.rule.id if decision.rule else ''}"
        case "THOMPSON":
            return f"{first.gateway} was drawn with probability {first.propensity or 0:.3f} of {of}"
        case "LEAST_BAD":
            return f"{first.gateway} is the least bad of {of}, whose circuits are all open"
        case "PRIORITY":
            return f"{first.gateway} is the first of {of} by priority: scores are switched off"
        case _:
            return f"{first.gateway} has the best score of {of}"
