"""One simulated hour through the real parts: `route`, the circuits' decider and their fold, and the folds of outcomes.

Time is virtual. An outcome comes back so many transactions late as the scenario says; the facts that payments are
routed by are renewed every quarter of a second, as in a process, and circuits are obeyed at once.
"""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from commands.circuit import decide
from commands.circuit_state import new_circuit
from commands.routing.probing import testable
from commands.routing.route import route
from projections.circuits import evolve
from projections.learner import Learner
from projections.posteriors import Forgetting
from schemas.circuit import CallObserved, CircuitMessage, CircuitPolicy, CircuitTicked, ProbeStarted, lease_id
from schemas.gateway import GatewayConfiguration
from schemas.ids import AttemptId, GatewayId
from schemas.instrument import UpiMasked
from schemas.metrics import BUCKET_S
from schemas.payment import Order, PaymentRouted
from schemas.routing import Facts, Probe
from schemas.routing_configuration import BanditPolicy, RetryPolicy, RoutingConfiguration
from tests.bench.scenarios import Floats, Scenario

BEGIN = datetime(2026, 11, 25, tzinfo=UTC)
REFRESH_S = 0.25
ORDER = Order(
    merchant_id="mrc_1",
    customer_id="cus_1",
    amount_minor=129_900,
    currency="INR",
    payment_method="UPI",
    instrument=UpiMasked(),
)
ATTEMPT = AttemptId("att_1")
RETRIES = RetryPolicy(max_attempts=1)

Choices = NDArray[np.int16]


class World:
    """`uniforms` (2, transactions): whether each payment would succeed, and what chance its routing draws."""

    def __init__(
        self,
        scenario: Scenario,
        uniforms: Floats,
        *,
        bandit: bool,
        told: Callable[[PaymentRouted], None] | None = None,
    ) -> None:
        """`told` hears of every decision."""
        self._told = told
        self._delay = scenario.feedback_delay_transactions
        self._per_second = scenario.transactions_per_second
        self._rates = scenario.rates().T.tolist()
        self._luck, self._draws = uniforms.tolist()
        self._gateways = tuple(
            GatewayConfiguration(
                id=GatewayId(one.name),
                name=one.name,
                adapter="simulator",
                base_url="http://localhost",
                payment_methods=("UPI",),
                currencies=("INR",),
                fee_bps=one.fee_bps,
            )
            for one in scenario.gateways
        )
        self._places = {gateway.id: place for place, gateway in enumerate(self._gateways)}
        self._policy = CircuitPolicy()
        self._circuits = {
            gateway.id: new_circuit(gateway.id, "UPI", self._policy) for gateway in self._gateways
        }
        self._learners = {gateway.id: Learner(Forgetting()) for gateway in self._gateways}
        self._leases: dict[tuple[GatewayId, int], list[float]] = {}
        """When each of a trial's leases is free again."""
        self._given = 0
        self._offset = 0
        self._facts = Facts(
            configuration=RoutingConfiguration(bandits={"*": BanditPolicy(enabled=bandit)}),
            latencies_ms={(GatewayId(one.name), "UPI"): one.latency_ms_p50 for one in scenario.gateways},
        )

    def play(self) -> Choices:
        """Which gateway took each payment."""
        choices = np.zeros(len(self._luck), dtype=np.int16)
        waiting: deque[tuple[int, GatewayId, bool, str | None]] = deque()
        refreshed_s = ticked_s = -1.0
        for number, luck in enumerate(self._luck):
            now_s = number / self._per_second
            while waiting and waiting[0][0] <= number - self._delay:
                self._learn(*waiting.popleft(), now_s)
            if now_s - ticked_s >= 1.0:
                self._tick(now_s)
                ticked_s = now_s
            if now_s - refreshed_s >= REFRESH_S:
                self._refresh(now_s)
                refreshed_s = now_s
            probe = self._probe(now_s)
            routed = route(ORDER, self._gateways, RETRIES, self._facts, self._draws[number], probe)
            if self._told is not None:
                self._told(routed)
            gateway = routed.candidates[0].gateway
            lease = probe.lease if probe is not None and probe.gateway == gateway else None
            if lease is not None:
                self._begin_probe(gateway, lease, now_s)
            place = self._places[gateway]
            choices[number] = place
            waiting.append((number, gateway, luck < self._rates[number][place], lease))
        return choices

    def _learn(
        self, number: int, gateway: GatewayId, succeeded: bool, lease: str | None, now_s: float
    ) -> None:
        bucket = int(number / self._per_second) // BUCKET_S
        self._learners[gateway].observe(bucket, int(succeeded), int(not succeeded))
        self._tell(
            gateway,
            CallObserved(
                gateway=gateway,
                payment_method="UPI",
                attempt_id=ATTEMPT,
                is_failure=not succeeded,
                latency_ms=100,
                at=_at(now_s),
                source_partition=0,
                source_offset=self._next_offset(),
                lease=lease,
            ),
        )

    def _tell(self, gateway: GatewayId, message: CircuitMessage) -> None:
        self._circuits[gateway], events = decide(message, self._circuits[gateway], self._policy)
        for event in events:
            view = evolve(self._facts.circuit(gateway, "UPI"), event)
            circuits = {**self._facts.circuits, (gateway, event.payment_method): view}
            self._facts = replace(self._facts, circuits=circuits, propensities={})
            if view.recovered_at is not None and view.usual is not None:
                bucket = int((view.recovered_at - BEGIN).total_seconds()) // BUCKET_S
                self._learners[gateway].reopen(bucket, view.usual)

    def _tick(self, now_s: float) -> None:
        for (gateway, method), view in self._facts.circuits.items():
            is_due = view.status == "HALF_OPEN" or (view.until is not None and view.until <= _at(now_s))
            if is_due:
                self._tell(gateway, CircuitTicked(gateway=gateway, payment_method=method, at=_at(now_s)))

    def _refresh(self, now_s: float) -> None:
        bucket = int(now_s) // BUCKET_S
        posteriors = {
            (gateway, "UPI"): learner.posterior(bucket) for gateway, learner in self._learners.items()
        }
        self._facts = replace(self._facts, posteriors=posteriors, propensities={})

    def _probe(self, now_s: float) -> Probe | None:
        """As the port gives leave: so many leases at once, each of its own name and until it expires."""
        for gateway in testable(ORDER, self._gateways, self._facts):
            view = self._facts.circuit(gateway, "UPI")
            out = [end_s for end_s in self._leases.get((gateway, view.trial), ()) if end_s > now_s]
            if len(out) < view.probes:
                self._leases[gateway, view.trial] = [*out, now_s + view.probe_lease_s]
                self._given += 1
                return Probe(gateway=gateway, lease=lease_id(view.trial, self._given))
        return None

    def _next_offset(self) -> int:
        self._offset += 1
        return self._offset

    def _begin_probe(self, gateway: GatewayId, lease: str, now_s: float) -> None:
        self._tell(
            gateway,
            ProbeStarted(
                gateway=gateway,
                payment_method="UPI",
                attempt_id=ATTEMPT,
                lease=lease,
                at=_at(now_s),
                source_partition=0,
                source_offset=self._next_offset(),
            ),
        )


def _at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)
