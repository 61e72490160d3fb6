"""What a process knows for routing, kept up to date beside its payments."""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from api.live_facts import STALE_AFTER_S, LiveFacts
from projections.circuit_facts import CircuitFacts
from schemas.circuit import CircuitView, KnownCircuit
from schemas.experiment import Override, RunningExperiment
from schemas.gateway import GatewayTerms
from schemas.ids import GatewayId
from schemas.metrics import BUCKET_S, RoutingCell, RoutingSnapshot, bucket_of
from schemas.routing import UNKNOWN
from schemas.routing_configuration import BanditPolicy, MerchantRetryPolicy, RetryPolicy, RoutingConfiguration
from tests.api.stand_ins import START, MemoryFacts
from tests.commands.test_routing_experiments import experiment

ALPHA = GatewayId("alpha")
OPEN = KnownCircuit(view=CircuitView(status="OPEN"), sequence=1)


class Process:
    def __init__(self) -> None:
        self.configuration = RoutingConfiguration()
        self.circuits = CircuitFacts()
        self.now = START
        self.experiments: tuple[RunningExperiment, ...] = ()
        self.facts = LiveFacts(
            MemoryFacts(),
            lambda: self.configuration,
            self.circuits,
            lambda: self.experiments,
            lambda: self.now,
        )


@pytest.fixture
def process() -> Process:
    return Process()


def snapshot(version: int = 1, as_of: datetime = START) -> RoutingSnapshot:
    history = ((bucket_of(as_of), 8, 2),)
    cell = RoutingCell("alpha", "UPI", "method", "", history, 8, 2, 250.0, 900.0)
    return RoutingSnapshot(version=version, as_of=as_of, cells=(cell,))


def test_nothing_is_known_at_first_and_payments_are_routed_all_the_same(process: Process) -> None:
    facts = process.facts.facts()
    assert facts.posterior(ALPHA, "UPI", "UPI") is UNKNOWN
    assert facts.health_version == 0


def test_facts_are_the_same_object_until_something_changes(process: Process) -> None:
    process.facts.believe(snapshot())
    assert process.facts.facts() is process.facts.facts()


def test_a_snapshot_is_believed_with_its_version(process: Process) -> None:
    process.facts.believe(snapshot(version=7))
    facts = process.facts.facts()
    assert (facts.health_version, facts.posterior(ALPHA, "UPI", "UPI").alpha) == (7, 9.0)
    assert facts.latencies_ms == {(ALPHA, "UPI"): 250.0}


def test_an_event_of_a_circuit_is_in_force_with_the_next_decision(process: Process) -> None:
    process.facts.believe(snapshot())
    before = process.facts.facts()
    process.circuits.restore({(ALPHA, "UPI"): OPEN}, next_offset=6)
    after = process.facts.facts()
    assert before.open_circuits("UPI") == frozenset()
    assert after.open_circuits("UPI") == frozenset({ALPHA})
    assert after.circuits_version == 6
    assert after.posteriors == before.posteriors


def test_a_circuit_that_closes_after_an_outage_changes_what_is_believed_without_a_snapshot(
    process: Process,
) -> None:
    process.facts.believe(snapshot())
    closed = CircuitView(recovered_at=START + timedelta(seconds=BUCKET_S), usual=0.9)
    process.circuits.restore({(ALPHA, "UPI"): KnownCircuit(view=closed, sequence=3)}, next_offset=3)
    posterior = process.facts.facts().posterior(ALPHA, "UPI", "UPI")
    assert (posterior.alpha, posterior.beta) != (9.0, 3.0)


def test_a_configuration_is_in_force_with_the_next_decision_and_propensities_are_computed_anew(
    process: Process,
) -> None:
    process.facts.facts().propensities["a set of candidates"] = (1.0,)
    process.configuration = RoutingConfiguration(version=3, bandits={"*": BanditPolicy(enabled=True)})
    assert process.facts.facts().configuration.version == 3
    assert process.facts.facts().propensities == {}


def test_what_is_set_of_a_gateway_is_in_force_with_the_next_decision_and_nothing_else_of_it(
    process: Process,
) -> None:
    razorpay, stripe = process.facts.gateways()
    terms = GatewayTerms(enabled=False, fee_bps=150)
    process.configuration = RoutingConfiguration(version=3, gateways={razorpay.id: terms})
    assert process.facts.gateways() == (replace(razorpay, enabled=False, fee_bps=150), stripe)
    assert process.facts.gateways() is process.facts.gateways()
    process.configuration = RoutingConfiguration(version=4)
    assert process.facts.gateways() == (razorpay, stripe)


def test_what_is_set_of_a_gateway_that_is_not_configured_here_is_nobodys(process: Process) -> None:
    before = process.facts.gateways()
    process.configuration = RoutingConfiguration(version=3, gateways={ALPHA: GatewayTerms(priority=1)})
    assert process.facts.gateways() == before


def test_a_merchants_retry_policy_is_in_force_with_the_next_decision_and_no_other_merchants(
    process: Process,
) -> None:
    own = MerchantRetryPolicy(max_attempts=1, latency_budget_ms=60_000)
    process.configuration = RoutingConfiguration(version=3, retry_policies={"m_001": own})
    assert process.facts.retry_policy("m_001") == own
    assert process.facts.retry_policy("m_002") == RetryPolicy()


def test_an_experiment_is_in_force_with_the_next_decision_and_propensities_are_still_known(
    process: Process,
) -> None:
    """They are remembered by everything that they follow from, a variant's weights among it."""
    process.facts.facts().propensities["a set of candidates"] = (1.0,)
    process.experiments = (experiment(Override(order=(ALPHA,))),)
    assert process.facts.facts().experiments == process.experiments
    assert process.facts.facts().propensities == {"a set of candidates": (1.0,)}
    process.experiments = ()
    assert process.facts.facts().experiments == ()


async def test_hot_metrics_that_are_missing_or_old_are_told(process: Process) -> None:
    assert not (await process.facts.check()).ok
    process.facts.believe(snapshot())
    assert (await process.facts.check()).ok
    process.now += timedelta(seconds=STALE_AFTER_S + 1)
    assert not (await process.facts.check()).ok


async def test_hot_metrics_are_as_old_as_what_was_folded_though_they_were_just_published(
    process: Process,
) -> None:
    behind = timedelta(seconds=STALE_AFTER_S + 1)
    process.facts.believe(replace(snapshot(), through=START - behind))
    assert not (await process.facts.check()).ok
    process.facts.believe(replace(snapshot(version=2), through=START))
    assert (await process.facts.check()).ok
