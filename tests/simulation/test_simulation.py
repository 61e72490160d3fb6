"""Nobody is charged twice, whatever stops, waits, lies or forgets: thousands of payments under seeded faults.

A failure prints its seed and the whole story of the payment; `run_seed(seed)` plays it again, step by step.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from commands.ports import Gateways
from tests.simulation.broken import (
    Broken,
    BurnsNothing,
    DoubtIsNotSent,
    HopefulLog,
    KeepsTheMoney,
    NeverCaptures,
    NotFoundIsNotSent,
    PassedOn,
    PendingIsSuccess,
    Silence,
    SilenceIsDecline,
    StaleThrough,
    StoppingClock,
    VoidIsValid,
)
from tests.simulation.checker import Checker
from tests.simulation.faults import Rates
from tests.simulation.loop import run
from tests.simulation.world import Scenario, World

SCENARIOS = (
    Scenario(),
    Scenario(rates=Rates(log=0.1, pauses=0.02)),
    Scenario(forgets=True, rates=Rates(log=0.3, pauses=0.01)),
    Scenario(rates=Rates(log=0.2, store=0.15, pauses=0.05, pauses_after_the_last_look=0.1)),
    Scenario(kills=6, outages=5, rates=Rates(pauses=0.01)),
)


def run_seed(seed: int, scenario: Scenario | None = None, *, windows: bool = True) -> World:
    """One world from its beginning to its end, checked. Without a scenario the seed chooses one."""
    world = simulated(seed, scenario or SCENARIOS[seed % len(SCENARIOS)])
    Checker(world, windows=windows).check()
    return world


def simulated(seed: int, scenario: Scenario) -> World:
    async def simulate() -> World:
        world = World(seed, scenario)
        await world.run()
        return world

    return run(simulate())


def run_seeds(seeds: Iterable[int]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for seed in seeds:
        world = run_seed(seed)
        counted += world.faults.counted
        counted["payments"] += len(
            {r.envelope.aggregate_id for partition in world.log.partitions for r in partition}
        )
        counted["charges"] += sum(len(ledger.entries) for ledger in world.ledgers.values())
        counted["void records"] += sum(r.is_void for partition in world.log.partitions for r in partition)
        counted["posts"] += world.posts
    return counted


def is_caught(scenario: Scenario, *, windows: bool = True, what: str = "", seeds: int = 60) -> bool:
    """Whether the checker objects to any of the first runs, and in these words."""
    for seed in range(seeds):
        violations = Checker(simulated(seed, scenario), windows=windows).violations()
        if any(what in str(violation).partition("\n")[0] for violation in violations):
            return True
    return False


@pytest.mark.timeout(400)
def test_nobody_is_charged_twice() -> None:
    counted = run_seeds(range(400))
    assert counted["payments"] > 3_000
    assert counted["charges"] > 2_000
    assert counted["void records"] > 200


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_nobody_is_charged_twice_in_thousands_of_worlds() -> None:
    run_seeds(range(1_000, 5_000))


def test_the_same_seed_is_the_same_world() -> None:
    one, other = run_seed(7), run_seed(7)
    assert one.log.partitions == other.log.partitions
    assert [answer.at_ms for answer in one.answers] == [answer.at_ms for answer in other.answers]


def test_a_clock_that_stops_with_its_machine_charges_nobody_twice() -> None:
    """Two walls stand between a paused owner and a second charge; this takes the first one away."""
    for seed in range(60):
        run_seed(seed, replace(SCENARIOS[1], wrap_clock=StoppingClock), windows=False)


# The checker can fail


def broken(how: type[PassedOn]) -> Callable[[Gateways], Gateways]:
    return lambda gateways: Broken(how, gateways)


DEFECTS: dict[str, tuple[Scenario, str]] = {
    "a timeout cascades": (Scenario(wrap_gateways=broken(DoubtIsNotSent)), "charged 2 times at once"),
    "a call follows an ambiguous append": (Scenario(wrap_log=HopefulLog), "told what is not on the log"),
    "a clock stops with its machine": (
        replace(SCENARIOS[1], wrap_clock=StoppingClock),
        "outside its owner's window",
    ),
    "a store that forgot admits at once": (Scenario(forgets=True, admits_at_once=True), "became 2 payments"),
    "a reference is not burnt": (
        replace(SCENARIOS[3], wrap_gateways=broken(BurnsNothing)),
        "although verified as not sent",
    ),
    "not found is not sent": (
        Scenario(wrap_gateways=broken(NotFoundIsNotSent)),
        "although verified as not sent",
    ),
    "silence is a decline": (Scenario(wrap_gateways=broken(SilenceIsDecline)), "declined by assumption"),
    "pending is a success": (Scenario(wrap_gateways=broken(PendingIsSuccess)), "in no ledger"),
    "what is given back is kept": (Scenario(wrap_gateways=broken(KeepsTheMoney)), "charged 2 times"),
    "authorised money is never captured": (Scenario(wrap_gateways=broken(NeverCaptures)), "captured"),
    "the horizon is too near": (
        Scenario(horizon_s=5, clients=30, rates=Rates(calls=0.6, notifications=1.0)),
        "charged",
    ),
    "a take-over folds a stale log": (
        Scenario(wrap_histories=StaleThrough),
        "",
    ),
    "nobody hears of a duplicate charge": (Scenario(wrap_alarms=lambda _: Silence()), "nobody heard"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_caught(defect: str) -> None:
    scenario, what = DEFECTS[defect]
    assert is_caught(scenario, what=what)


def test_a_call_after_an_ambiguous_append_is_caught_at_the_till() -> None:
    assert is_caught(Scenario(wrap_log=HopefulLog), what="charged 2 times")


def test_a_void_record_taken_for_valid_is_caught() -> None:
    scenario = replace(SCENARIOS[1], wrap_log=VoidIsValid, wrap_clock=StoppingClock)
    assert is_caught(scenario, windows=False)
