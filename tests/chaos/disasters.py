"""What befalls the processes: `kill -9`, SIGSTOP for a while, SIGTERM; all drawn from a seed.

A supervisor starts again what has ended by itself, as one would in production.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Literal

from infra.local.child import Child
from schemas.base import Value

APART_S = (1.1, 3.5)
AWAY_S = (0.1, 4.0)
STOPPED_S = (1.0, 15.0)
WATCH_S = 0.5
WEIGHTS = {
    "api": 5,
    "worker": 4,
    "verifier": 5,
    "circuit": 4,
    "metrics": 4,
    "dispatcher": 4,
    "kafka": 2,
    "postgres": 2,
    "redis": 1,
}

How = Literal["killed", "stopped", "restarted"]


class Disaster(Value, frozen=True, kw_only=True):
    """`for_s` is how long it is away; a part that is away already is spared."""

    at_s: float
    name: str
    how: How
    for_s: float


def kind_of(name: str) -> str:
    """`api-1` is an `api`."""
    return name.partition("-")[0]


def forecast(seed: int, seconds: float, names: list[str]) -> list[Disaster]:
    """Everything that will happen, in order. The last few seconds are quiet."""
    chance = Random(f"disasters {seed}")
    crowd = Counter(map(kind_of, names))
    weights = [WEIGHTS[kind_of(name)] / crowd[kind_of(name)] for name in names]
    disasters, at_s = list[Disaster](), chance.uniform(*APART_S)
    while at_s < seconds:
        (name,) = chance.choices(names, weights)
        how: How = chance.choice(("killed", "killed", "stopped", "stopped", "restarted"))
        for_s = chance.uniform(*(STOPPED_S if how == "stopped" else AWAY_S))
        disasters.append(Disaster(at_s=at_s, name=name, how=how, for_s=for_s))
        at_s += chance.uniform(*APART_S)
    return disasters


class Disasters:
    """`counted` are those that happened, and `ended` the parts that ended by themselves."""

    def __init__(self, children: Mapping[str, Child]) -> None:
        self._children = children
        self._away: set[str] = set()
        self.counted: Counter[tuple[str, How]] = Counter()
        self.ended: Counter[str] = Counter()

    async def happen(self, disasters: list[Disaster]) -> None:
        """Returns when all is over and nothing stands still; whatever happens, also when it is cancelled."""
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                for disaster in disasters:
                    await asyncio.sleep(max(0, begun + disaster.at_s - asyncio.get_running_loop().time()))
                    if disaster.name not in self._away:
                        group.create_task(self._befall(disaster))
        finally:
            for child in self._children.values():
                child.resume()

    async def _befall(self, disaster: Disaster) -> None:
        child = self._children[disaster.name]
        if not child.running:
            return
        self._away.add(disaster.name)
        self.counted[kind_of(disaster.name), disaster.how] += 1
        try:
            match disaster.how:
                case "killed":
                    child.kill()
                    await asyncio.sleep(disaster.for_s)
                    await child.start()
                case "stopped":
                    child.pause()
                    await asyncio.sleep(disaster.for_s)
                    child.resume()
                case "restarted":
                    await child.stop()
                    await child.start()
        finally:
            self._away.discard(disaster.name)

    async def supervise(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            for name, child in self._children.items():
                if name not in self._away and not child.running:
                    self.ended[kind_of(name)] += 1
                    await child.start()
