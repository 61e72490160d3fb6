"""What a route is chosen from, and what it is."""

from typing import Literal

import msgspec

from schemas.base import Value
from schemas.circuit import ADMITTING, CircuitStatus, CircuitView
from schemas.experiment import RunningExperiment
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.routing_configuration import BanditPolicy, RoutingConfiguration, Rule, ScoringWeights

Exclusion = Literal[
    "merchant_switched_off",
    "method_switched_off",
    "gateway_switched_off",
    "disabled",
    "method",
    "currency",
    "amount_below_minimum",
    "amount_above_maximum",
    "rule",
    "not_pinned",
    "circuit_open",
    "circuit_half_open",
    "circuit_forced_open",
]
"""`…_switched_off`: by a kill switch. `circuit_half_open`: only a probe may go there, and this payment is none.
`circuit_forced_open`: an operator's word, which holds also where no other gateway is left."""

Strategy = Literal["PRIORITY", "SCORE", "THOMPSON", "RULE", "PROBE", "LEAST_BAD"]
"""`PRIORITY` is of the time before there were scores, and of when they are switched off. `LEAST_BAD`: every circuit is
open, and the best of them is tried."""

AttemptReason = Literal["first", "after_declined", "after_not_sent", "after_in_doubt"]


class Terms(Value, frozen=True, kw_only=True):
    """What a score is the sum of, each in points of success rate."""

    success: float
    """The mean of the posterior."""
    uncertainty: float
    fit: float
    latency: float
    cost: float
    affinity: float
    priority: float


class Candidate(Value, frozen=True, kw_only=True):
    gateway: GatewayId
    priority: int
    fee_bps: int
    timeout_ms: int
    horizon_s: int = 0
    """So long after its start a failed attempt may still turn out to have charged."""
    circuit: CircuitStatus = "CLOSED"
    alpha: float = 1.0
    beta: float = 1.0
    """Beta(alpha, beta) is what was believed of its success rate in the payment's segment."""
    fit: float = 0.0
    """How much better the payment's issuer, network and amount do there than its method as a whole."""
    latency_ms: float | None = None
    """The median of the last minutes; None where nothing is known."""
    affinity: float = 0.0
    terms: Terms | None = None
    score: float | None = None
    propensity: float | None = None
    """The probability that it was put first."""


class Excluded(Value, frozen=True, kw_only=True):
    gateway: GatewayId
    reason: Exclusion
    rule: str | None = None


class Probe(Value, frozen=True, kw_only=True):
    """The leave to test a gateway whose circuit is half open."""

    gateway: GatewayId
    lease: str


class Versions(Value, frozen=True, kw_only=True):
    """Of everything that a decision was made from; 0 where nothing was known."""

    configuration: int = 0
    circuits: int = 0
    health: int = 0


class Decision(Value, frozen=True, kw_only=True):
    """All that the candidates' order follows from beside what stands in themselves, so that it can be recomputed."""

    segment: str
    draw: float
    """Uniform in [0, 1): the one piece of chance."""
    weights: ScoringWeights
    bandit: BanditPolicy | None = None
    """None where the segment's bandit is off."""
    rule: Rule | None = None
    """The one that came before the scores."""
    probe: Probe | None = None
    versions: Versions = Versions()
    by_priority: bool = False
    """Scores were switched off: gateways follow one another by their priority."""


# What routing knows without asking anybody


class Posterior(Value, frozen=True, kw_only=True):
    """Beta(alpha, beta)."""

    alpha: float = 1.0
    beta: float = 1.0
    changed_at: int | None = None
    """The bucket of the last change that was detected."""

    @property
    def mean(self) -> float:
        return self.alpha / (self.alpha + self.beta)

    @property
    def effective_sample(self) -> float:
        """The prior's two included."""
        return self.alpha + self.beta


UNKNOWN = Posterior()
PARENT_WEIGHT = 20.0
"""Payments that a segment's parent is worth, beside the segment's own."""
CLOSED = CircuitView()


class Facts(Value, frozen=True, kw_only=True):
    """One consistent view of everything, replaced as a whole. Its dictionaries are never changed."""

    configuration: RoutingConfiguration = RoutingConfiguration()
    circuits: dict[tuple[GatewayId, PaymentMethod], CircuitView] = msgspec.field(default_factory=dict)
    posteriors: dict[tuple[GatewayId, str], Posterior] = msgspec.field(default_factory=dict)
    """By gateway and segment."""
    latencies_ms: dict[tuple[GatewayId, PaymentMethod], float] = msgspec.field(default_factory=dict)
    fits: dict[tuple[GatewayId, PaymentMethod, str, str], float] = msgspec.field(default_factory=dict)
    """By gateway, method, dimension (`issuer`, `network`, `amount_band`) and its value."""
    experiments: tuple[RunningExperiment, ...] = ()
    """The oldest first: the first that could make a difference to a payment has it."""
    circuits_version: int = 0
    health_version: int = 0
    propensities: dict[object, tuple[float, ...]] = msgspec.field(default_factory=dict)
    """Computed once for every set of candidates; the only part that grows, and it is bounded by whoever fills it."""

    def circuit(self, gateway: GatewayId, method: PaymentMethod) -> CircuitView:
        return self.circuits.get((gateway, method), CLOSED)

    def open_circuits(self, method: PaymentMethod) -> frozenset[GatewayId]:
        """Where no ordinary payment may go now."""
        return frozenset(
            gateway
            for (gateway, of), view in self.circuits.items()
            if of == method and view.status not in ADMITTING
        )

    def posterior(self, gateway: GatewayId, segment: str, method: PaymentMethod) -> Posterior:
        """Of a segment: what is known of it beside what its method as a whole suggests, which is held lightly."""
        known = self.posteriors.get((gateway, segment), UNKNOWN)
        parent = self.posteriors.get((gateway, method)) if segment != method else None
        if parent is None:
            return known
        weight = min(parent.effective_sample, PARENT_WEIGHT)
        return Posterior(
            alpha=known.alpha + weight * parent.mean,
            beta=known.beta + weight * (1 - parent.mean),
            changed_at=known.changed_at,
        )


NO_FACTS = Facts()
