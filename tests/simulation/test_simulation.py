"""Nobody is charged twice, whatever stops, waits, lies or forgets: thousands of payments under seeded faults.

A failure prints its seed and the whole story of the payment; `run_seed(seed)` plays it again, step by step.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from msgspec.structs import replace

from tests.simulation.broken.machines import StoppingClock
from tests.simulation.broken.stores import GivesTwice
from tests.simulation.checker import Checker
from tests.simulation.defects import DEFECTS, Defect
from tests.simulation.faults import Rates
from tests.simulation.loop import run
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

SCENARIOS = (
    Scenario(),
    Scenario(rates=Rates(log=0.1, pauses=0.02)),
    Scenario(forgets=True, rates=Rates(log=0.3, pauses=0.01)),
    Scenario(rates=Rates(log=0.2, store=0.15, pauses=0.05, pauses_after_the_last_look=0.1)),
    Scenario(kills=6, outages=5, rates=Rates(pauses=0.01)),
)

CAUGHT_WITHIN = 120


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

    try:
        return run(simulate())
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


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


def objections(seed: int, defect: Defect) -> Iterator[str]:
    """What the checker has against a world, or what the world itself broke off with."""
    try:
        world = simulated(seed, defect.scenario)
    except Exception as error:
        yield f"{type(error).__name__}: {error}"
    else:
        for violation in Checker(world, windows=defect.windows).violations():
            yield str(violation).partition("\n")[0]


def test_nobody_is_charged_twice() -> None:
    counted = run_seeds(range(400))
    assert counted["payments"] > 3_000
    assert counted["charges"] > 2_000
    assert counted["void records"] > 200
    assert counted["lie of another gateway"] > 500
    assert counted["lie of another amount"] > 250


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


def test_a_payment_that_two_verifiers_are_given_has_one_of_them() -> None:
    for seed in range(30):
        run_seed(seed, Scenario(make_queue=GivesTwice))


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_caught(name: str) -> None:
    """The checker can fail: it objects to one of the first worlds, and in these words."""
    defect = DEFECTS[name]
    worlds = (objections(seed, defect) for seed in range(CAUGHT_WITHIN))
    assert any(defect.what in objection for world in worlds for objection in world)
