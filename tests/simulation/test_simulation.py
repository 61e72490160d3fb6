"""Nobody is charged twice, whatever stops, waits, lies or forgets: thousands of payments under seeded faults.

A failure prints its seed and the whole story of the payment; `run_seed(seed)` plays it again.
"""

from collections import Counter

import pytest

from tests.simulation.checker import Checker
from tests.simulation.faults import Rates
from tests.simulation.loop import run
from tests.simulation.world import Scenario, World


def run_seed(seed: int, scenario: Scenario | None = None, *, windows: bool = True) -> World:
    async def simulate() -> World:
        world = World(seed, scenario or Scenario())
        await world.run()
        return world

    world = run(simulate())
    Checker(world).check(windows=windows)
    return world
