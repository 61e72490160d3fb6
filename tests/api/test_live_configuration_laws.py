"""Laws of processes that share a configuration, whatever they hear late and however they write at once."""

import asyncio
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from api.live_configuration import LiveConfiguration
from commands.routing.configuration import INITIAL, Configured, evolve, is_void
from infra.memory.configuration import MemoryConfigurationTopic
from infra.memory.topic import MemoryTail
from projections.ports import Take
from schemas.configuration import ROUTING_RULES, SetRoutingRules
from schemas.errors import Refusal, Refused
from tests.api.stand_ins import ManualClock
from tests.commands.rules import pin, rules
from tests.simulation.loop import run

PROCESSES = 3
steps = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "pause", "resume", "turn"]), st.integers(0, PROCESSES - 1)
    ),
    max_size=30,
)
Outcome = Configured | Refusal


class World:
    def __init__(self) -> None:
        self.topic = MemoryConfigurationTopic()
        self.tails: list[MemoryTail] = []
        self.clock = ManualClock()
        self.processes = [self._process() for _ in range(PROCESSES)]
        self.outcomes: dict[str, Outcome] = {}
        self._names = (f"r{number}" for number in count(1))

    def _process(self) -> LiveConfiguration:
        return LiveConfiguration(self._open, self.topic, self.clock, confirmed_within_s=0.02)

    def _open(self, take: Take) -> MemoryTail:
        self.tails.append(self.topic.tail(take))
        return self.tails[-1]

    async def ask(self, process: LiveConfiguration) -> None:
        name = next(self._names)
        command = SetRoutingRules(
            rules=rules(pin(name)),
            gateways=(),
            by="asha",
            note=name,
            instead_of_version=process.current.version(ROUTING_RULES),
        )
        await asyncio.sleep(0)  # somebody else may be faster
        try:
            self.outcomes[name] = await process.set(command, "req_1")
        except Refused as refused:
            self.outcomes[name] = refused.reason

    async def live_through(self, story: list[tuple[str, int]]) -> None:
        for tail in self.tails:
            await tail.start()
        setting = []
        for step, number in story:
            match step:
                case "set":
                    setting.append(asyncio.create_task(self.ask(self.processes[number])))
                case "pause":
                    self.tails[number].pause()
                case "resume":
                    self.tails[number].resume()
                case _:
                    await asyncio.sleep(0)
        await asyncio.gather(*setting)
        for tail in self.tails:
            tail.resume()

    def counted(self) -> set[str]:
        configured, names = INITIAL, set()
        for record in self.topic.records:
            if not is_void(configured, record):
                names.add(record.event.note)
            configured = evolve(configured, record)
        return names


@settings(deadline=None)
@given(steps)
def test_all_agree_and_everybody_was_told_the_truth(story: list[tuple[str, int]]) -> None:
    """What was told to be in force counts; what was told to be stale does not; of the rest nobody knew."""
    world = World()
    run(world.live_through(story))
    assert all(process.current == world.processes[0].current for process in world.processes)
    counted = world.counted()
    for name, outcome in world.outcomes.items():
        if isinstance(outcome, Configured):
            assert name in counted
            assert outcome.setting(ROUTING_RULES).note == name
        else:
            assert outcome in (Refusal.STALE_VERSION, Refusal.UNCONFIRMED)
            assert outcome is Refusal.UNCONFIRMED or name not in counted
