"""The order in which candidates are tried: a pure function of what a `PaymentRouted` holds, so that any can be checked.

Rules come before scores, and a probe before both.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from commands.routing.bandit import Arm, propensities
from commands.routing.eligibility import CIRCUIT_REASONS
from commands.routing.scoring import score, terms, worth
from schemas.ids import GatewayId
from schemas.payment import PaymentRouted
from schemas.routing import Candidate, Decision, Strategy
from schemas.routing_configuration import BanditPolicy, Prefer, Split

MOST_REMEMBERED = 256
"""Sets of candidates whose propensities one snapshot of the facts remembers."""

Ranked = tuple[Strategy, tuple[Candidate, ...]]
Memory = dict[object, tuple[float, ...]]


def rank(candidates: Sequence[Candidate], decision: Decision, memory: Memory | None = None) -> Ranked:
    """With terms, scores and propensities filled in. `memory` belongs to the facts that the candidates come from."""
    usual: Strategy = "PRIORITY" if decision.by_priority else "SCORE"
    by = _by_priority if decision.by_priority else _by_score
    scored = sorted((_scored(one, decision) for one in candidates), key=by)
    if decision.probe is not None:
        return "PROBE", _certainly(_led_by(scored, (decision.probe.gateway,)))
    if not scored:
        return usual, ()
    if all(one.circuit in CIRCUIT_REASONS for one in scored):
        return "LEAST_BAD", _certainly(scored)
    match decision.rule.then if decision.rule is not None else None:
        case Prefer(gateways=preferred):
            return "RULE", _certainly(_led_by(scored, preferred))
        case Split(weights=shares) if any(one.gateway in shares for one in scored):
            return "RULE", _drawn(scored, _shares(scored, shares), decision.draw)
        case Split():
            return usual, _certainly(scored)
        case None if decision.bandit is not None:
            return "THOMPSON", _drawn(scored, _propensities(scored, decision.bandit, memory), decision.draw)
        case None:
            return usual, _certainly(scored)
        case _:
            return "RULE", _certainly(scored)


def recomputed(routed: PaymentRouted) -> Ranked:
    """The strategy and the candidates of a past decision, from what it recorded alone."""
    assert routed.decision is not None
    bare = [replace(one, terms=None, score=None, propensity=None) for one in routed.candidates]
    return rank(bare, routed.decision)


def had_it_been(
    first: GatewayId, candidates: Sequence[Candidate], decision: Decision
) -> tuple[Candidate, ...]:
    """In the order in which they would be tried, had the draw of this decision put that one first."""
    by = _by_priority if decision.by_priority else _by_score
    return tuple(_led_by(sorted(candidates, key=by), (first,)))


def _scored(candidate: Candidate, decision: Decision) -> Candidate:
    parts = terms(candidate, decision.weights)
    return replace(candidate, terms=parts, score=score(parts))


def _by_score(candidate: Candidate) -> tuple[float, int, int, GatewayId]:
    assert candidate.score is not None
    return -candidate.score, candidate.priority, candidate.fee_bps, candidate.gateway


def _by_priority(candidate: Candidate) -> tuple[float, int, int, GatewayId]:
    return 0.0, candidate.priority, candidate.fee_bps, candidate.gateway


def _led_by(scored: list[Candidate], leaders: tuple[GatewayId, ...]) -> list[Candidate]:
    places = {gateway: place for place, gateway in enumerate(leaders)}
    return sorted(scored, key=lambda one: places.get(one.gateway, len(places)))


def _certainly(ordered: Sequence[Candidate]) -> tuple[Candidate, ...]:
    return tuple(replace(one, propensity=1.0 if place == 0 else 0.0) for place, one in enumerate(ordered))


def _shares(scored: list[Candidate], weights: dict[GatewayId, int]) -> tuple[float, ...]:
    given = [weights.get(one.gateway, 0) for one in scored]
    total = sum(given)
    return tuple(weight / total for weight in given)


def _propensities(scored: list[Candidate], policy: BanditPolicy, memory: Memory | None) -> tuple[float, ...]:
    arms = tuple(_arm(one) for one in scored)
    if memory is None:
        return propensities(arms, policy)
    key = (arms, policy)
    if (known := memory.get(key)) is None:
        if len(memory) >= MOST_REMEMBERED:
            memory.clear()
        known = memory[key] = propensities(arms, policy)
    return known


def _arm(candidate: Candidate) -> Arm:
    assert candidate.terms is not None
    return Arm(alpha=candidate.alpha, beta=candidate.beta, worth=worth(candidate.terms))


def _drawn(scored: list[Candidate], chances: tuple[float, ...], draw: float) -> tuple[Candidate, ...]:
    """The first by the draw, in the order of the scores; the others follow by score."""
    rest = draw * sum(chances)
    first = 0
    for place, chance in enumerate(chances):
        if chance > 0:
            first = place
            if rest < chance:
                break
            rest -= chance
    known = [replace(one, propensity=chance) for one, chance in zip(scored, chances, strict=True)]
    return (known[first], *known[:first], *known[first + 1 :])
