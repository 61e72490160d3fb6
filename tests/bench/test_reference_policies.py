"""The policies of others: what they lose where that can be calculated, and that their circuits do as they should."""

import numpy as np
import pytest

from tests.bench.reference_breaker import BACK_OFF, BreakerPolicy, Breakers
from tests.bench.reference_policies import REFERENCES
from tests.bench.reference_world import Choices, ReferenceWorld
from tests.bench.scenarios import STANDARD, Floats, Scenario, SimulatedGateway, steady

RUNS = 20
SHORT = Scenario(
    name="short",
    duration_s=60,
    gateways=(
        SimulatedGateway(name="beta", success_rate=steady(0.9, (20, 40, 0.1))),
        SimulatedGateway(name="alpha", success_rate=steady(0.8)),
        SimulatedGateway(name="gamma", success_rate=steady(0.6)),
    ),
)


def play(name: str, scenario: Scenario = SHORT, runs: range = range(RUNS)) -> Choices:
    return ReferenceWorld(scenario, runs).play(name)


def lost(choices: Choices, rates: Floats) -> Floats:
    missed: Floats = (rates.max(axis=0) - rates[choices, np.arange(rates.shape[1])]).sum(axis=1)
    return missed


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("oracle", 0),
        ("fixed", 400 * 0.1),  # the second best is the best one during the outage
        ("fixed-best", 200 * 0.7),
    ],
)
def test_what_a_fixed_order_loses_is_what_can_be_calculated(name: str, expected: float) -> None:
    assert lost(play(name), SHORT.rates()) == pytest.approx([expected] * RUNS)


def test_random_choice_loses_what_can_be_calculated() -> None:
    expected = 400 * (0.1 + 0.3) / 3 + 200 * (0.7 + 0.2) / 3
    found = lost(play("random"), SHORT.rates())
    assert found.mean() == pytest.approx(expected, abs=4 * found.std() / RUNS**0.5)


def test_the_closed_forms_of_the_standard_hours_hold() -> None:
    stationary, outage = STANDARD[:2]
    rates = stationary.rates()
    assert (rates.max(axis=0) - rates.mean(axis=0)).sum() == pytest.approx(960)
    assert lost(np.zeros((1, outage.transactions), dtype=np.int16), outage.rates()) == pytest.approx(5_100)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_run_does_not_depend_on_those_played_beside_it(name: str) -> None:
    assert (play(name, runs=range(3))[2] == play(name, runs=range(2, 4))[0]).all()


@pytest.mark.parametrize("name", ["srv3", "ewma", "ts", "ts-breaker", "dts-breaker"])
def test_whoever_learns_loses_less_than_chance(name: str) -> None:
    assert lost(play(name), SHORT.rates()).mean() < 0.8 * lost(play("random"), SHORT.rates()).mean()


class OneCircuit:
    """Of the first of two gateways, in one run."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._breakers = Breakers(1, 2, policy, per_second=1.0)

    def calls(self, outcomes: str, at: int = 0, trial: int = 0) -> None:
        for outcome in outcomes:
            failed = np.array([outcome == "x"])
            self._breakers.observe(at, np.array([0]), failed, np.array([trial], dtype=np.int32))

    def may_be_called(self, at: int) -> bool:
        return bool(self._breakers.allowed(at)[0][0, 0])

    def probe(self, at: int) -> int:
        self._breakers.allowed(at)
        return int(self._breakers.sent(np.array([0]))[0])


def test_a_circuit_opens_when_half_of_a_full_window_failed() -> None:
    circuit = OneCircuit(BACK_OFF)
    circuit.calls("x" * 9 + "." * 10)
    assert circuit.may_be_called(0)
    circuit.calls("x")
    assert not circuit.may_be_called(0)


def test_a_circuit_waits_lets_five_probes_go_and_closes_when_most_succeed() -> None:
    circuit = OneCircuit(BACK_OFF)
    circuit.calls("x" * 20)
    assert not circuit.may_be_called(29)
    assert [circuit.probe(30) for _ in range(5)] == [1] * 5
    assert not circuit.may_be_called(30)
    circuit.calls("xx...", at=31, trial=1)
    assert circuit.may_be_called(31)
    circuit.calls("x" * 9, at=31)
    assert circuit.may_be_called(31), "its window began anew"


def test_a_circuit_whose_probes_fail_waits_twice_as_long_and_no_longer_than_it_may() -> None:
    circuit, now = OneCircuit(BACK_OFF), 0
    circuit.calls("x" * 20)
    for trial, wait_s in enumerate((30, 60, 120, 240, 240), start=1):
        assert not circuit.may_be_called(now + wait_s - 1)
        now += wait_s
        assert circuit.probe(now) == trial
        circuit.calls("xxx", at=now, trial=trial)
        assert not circuit.may_be_called(now), "three of five cannot be made good"


def test_where_all_circuits_are_open_everybody_may_be_called() -> None:
    breakers = Breakers(1, 1, BACK_OFF, per_second=1.0)
    for _ in range(20):
        breakers.observe(0, np.array([0]), np.array([True]), np.array([0], dtype=np.int32))
    assert breakers.allowed(0)[0].all()
