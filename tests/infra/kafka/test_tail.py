"""A tail tells all of a topic and then whatever comes, on a real log that is paused and holds poison."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from infra.kafka.tail import TopicTail
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.settings import Settings
from schemas.base import Event
from schemas.circuit import CircuitForcedOpen
from schemas.codec import CIRCUITS_TOPIC, encode
from schemas.envelope import ALWAYS, Envelope, Outgoing, Recorded, Window
from tests.builders import AT
from tests.commands.circuits import ALPHA, UPI
from tests.waiting import ACKNOWLEDGED_WITHIN_MS, HANGS_AFTER_S, is_once_within

OVER = Window(valid_from_ms=0, valid_until_ms=1)
_clock = SystemClock()


def a_fact(name: str) -> CircuitForcedOpen:
    return CircuitForcedOpen(gateway=ALPHA, payment_method=UPI, at=AT, by="asha", note=name, request_id="r")


class Listener:
    def __init__(self) -> None:
        self.heard: list[Recorded[Event]] = []
        self.refuses: str | None = None

    def take(self, recorded: Recorded[Event]) -> None:
        assert isinstance(recorded.event, CircuitForcedOpen)
        if recorded.event.note == self.refuses:
            raise ValueError("I do not know what to make of it")
        self.heard.append(recorded)

    @property
    def notes(self) -> list[str]:
        return [one.event.note for one in self.heard if isinstance(one.event, CircuitForcedOpen)]


class World:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.settings = Settings.from_environment(stack.env)
        self.publisher = Publisher(self.settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
        self.listener = Listener()
        self.tails: list[TopicTail] = []

    async def open(self) -> None:
        await make_topics(self.settings)
        await self.publisher.start()

    async def close(self) -> None:
        for tail in self.tails:
            await tail.stop()
        await self.publisher.stop()

    def tail(self, servers: str | None = None) -> TopicTail:
        tail = TopicTail(
            servers or self.settings.kafka_bootstrap_servers, CIRCUITS_TOPIC, self.listener.take, _clock
        )
        self.tails.append(tail)
        return tail

    async def tell(self, *names: str, window: Window = ALWAYS) -> int:
        """The offset of the first."""
        envelope = Envelope(
            event_id="evt_1",
            aggregate_id="alpha:UPI",
            sequence=1,
            at=AT,
            epoch=1,
            window=window,
            correlation_id="c",
            causation_id="c",
        )
        outgoing = [Outgoing(envelope=envelope, event=a_fact(name)) for name in names]
        messages = [(b"alpha:UPI", *encode(one)) for one in outgoing]
        return int((await self.publisher.publish(CIRCUITS_TOPIC, 0, messages))[0].offset)


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    world = World(stack)
    await world.open()
    yield world
    await world.close()


async def becomes(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANGS_AFTER_S):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


@pytest.mark.integration
async def test_what_was_there_is_told_by_the_start_and_what_comes_soon_after(world: World) -> None:
    begin = await world.tell("a", "b", "c")
    tail = world.tail()
    assert await tail.start(begin)
    assert (world.listener.notes, tail.is_current, tail.trouble) == (["a", "b", "c"], True, None)
    assert [one.position.offset for one in world.listener.heard] == [begin, begin + 1, begin + 2]

    told = ["a", "b", "c"]

    async def one_more_is_heard() -> None:
        told.append("d")
        await world.tell("d")
        await becomes(lambda: world.listener.notes == told)

    await is_once_within(0.5, one_more_is_heard)
    assert tail.next_offset == begin + len(told)


@pytest.mark.integration
async def test_a_start_beyond_the_beginning_tells_only_what_follows(world: World) -> None:
    begin = await world.tell("a", "b")
    await world.tail().start(begin + 1)
    assert world.listener.notes == ["b"]


@pytest.mark.integration
async def test_what_cannot_be_read_or_taken_is_counted_and_hides_nothing(world: World) -> None:
    begin = await world.tell("a")
    await world.publisher.publish(CIRCUITS_TOPIC, 0, [(b"alpha:UPI", b"{", [])])
    await world.tell("bad", "b")
    world.listener.refuses = "bad"
    tail = world.tail()
    assert await tail.start(begin)
    assert (world.listener.notes, tail.unreadable, tail.next_offset) == (["a", "b"], 2, begin + 4)


@pytest.mark.integration
async def test_a_void_record_is_not_told(world: World) -> None:
    begin = await world.tell("a")
    await world.tell("too late", window=OVER)
    await world.tell("b")
    await world.tail().start(begin)
    assert world.listener.notes == ["a", "b"]


@pytest.mark.integration
async def test_brokers_that_are_away_make_facts_old_and_come_back_without_a_loss(world: World) -> None:
    if world.stack.kafka not in world.stack.servers:
        pytest.skip("somebody else's Kafka is not ours to pause")
    begin = await world.tell("a")
    tail = world.tail()
    assert await tail.start(begin)
    world.stack.kafka.pause()
    try:
        await becomes(lambda: not tail.is_current)
        assert (world.listener.notes, tail.behind_s > 3) == (["a"], True)
        await asyncio.sleep(9)  # beyond the moment at which the consumer is given up
    finally:
        world.stack.kafka.resume()
    await becomes(lambda: tail.is_current)
    await world.tell("b")
    await becomes(lambda: world.listener.notes == ["a", "b"])


class Watch:
    ms = 0.0

    def elapsed_ms(self) -> float:
        return self.ms


class Answers(NamedTuple):
    """A consumer, as far as it says what a broker has answered."""

    polled_at: int | None
    end: int | None

    def last_poll_timestamp(self, partition: object) -> int | None:
        return self.polled_at

    def highwater(self, partition: object) -> int | None:
        return self.end


async def test_a_new_consumer_that_nobody_has_answered_yet_proves_nothing() -> None:
    watch = Watch()
    tail = TopicTail("127.0.0.1:1", CIRCUITS_TOPIC, lambda _: None, watch)
    tail._note_progress(Answers(1, 0))
    tail.trouble = "TimeoutError"
    watch.ms = 4_000
    tail._note_progress(Answers(None, None))
    assert (tail.trouble, tail.behind_s) == ("TimeoutError", 4)
    tail._note_progress(Answers(2, 0))
    assert tail.behind_s == 0
    assert not tail.trouble


async def test_a_process_that_never_heard_a_broker_is_not_held_up_and_says_so() -> None:
    tail = TopicTail("127.0.0.1:1", CIRCUITS_TOPIC, Listener().take, _clock)
    assert not await tail.start(within_s=0.5)
    assert (tail.is_caught_up, tail.is_current) == (False, False)
    assert tail.trouble is not None
    await asyncio.wait_for(tail.stop(), HANGS_AFTER_S)
