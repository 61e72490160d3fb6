"""Laws of processes that share experiments, whatever they hear late and however they act at once."""

import asyncio
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from api.live_experiments import LiveExperiments
from commands.experiment_state import Ended, Experiment, Experiments, Paused, Running, named
from infra.memory.experiment_topic import MemoryExperimentsTopic
from infra.memory.topic import MemoryTail
from projections.ports import Take
from schemas.errors import Refusal, Refused
from schemas.experiment import (
    Design,
    ExperimentCommand,
    PauseExperiment,
    ResumeExperiment,
    StartExperiment,
    StopExperiment,
    Variant,
)
from tests.api.stand_ins import ManualClock
from tests.simulation.loop import run

PROCESSES = 3
Ask = tuple[int, str, str, float]
asks = st.tuples(
    st.integers(0, PROCESSES - 1),
    st.sampled_from(["start", "pause", "resume", "resume", "stop"]),
    st.sampled_from(["a", "b", "alone"]),
    st.sampled_from([1.0, 2.0, 0.5]),
)
rounds = st.lists(st.lists(asks, min_size=1, max_size=3), max_size=12)
"""Those of one round decide before any of them has heard of the others."""


class World:
    """Experiments named `a` and `b` are of one group, `alone` is not."""

    def __init__(self) -> None:
        self.topic = MemoryExperimentsTopic()
        self.tails: list[MemoryTail] = []
        self.clock = ManualClock()
        self.processes = [
            LiveExperiments(self._open, self.topic, self.clock, confirmed_within_s=1)
            for _ in range(PROCESSES)
        ]

    def _open(self, take: Take) -> MemoryTail:
        self.tails.append(self.topic.tail(take))
        return self.tails[-1]

    def command(self, what: str, name: str, scale: float, known: Experiments) -> ExperimentCommand | None:
        if what == "start":
            return StartExperiment(
                experiment_id=self.clock.experiment_id(), design=a_design(name), gateways=(), by="", note=""
            )
        if (one := named(known, name)) is None:
            return None
        match what:
            case "pause":
                return PauseExperiment(experiment_id=one, by="", note="")
            case "resume":
                return ResumeExperiment(experiment_id=one, by="", note="", scale=scale)
            case _:
                return StopExperiment(experiment_id=one, by="", note="")

    async def ask(self, number: int, what: str, name: str, scale: float) -> None:
        process = self.processes[number]
        command = self.command(what, name, scale, process.current)
        if command is None:
            return
        try:
            experiments = await process.obey(command, "req_1")
        except Refused as refused:
            assert refused.reason is Refusal.EXPERIMENT_CONFLICT  # noqa: PT017
        else:
            assert_is_so(command, name, experiments)

    async def live_through(self, story: list[list[Ask]]) -> None:
        for tail in self.tails:
            await tail.start()
        for asked in story:
            for tail in self.tails:
                tail.pause()
            acting = [asyncio.create_task(self.ask(*one)) for one in asked]
            await asyncio.sleep(0)
            for tail in self.tails:
                tail.resume()
            await asyncio.gather(*acting)


def a_design(name: str) -> Design:
    return Design(
        name=name,
        variants=(Variant(name="control", weight=1_000), Variant(name="treatment", weight=1_000)),
        planned_customers=100,
        planned_days=7,
        group=None if name == "alone" else "checkout",
    )


def assert_is_so(command: ExperimentCommand, name: str, experiments: Experiments) -> None:
    """Who was not refused finds it as it was asked for."""
    if isinstance(command, StartExperiment):
        assert named(experiments, name) is not None
        return
    expected: dict[type[ExperimentCommand], type[Experiment]] = {
        PauseExperiment: Paused,
        ResumeExperiment: Running,
        StopExperiment: Ended,
    }
    assert isinstance(experiments.known[command.experiment_id], expected[type(command)])


def buckets(experiment: Experiment) -> set[int]:
    return {bucket for part in experiment.allocation for bucket in range(part.first, part.end)}


@settings(deadline=None, max_examples=200)
@given(rounds)
def test_all_agree_nobody_is_told_what_is_not_so_and_no_customer_is_in_two(story: list[list[Ask]]) -> None:
    world = World()
    run(world.live_through(story))
    assert all(process.current == world.processes[0].current for process in world.processes)
    live = [one for one in world.processes[0].current.known.values() if not isinstance(one, Ended)]
    assert len({one.design.name for one in live}) == len(live)
    assert all(
        buckets(one).isdisjoint(buckets(other))
        for one, other in combinations(live, 2)
        if one.salt == other.salt
    )
