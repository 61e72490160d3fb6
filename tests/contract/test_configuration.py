"""What processes that share a topic of configuration are promised: the same end for all, and no change lost unseen."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Protocol

import pytest

from api.live_configuration import LiveConfiguration
from commands.routing.configuration import Configured
from infra.clock import SystemClock
from infra.kafka.adoptions import KafkaAdoptions
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.tail import TopicTail
from infra.kafka.topic_log import configuration_log
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.memory.configuration import MemoryConfigurationTopic
from infra.settings import Settings
from projections.ports import Tail, Take
from schemas.codec import CONFIGURATION_TOPIC
from schemas.configuration import ROUTING_RULES, SetBanditPolicy, SetRoutingRules
from schemas.errors import LogUnavailable, Refusal, Refused
from schemas.routing_configuration import BanditPolicy, RoutingRules
from tests.commands.rules import pin, rules
from tests.waiting import HANGS_AFTER_S, is_once_within

IN_FORCE_WITHIN_S = 0.5
PATIENCE_MS = 4_000
"""No acknowledgement takes so long, on whatever machine."""
_clock = SystemClock()


class World(Protocol):
    """A topic that processes share; others may have written on it before."""

    async def process(self) -> LiveConfiguration: ...

    async def close(self) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self._topic = MemoryConfigurationTopic()

    async def process(self) -> LiveConfiguration:
        process = LiveConfiguration(self._topic.tail, self._topic, _clock)
        await process.start()
        return process

    async def close(self) -> None:
        pass


class KafkaWorld:
    """Each process has a producer and a tail of its own."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.settings = Settings.from_environment(stack.env)
        self.publisher = Publisher(self.settings.kafka_bootstrap_servers, PATIENCE_MS)
        self._publishers = [self.publisher]
        self._processes: list[LiveConfiguration] = []

    async def open(self) -> None:
        await make_topics(self.settings)
        await self.publisher.start()

    async def process(self) -> LiveConfiguration:
        publisher = Publisher(self.settings.kafka_bootstrap_servers, PATIENCE_MS)
        await publisher.start()
        process = LiveConfiguration(self._tail, configuration_log(publisher, _clock), _clock)
        self._publishers.append(publisher)
        self._processes.append(process)
        await process.start()
        return process

    def _tail(self, take: Take) -> Tail:
        return TopicTail(self.settings.kafka_bootstrap_servers, CONFIGURATION_TOPIC, take, _clock)

    async def close(self) -> None:
        for process in self._processes:
            await process.stop()
        for publisher in self._publishers:
            await publisher.stop()


@pytest.fixture
async def kafka(stack: Stack) -> AsyncIterator[KafkaWorld]:
    world = KafkaWorld(stack)
    await world.open()
    yield world
    await leave_nothing(await world.process())
    await world.close()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return MemoryWorld()
    world: World = request.getfixturevalue("kafka")
    return world


async def leave_nothing(process: LiveConfiguration) -> None:
    """The services of later tests route by the same topic."""
    nothing = SetRoutingRules(
        rules=rules(), gateways=(), by="asha", note="", instead_of_version=version_of(process)
    )
    await process.set(nothing, "req_0")
    assert process.current.routing.rules == rules()


def version_of(process: LiveConfiguration) -> int:
    return process.current.version(ROUTING_RULES)


def set_rules(name: str, process: LiveConfiguration) -> SetRoutingRules:
    """Instead of what that process knows."""
    return SetRoutingRules(
        rules=some_rules(name), gateways=(), by="asha", note=name, instead_of_version=version_of(process)
    )


def some_rules(name: str) -> RoutingRules:
    return rules(pin(name))


async def agree(*processes: LiveConfiguration) -> None:
    async with asyncio.timeout(HANGS_AFTER_S):
        while True:
            if all(process.current == processes[0].current for process in processes):
                return
            await asyncio.sleep(0.005)


async def test_what_one_sets_is_in_force_in_the_other_within_half_a_second(world: World) -> None:
    one, other = await world.process(), await world.process()
    names = (f"number-{number}" for number in count())

    async def one_sets() -> None:
        name = next(names)
        configured = await one.set(set_rules(name, one), "req_1")
        assert configured == one.current
        assert configured.routing.rules == some_rules(name)

    async def is_in_force() -> None:
        await agree(one, other)

    await is_once_within(IN_FORCE_WITHIN_S, is_in_force, before=one_sets)


