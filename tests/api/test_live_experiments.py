"""Experiments as processes hear them from the log they share, and what is told to who acts at the same moment."""

import asyncio

import pytest
from msgspec.structs import replace

from api.live_experiments import LiveExperiments
from commands.experiment_state import Paused, Running
from infra.memory.experiment_topic import MemoryExperimentsTopic
from infra.memory.topic import MemoryTail
from projections.ports import Take
from schemas.errors import LogUnavailable, Refusal, Refused
from schemas.experiment import ExperimentCommand, ExperimentStopped
from tests.api.stand_ins import ManualClock
from tests.commands.test_experiment import ONE, TWO, UNREAD, a_design, pause, start

pytestmark = pytest.mark.time_jumps


class World:
    """A topic and processes that share it."""

    def __init__(self) -> None:
        self.topic = MemoryExperimentsTopic()
        self.clock = ManualClock()
        self.tails: list[MemoryTail] = []

    async def process(self) -> LiveExperiments:
        def open_tail(take: Take) -> MemoryTail:
            self.tails.append(self.topic.tail(take))
            return self.tails[-1]

        process = LiveExperiments(open_tail, self.topic, self.clock, confirmed_within_s=0.2)
        await process.start()
        return process


async def refusal_of(process: LiveExperiments, command: ExperimentCommand) -> Refused:
    with pytest.raises(Refused) as refused:
        await process.obey(command, "req_1")
    return refused.value


async def late(world: World, process: LiveExperiments, command: ExperimentCommand) -> "asyncio.Task[object]":
    """It decides before the second process hears of what the first has done, and writes after it."""
    task = asyncio.create_task(process.obey(command, "req_2"))
    await asyncio.sleep(0)
    world.tails[1].resume()
    return task


async def test_what_one_process_starts_is_routed_by_all_and_by_those_that_start_later() -> None:
    world = World()
    one, other = await world.process(), await world.process()
    experiments = await one.obey(start(), "req_1")
    assert isinstance(experiments.known[ONE], Running)
    assert one.current.running == other.current.running == (await world.process()).current.running != ()


async def test_of_two_who_pause_at_once_both_are_told_that_it_is_paused() -> None:
    world = World()
    one, other = await world.process(), await world.process()
    await one.obey(start(), "req_1")
    world.tails[1].pause()
    await one.obey(pause(), "req_1")
    experiments = await (await late(world, other, pause()))
    assert experiments == one.current
    assert isinstance(one.current.known[ONE], Paused)
    assert len(world.topic.records) == 3


async def test_of_two_who_start_the_same_at_once_both_are_told_of_the_one() -> None:
    world = World()
    one, other = await world.process(), await world.process()
    world.tails[1].pause()
    await one.obey(start(ONE), "req_1")
    assert await (await late(world, other, start(TWO))) == one.current
    assert list(one.current.known) == [ONE]
    assert len(world.topic.records) == 2


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (start(TWO, a_design(weight=500)), "exp_1 has this name"),
        (start(TWO, a_design(group="checkout", name="two")), "Somebody else acted at the same moment"),
    ],
)
async def test_who_was_slower_is_told_why_nothing_was_done(command: ExperimentCommand, reason: str) -> None:
    world = World()
    one, other = await world.process(), await world.process()
    world.tails[1].pause()
    await one.obey(start(ONE, a_design(group="checkout")), "req_1")
    refused = asyncio.create_task(refusal_of(other, command))
    await asyncio.sleep(0)
    world.tails[1].resume()
    assert (await refused).reason is Refusal.EXPERIMENT_CONFLICT
    assert (await refused).detail.startswith(reason)
    assert list(other.current.known) == [ONE]


async def test_who_does_not_hear_of_it_in_time_is_told_that_nobody_knows_and_may_ask_again() -> None:
    world = World()
    one = await world.process()
    world.tails[0].pause()
    assert (await refusal_of(one, start(ONE))).reason is Refusal.UNCONFIRMED
    world.tails[0].resume()
    assert list((await one.obey(start(TWO), "req_2")).known) == [ONE]


async def test_where_no_log_answers_nothing_is_done_and_those_that_run_still_do() -> None:
    world = World()
    one = await world.process()
    await one.obey(start(), "req_1")
    world.topic.is_available = False
    with pytest.raises(LogUnavailable):
        await one.obey(pause(), "req_2")
    assert len(one.current.running) == 1


async def test_readiness_names_those_that_cannot_be_read_until_they_have_ended() -> None:
    world = World()
    one = await world.process()
    await one.obey(start(), "req_1")
    assert (await one.check()).detail == "version 1"
    (record,) = world.topic.records
    world.tails[0].take(replace(record, event=UNREAD, position=replace(record.position, offset=1)))
    proof = await one.check()
    assert not proof.ok
    assert proof.detail.endswith(TWO)
    assert len(one.current.running) == 1
    ended = ExperimentStopped(experiment_id=TWO, by="asha", note="")
    world.tails[0].take(replace(record, event=ended, position=replace(record.position, offset=2)))
    assert (await one.check()).ok
