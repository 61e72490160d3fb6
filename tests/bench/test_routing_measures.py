"""What a run is measured by: losses, the way out of an outage, and the way back."""

import numpy as np
import pytest

from tests.bench.routing_measures import Fall, falls, measured
from tests.bench.scenarios import Scenario, SimulatedGateway, steady

HOUR = Scenario(
    transactions_per_second=1,
    duration_s=3_000,
    gateways=(
        SimulatedGateway(name="beta", success_rate=steady(0.9, (1_000, 2_000, 0.1))),
        SimulatedGateway(name="alpha", success_rate=steady(0.8, (1_200, 1_300, 0.1))),
    ),
)
RATES = HOUR.rates()
OUTAGE = Fall(place=0, since=1_000, until=2_000)


def choices(*spans: tuple[int, int]) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    """(gateway, how many payments), one after the other."""
    return np.repeat(np.array([place for place, _ in spans], dtype=np.int16), [count for _, count in spans])


def test_an_outage_is_a_jump_of_twenty_points_of_the_gateway_that_was_the_best() -> None:
    assert falls(RATES) == (OUTAGE, Fall(place=1, since=1_200, until=1_300))
    small = steady(0.9, (1_000, 2_000, 0.71))
    slow = ((0.0, 0.9), (1_000.0, 0.9), (1_100.0, 0.1))
    for course in (small, slow):
        gateways = (SimulatedGateway(name="beta", success_rate=course), HOUR.gateways[1])
        scenario = Scenario(gateways=gateways, transactions_per_second=1, duration_s=1_150)
        assert falls(scenario.rates()) == ()


def test_a_run_loses_what_the_best_gateway_of_each_moment_would_have_won() -> None:
    run = measured(choices((0, 3_000)), RATES, ())
    assert run.lost == pytest.approx(900 * 0.7)
    assert (run.curve[39], run.curve[-1]) == pytest.approx((0, 630))
    assert run.shares == (1.0, 0.0)
    assert run.worse_share == pytest.approx(500 / 1_500)


def test_a_gateway_is_left_when_fewer_than_twenty_of_a_hundred_go_there() -> None:
    run = measured(choices((0, 1_030), (1, 1_970)), RATES, [OUTAGE])
    assert (run.left, run.returned) == ((11,), (None,))


def test_a_gateway_that_was_left_only_after_it_came_back_was_not_left_in_time() -> None:
    assert measured(choices((0, 2_100), (1, 900)), RATES, [OUTAGE]).left == (None,)


def test_a_gateway_is_taken_again_when_more_than_half_of_two_hundred_go_there() -> None:
    run = measured(choices((0, 1_000), (1, 1_500), (0, 500)), RATES, [OUTAGE])
    assert (run.left, run.returned) == ((0,), (500 - 99,))