async def test_of_two_who_write_at_once_one_wins_and_the_other_is_told(world: World) -> None:
    """Twenty times. Whoever lost sees the winner's rules and can set its own instead of them."""
    one, other = await world.process(), await world.process()
    for turn in range(20):
        await agree(one, other)
        names = [f"one-{turn}", f"other-{turn}"]
        outcomes = await asyncio.gather(
            one.set(set_rules(names[0], one), "req_1"),
            other.set(set_rules(names[1], other), "req_2"),
            return_exceptions=True,
        )
        lost = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        assert [refused.reason for refused in lost] == [Refusal.STALE_VERSION]
        await agree(one, other)
        winner = names[0 if outcomes[1] is lost[0] else 1]
        assert one.current.routing.rules == some_rules(winner)
    configured = await other.set(set_rules("after-all", other), "req_3")
    assert configured.routing.rules == some_rules("after-all")


async def test_what_two_set_of_different_kinds_is_both_in_force(world: World) -> None:
    one, other = await world.process(), await world.process()
    await agree(one, other)
    budget = SetBanditPolicy(
        segment="UPI",
        policy=BanditPolicy(expected_loss=1 - other.current.routing.bandit("UPI").expected_loss),
        by="ravi",
        note="",
        instead_of_version=other.current.version("bandit:UPI"),
    )
    await asyncio.gather(one.set(set_rules("both", one), "req_1"), other.set(budget, "req_2"))
    await agree(one, other)
    assert one.current.routing.rules == some_rules("both")
    assert one.current.routing.bandit("UPI") == budget.policy


async def test_a_process_that_starts_again_knows_everything(world: World) -> None:
    one = await world.process()
    await one.set(set_rules("before", one), "req_1")
    await one.stop()
    again = await world.process()
    assert again.is_loaded
    assert again.current == one.current


@pytest.mark.integration
async def test_what_others_write_on_the_topic_is_passed_over(kafka: KafkaWorld) -> None:
    """And what is set here changes nothing for those who ask which Postgres was adopted."""
    one = await kafka.process()
    reader = LogReader(kafka.settings.kafka_bootstrap_servers)
    adoptions = KafkaAdoptions(kafka.publisher, reader, _clock)
    adopted = await adoptions.newest()
    before = await one.set(set_rules("kept", one), "req_1")
    if adopted is not None:  # anything else would close the admission of those who use this topic too
        await adoptions.append(adopted)
    await kafka.publisher.publish(CONFIGURATION_TOPIC, 0, [(b"moon", b"{", [])])
    assert (await kafka.process()).current == before
    after = await one.set(set_rules("next", one), "req_2")
    assert (await kafka.process()).current == after
    assert await adoptions.newest() == adopted
    await reader.stop()


@pytest.mark.integration
async def test_while_kafka_is_away_the_last_one_stays_and_readiness_says_so(kafka: KafkaWorld) -> None:
    """What was sent meanwhile may come true later: then everybody hears of it."""
    if kafka.stack.kafka not in kafka.stack.servers:
        pytest.skip("somebody else's Kafka is not ours to pause")
    one, other = await kafka.process(), await kafka.process()
    before = await one.set(set_rules("last", one), "req_1")
    assert (await one.check()).ok
    kafka.stack.kafka.pause()
    try:
        with pytest.raises((Refused, LogUnavailable)):
            await one.set(set_rules("in-doubt", one), "req_2")
        assert one.current == before
        await _becomes_stale(one)
        assert one.is_loaded
    finally:
        kafka.stack.kafka.resume()
    async with asyncio.timeout(HANGS_AFTER_S):
        while not ((await one.check()).ok and (await other.check()).ok):  # noqa: ASYNC110  # asked, not told
            await asyncio.sleep(0.05)
    configured = await _set_at_last(other, "afterwards")
    await agree(one, other)
    assert one.current == configured


async def _set_at_last(process: LiveConfiguration, name: str) -> Configured:
    """As an operator would: look again, and set it instead of what is there now."""
    async with asyncio.timeout(HANGS_AFTER_S):
        while True:
            try:
                return await process.set(set_rules(name, process), "req_3")
            except Refused as refused:
                if refused.reason != Refusal.STALE_VERSION:
                    raise


async def _becomes_stale(process: LiveConfiguration) -> None:
    async with asyncio.timeout(HANGS_AFTER_S):
        while (await process.check()).ok:  # noqa: ASYNC110  # asked, not told
            await asyncio.sleep(0.05)
