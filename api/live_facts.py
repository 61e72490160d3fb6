"""What this process knows for routing: kept up to date beside the payments, so that a decision asks nobody.

Configuration, circuits and experiments are heard from the log, and in force at once. Beliefs follow the published
snapshot of hot metrics; while Redis is away the last one stays in force.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from msgspec.structs import replace

from api.ports import Proof
from commands.routing.gateways import in_force
from projections.beliefs import Beliefs
from projections.posteriors import Forgetting
from schemas.circuit import CircuitView
from schemas.experiment import RunningExperiment
from schemas.gateway import GatewayConfiguration, GatewayTerms
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.metrics import RoutingSnapshot
from schemas.routing import Facts
from schemas.routing_configuration import RetryPolicy, RoutingConfiguration
from schemas.verification import Schedule

STALE_AFTER_S = 5.0


class Registry(Protocol):
    """Gateways and policies as they are where nobody has set anything of them."""

    def gateways(self) -> tuple[GatewayConfiguration, ...]: ...

    def retry_policy(self, merchant_id: str) -> RetryPolicy: ...

    def schedule(self, method: PaymentMethod) -> Schedule: ...


class Circuits(Protocol):
    @property
    def views(self) -> Mapping[tuple[GatewayId, PaymentMethod], CircuitView]: ...

    @property
    def version(self) -> int:
        """The offset of their last event; -1 before there is any."""


class LiveFacts:
    """Satisfies `RoutingFacts`. `facts()` is the same object until something has changed."""

    def __init__(
        self,
        registry: Registry,
        configuration: Callable[[], RoutingConfiguration],
        circuits: Circuits,
        experiments: Callable[[], tuple[RunningExperiment, ...]],
        now: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._configuration = configuration
        self._circuits = circuits
        self._experiments = experiments
        self._now = now
        self._beliefs = Beliefs(Forgetting())
        self._snapshot: RoutingSnapshot | None = None
        self._facts = Facts()
        self._terms: Mapping[GatewayId, GatewayTerms] = {}
        self._gateways = registry.gateways()

    def gateways(self) -> tuple[GatewayConfiguration, ...]:
        """In force; the same object until something of one is set."""
        terms = self._configuration().gateways
        if self._terms is not terms:
            self._terms, self._gateways = terms, in_force(self._registry.gateways(), terms)
        return self._gateways

    def retry_policy(self, merchant_id: str) -> RetryPolicy:
        own = self._configuration().retry_policies.get(merchant_id)
        return own if own is not None else self._registry.retry_policy(merchant_id)

    def schedule(self, method: PaymentMethod) -> Schedule:
        return self._registry.schedule(method)

    def facts(self) -> Facts:
        configuration, version = self._configuration(), self._circuits.version + 1
        if self._facts.experiments is not (experiments := self._experiments()):
            self._facts = replace(self._facts, experiments=experiments)  # propensities know nothing of them
        if self._facts.configuration is not configuration:
            self._facts = replace(self._facts, configuration=configuration, propensities={})
        if self._facts.circuits_version != version:
            self._facts = replace(
                self._facts, circuits=dict(self._circuits.views), circuits_version=version, propensities={}
            )
            if self._snapshot is not None:  # a circuit that has closed changes what is believed
                self.believe(self._snapshot)
        return self._facts

    def believe(self, snapshot: RoutingSnapshot) -> None:
        """Takes some milliseconds, a few times a second."""
        self._snapshot = snapshot
        believed = self._beliefs.learn(snapshot, self._circuits.views)
        self._facts = replace(
            self._facts,
            posteriors=believed.posteriors,
            latencies_ms=believed.latencies_ms,
            fits=believed.fits,
            health_version=snapshot.version,
            propensities={},
        )

    async def check(self) -> Proof:
        """Stale beliefs are worth a look, and stop no payment. They are as old as what was folded."""
        if self._snapshot is None:
            return Proof(ok=False, detail="no hot metrics were heard of yet")
        age_s = (self._now() - (self._snapshot.through or self._snapshot.as_of)).total_seconds()
        if age_s > STALE_AFTER_S:
            return Proof(ok=False, detail=f"hot metrics are of {age_s:.0f} s ago")
        return Proof(ok=True, detail=f"hot metrics of {max(age_s, 0):.1f} s ago")
