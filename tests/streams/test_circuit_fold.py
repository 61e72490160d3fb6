"""The writer of circuits over a log and a store in memory: nothing is told twice, and nothing is stale."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from commands.circuit_state import HalfOpen
from commands.circuit_writing import WrittenCircuit
from infra.kafka.partition import partition_for
from infra.memory.circuits import MemoryCircuits
from infra.memory.projections import MemoryDeadLetters, MemoryRecords, RawRecord
from projections.circuit_facts import CircuitFacts
from schemas.base import Event
from schemas.circuit import CircuitEvent, CircuitMessage, CircuitTicked, circuit_name
from schemas.codec import CIRCUIT_OUTCOMES_TOPIC, CIRCUITS_TOPIC, encode
from schemas.envelope import ALWAYS, Envelope, Outgoing, Position, Recorded
from schemas.errors import AppendAmbiguous, LogUnavailable, StoreUnavailable
from schemas.ids import GatewayId
from streams.circuit_fold import CHUNK, CircuitFold
from streams.circuit_forwarder import TELLS_FOR_MS
from streams.circuit_metrics import CircuitMetrics
from tests.builders import AT
from tests.commands.circuits import ALPHA, POLICY, UPI, a_call, after, calls, fold, force_open, release

PARTITION = partition_for("alpha:UPI")
ANOTHER = PARTITION - 1
KEY = (ALPHA, UPI)
BETA = GatewayId("beta")
BREAKS = calls("....." + "x" * 20)


class Log(MemoryRecords):
    """`beginning` is where what is kept begins, `readable` where what can be read just now ends, `lost` whose leader
    nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.beginning = 0
        self.readable: int | None = None
        self.lost: set[int] = set()
        self.before_read: Callable[[], Awaitable[None]] | None = None

    async def beginning_offset(self, topic: str, partition: int) -> int:
        if partition in self.lost:
            raise LogUnavailable("it has no leader")
        return self.beginning

    async def read(self, topic: str, partition: int, start: int, stop: int) -> list[RawRecord]:
        if self.before_read is not None:
            await self.before_read()
        if start < self.beginning:
            raise LogUnavailable("it is no longer on the log")
        if self.readable is not None and stop > self.readable:
            raise LogUnavailable("no answer")
        return await super().read(topic, partition, start, stop)


class Events:
    """What was told, and to whose facts."""

    def __init__(self, log: Log, facts: CircuitFacts) -> None:
        self.told: list[tuple[CircuitEvent, int, Position]] = []
        self.is_heard = True
        self.failure: Exception | None = None
        self._log = log
        self._facts = facts

    async def publish(self, told: Sequence[tuple[CircuitEvent, int, Recorded[Event]]]) -> None:
        for event, sequence, message in told:
            cause = message.position
            self.told.append((event, sequence, cause))
            name = circuit_name(event.gateway, event.payment_method)
            envelope = Envelope(
                event_id="evt",
                aggregate_id=name,
                sequence=sequence,
                at=event.at,
                epoch=1,
                window=ALWAYS,
                correlation_id="c",
                causation_id=f"{cause.topic}-{cause.partition}:{cause.offset}",
            )
            value, headers = encode(Outgoing(envelope=envelope, event=event))
            record = self._log.append(CIRCUITS_TOPIC, 0, 1, name.encode(), value, headers)
            position = Position(topic=CIRCUITS_TOPIC, partition=0, offset=record.offset)
            if self.is_heard:
                self._facts.take(Recorded(envelope=envelope, event=event, position=position, stamp_ms=1))
        if self.failure is not None:
            raise self.failure


class World:
    def __init__(self) -> None:
        self.now_ms = 1_000
        self.log, self.store, self.letters = Log(), MemoryCircuits(), MemoryDeadLetters()
        self.facts = CircuitFacts()
        self.events = Events(self.log, self.facts)
        self.fold = self.another()

    def another(self) -> CircuitFold:
        """Another process, or this one after a crash."""
        return CircuitFold(
            self.store,
            self.log,
            self.events,
            self.facts,
            lambda: self.facts.version + 1,
            self.letters,
            lambda _: POLICY,
            lambda: self.now_ms,
        )

    def told(self, *messages: CircuitMessage, key: str | None = None) -> list[RawRecord]:
        records = []
        for message in messages:
            name = circuit_name(message.gateway, message.payment_method)
            envelope = Envelope(
                event_id="evt_1",
                aggregate_id=name,
                sequence=1,
                at=AT,
                epoch=1,
                window=ALWAYS,
                correlation_id="c",
                causation_id="c",
            )
            value, headers = encode(Outgoing(envelope=envelope, event=message))
            records.append(
                self.log.append(
                    CIRCUIT_OUTCOMES_TOPIC, PARTITION, self.now_ms, (key or name).encode(), value, headers
                )
            )
        return records

    @property
    def said(self) -> list[CircuitEvent]:
        return [event for event, *_ in self.events.told]

    async def written(self, by: CircuitFold | None = None) -> WrittenCircuit:
        """As it is checkpointed, where it is given by that process just now."""
        await (by or self.fold).save()
        checkpoint = await self.store.checkpoint(PARTITION)
        assert checkpoint is not None
        (stored,) = checkpoint[1]
        return msgspec.json.decode(stored.state, type=WrittenCircuit)


@pytest.fixture
async def world() -> World:
    """Its fold holds the partition, which is empty yet."""
    world = World()
    await world.fold.hold([PARTITION])
    return world


async def test_what_is_told_is_what_the_decider_says(world: World) -> None:
    await world.fold.absorb(world.told(*BREAKS))
    assert world.said == fold(BREAKS)[1]
    assert [(sequence, cause.offset) for _, sequence, cause in world.events.told] == [
        (1, world.facts.known[KEY].decided_by)
    ]


async def test_what_is_given_twice_is_folded_once(world: World) -> None:
    records = world.told(*calls("xxxxx"))
    await world.fold.absorb(records)
    await world.fold.absorb(records)
    assert (world.fold.counts.taken_in, world.fold.counts.known_already) == (5, 5)


async def test_what_is_missing_before_a_batch_is_fetched_first_and_needs_no_store(world: World) -> None:
    records = world.told(*BREAKS)
    await world.fold.absorb(records[:3])
    world.store.is_away = True
    await world.fold.absorb(records[20:])
    await world.fold.hold([PARTITION])
    assert world.said == fold(BREAKS)[1]
    assert world.fold.counts.fetched_from_gaps == 22


async def test_after_a_crash_the_next_one_goes_on_from_the_checkpoint_and_says_nothing_again(
    world: World,
) -> None:
    records = world.told(*BREAKS)
    await world.fold.absorb(records[:8])
    await world.fold.save()
    await world.fold.absorb(records[8:])
    next_one = world.another()
    await next_one.hold([PARTITION])
    assert world.said == fold(BREAKS)[1]
    assert (await world.written(next_one)).circuit == fold(BREAKS)[0]


async def test_what_may_or_may_not_have_been_told_is_told_again_with_the_same_number(world: World) -> None:
    await world.fold.hold([PARTITION])
    world.events.failure, world.events.is_heard = AppendAmbiguous("who knows"), False
    records = world.told(*BREAKS)
    with pytest.raises(AppendAmbiguous):
        await world.fold.absorb(records)
    world.events.failure = None
    await world.fold.absorb(records)
    assert world.events.told == [world.events.told[0]] * 2
    assert world.fold.transitions.total() == 1


async def test_what_is_heard_to_have_been_told_is_not_told_again(world: World) -> None:
    await world.fold.hold([PARTITION])
    world.events.failure = AppendAmbiguous("who knows")
    records = world.told(*BREAKS)
    with pytest.raises(AppendAmbiguous):
        await world.fold.absorb(records)
    world.events.failure = None
    await world.fold.absorb(records)
    assert world.said == fold(BREAKS)[1]


async def test_a_writer_that_has_not_heard_all_that_was_told_waits(world: World) -> None:
    await world.fold.absorb(world.told(*BREAKS))
    world.facts.restore({}, 0)
    with pytest.raises(LogUnavailable):
        await world.another().hold([PARTITION])


async def test_a_partition_that_was_somebody_elses_meanwhile_is_loaded_anew(world: World) -> None:
    await world.fold.absorb(world.told(*BREAKS[:5]))
    other = world.another()
    await other.hold([PARTITION])
    await other.absorb(world.told(*BREAKS[5:15]))
    await other.save()
    await world.fold.absorb(world.told(*BREAKS[15:]))
    await world.fold.hold([PARTITION])
    assert world.said == fold(BREAKS)[1]
    assert (await world.written()).circuit == fold(BREAKS)[0]


async def test_what_is_taken_away_is_forgotten_and_gets_no_ticks(world: World) -> None:
    await world.fold.absorb(world.told(*BREAKS))
    assert [tick.gateway for tick in world.fold.due(after(40))] == [ALPHA]
    await world.fold.hold([ANOTHER])
    assert world.fold.due(after(40)) == []
    assert list(await world.fold.watermarks()) == [(CIRCUIT_OUTCOMES_TOPIC, ANOTHER)]


async def test_what_is_nobodys_for_a_moment_is_read_on_without_the_store_and_gets_no_ticks_meanwhile(
    world: World,
) -> None:
    await world.fold.absorb(world.told(*BREAKS[:10]))
    world.store.is_away = True
    await world.fold.hold([])
    world.told(*BREAKS[10:])
    assert world.fold.due(after(40)) == []
    await world.fold.hold([PARTITION])
    assert world.said == fold(BREAKS)[1]
    assert len(world.fold.due(after(40))) == 1
    assert world.fold.counts.fetched_from_gaps == len(BREAKS) - 10


async def test_a_circuit_that_nobody_calls_is_ticked_when_that_changes_it_and_only_then(world: World) -> None:
    await world.fold.absorb(world.told(*BREAKS))
    assert world.fold.due(after(29)) == []
    (tick,) = world.fold.due(after(30))
    assert tick == CircuitTicked(gateway=ALPHA, payment_method=UPI, at=after(30))
    await world.fold.absorb(world.told(tick))
    assert world.facts.views[KEY].status == "HALF_OPEN"
    assert world.fold.due(after(60)) == []


async def test_without_the_store_a_circuit_opens_in_time_and_the_checkpoint_is_made_up_for(
    world: World,
) -> None:
    await world.fold.hold([PARTITION])
    world.store.is_away = True
    await world.fold.absorb(world.told(*BREAKS))
    assert world.facts.views[KEY].status == "OPEN"
    with pytest.raises(StoreUnavailable):
        await world.fold.save()
    world.store.is_away = False
    assert (await world.written()).circuit == fold(BREAKS)[0]


async def test_a_new_partition_waits_for_the_store_and_says_so(world: World) -> None:
    new = world.another()
    world.store.is_away = True
    with pytest.raises(StoreUnavailable):
        await new.hold([PARTITION])
    with pytest.raises(StoreUnavailable):
        await new.watermarks()
    world.store.is_away = False
    await new.hold([PARTITION])
    assert len(await new.watermarks()) == 1


async def test_a_partition_that_cannot_be_loaded_does_not_keep_the_others_from_opening(world: World) -> None:
    world.store.is_away = True
    others = [RawRecord(CIRCUIT_OUTCOMES_TOPIC, ANOTHER, 7, 1_000, b"k", b"{", [])]
    with pytest.raises(StoreUnavailable):
        await world.fold.hold([ANOTHER, PARTITION])
    await world.fold.absorb([*others, *world.told(*BREAKS)])
    assert world.said == fold(BREAKS)[1]


async def test_one_partition_that_cannot_be_loaded_does_not_keep_another_from_being_loaded(
    world: World,
) -> None:
    world.log.lost = {ANOTHER}
    new = world.another()
    with pytest.raises(LogUnavailable):
        await new.hold([ANOTHER, PARTITION])
    await new.absorb(world.told(*BREAKS))
    assert world.said == fold(BREAKS)[1]


async def test_without_a_checkpoint_and_with_only_a_part_of_the_log_the_last_event_is_believed(
    world: World,
) -> None:
    """Forced a long time ago, and what is on the log since would not open it: it is still forced."""
    await world.fold.absorb(world.told(*calls("."), force_open()))
    world.log.beginning = 2
    world.told(*calls("..x", begin=10))
    lone = world.another()
    await lone.hold([PARTITION])
    assert world.said[1:] == []
    lone_circuit = await world.written(lone)
    assert (lone_circuit.sequence, lone_circuit.circuit.watermarks) == (1, {0: 12})
    await lone.absorb(world.told(release()))
    assert [type(event).__name__ for event in world.said] == ["CircuitForcedOpen", "CircuitReleased"]
    assert world.events.told[-1][1] == 2


async def test_a_circuit_of_which_nothing_is_left_on_the_log_is_what_its_last_event_says(
    world: World,
) -> None:
    await world.fold.absorb(
        world.told(*BREAKS, CircuitTicked(gateway=ALPHA, payment_method=UPI, at=after(31)))
    )
    world.log.beginning = await world.log.end_offset(CIRCUIT_OUTCOMES_TOPIC, PARTITION)
    lone = world.another()
    await lone.hold([PARTITION])
    assert isinstance((await world.written(lone)).circuit.state, HalfOpen)


async def test_without_a_checkpoint_nothing_is_read_that_is_older_than_an_hour(world: World) -> None:
    await world.fold.absorb(world.told(*BREAKS, force_open()))
    world.now_ms += TELLS_FOR_MS
    world.told(*calls("..x", begin=10))
    world.now_ms += 1
    lone = world.another()
    await lone.hold([PARTITION])
    assert lone.counts.taken_in == 3
    assert (await world.written(lone)).sequence == 2
    assert world.fold.transitions.total() == len(world.said) == 2


async def test_a_checkpoint_that_cannot_be_read_is_made_again_from_the_log(world: World) -> None:
    records = world.told(*BREAKS)
    await world.fold.absorb(records)
    await world.fold.save()
    checkpoint = await world.store.checkpoint(PARTITION)
    assert checkpoint is not None
    mark, (stored,) = checkpoint
    await world.store.save_checkpoint({PARTITION: mark}, [replace(stored, state="{}")])
    next_one = world.another()
    await next_one.hold([PARTITION])
    assert (await world.written(next_one)).circuit == fold(BREAKS)[0]
    assert world.said == fold(BREAKS)[1]


async def test_a_checkpoint_that_cannot_be_read_is_replaced_as_a_whole_and_not_before_it_is_reached(
    world: World,
) -> None:
    await world.fold.absorb(world.told(*BREAKS))
    await world.fold.absorb(world.told(*[CircuitTicked(gateway=BETA, payment_method=UPI, at=AT)] * CHUNK))
    await world.fold.save()
    checkpoint = await world.store.checkpoint(PARTITION)
    assert checkpoint is not None
    mark, stored = checkpoint
    await world.store.save_checkpoint({PARTITION: mark}, [replace(one, state="{}") for one in stored])
    next_one = world.another()
    world.log.before_read = next_one.save
    await next_one.hold([PARTITION])
    await next_one.save()
    last = world.another()
    await last.hold([PARTITION])
    assert last.counts.taken_in == 0


async def test_what_cannot_be_read_is_a_dead_letter_and_those_behind_it_are_folded(world: World) -> None:
    bad = world.told(a_call(), key="beta:UPI")
    await world.fold.absorb([*bad, *world.told(*BREAKS)])
    (letter,) = world.letters.published
    assert "key" in letter.reason
    assert world.said == fold(BREAKS)[1]


async def test_a_long_log_is_folded_in_pieces(world: World) -> None:
    messages = calls("." * (2 * CHUNK + 5))
    world.told(*messages)
    new = world.another()
    await new.hold([PARTITION])
    assert new.counts.fetched_from_gaps == 2 * CHUNK + 5
    assert (await world.written(new)).circuit == fold(messages)[0]


async def test_how_far_a_partition_is_loaded_is_seen_and_kept_and_checkpointed(world: World) -> None:
    messages = calls("." * (2 * CHUNK + 5))
    world.told(*messages)
    new, place = world.another(), (CIRCUIT_OUTCOMES_TOPIC, PARTITION)
    world.log.readable = CHUNK + 1
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await new.hold([PARTITION])
        await new.save()
        checkpoint = await world.store.checkpoint(PARTITION)
        assert checkpoint is not None
        assert checkpoint[0].next_offset == CHUNK
    world.log.readable = None
    world.store.is_away = True
    await new.hold([PARTITION])
    assert (await new.watermarks())[place].next_offset == len(messages)
    assert new.counts.fetched_from_gaps == len(messages)


async def test_while_a_partition_is_loaded_its_watermark_moves_and_it_gets_no_ticks(world: World) -> None:
    world.told(*BREAKS, *calls("." * CHUNK, begin=30))
    new, place = world.another(), (CIRCUIT_OUTCOMES_TOPIC, PARTITION)
    seen = []

    async def look() -> None:
        seen.append(((await new.watermarks())[place].next_offset, new.due(after(10_000))))

    world.log.before_read = look
    await new.hold([PARTITION])
    assert seen == [(0, []), (CHUNK, [])]


async def test_what_was_left_out_while_its_partition_was_loaded_is_in_it(world: World) -> None:
    world.told(*BREAKS[:5])
    new = world.another()

    async def more() -> None:
        world.log.before_read = None
        rest = asyncio.create_task(new.absorb(world.told(*BREAKS[5:])))
        await asyncio.sleep(0)
        assert not rest.done()

    world.log.before_read = more
    await new.hold([PARTITION])
    await asyncio.sleep(0)
    await new.hold([PARTITION])
    assert world.said == fold(BREAKS)[1]


async def test_those_who_watch_see_what_each_circuit_is(world: World) -> None:
    await world.fold.absorb(world.told(*BREAKS))
    registry = CollectorRegistry()
    registry.register(CircuitMetrics(world.facts, world.fold.transitions))
    labels = {"gateway": "alpha", "payment_method": "UPI"}
    state = "payments_gateway_circuit_state"
    assert registry.get_sample_value(state, {**labels, "status": "OPEN"}) == 1
    assert registry.get_sample_value(state, {**labels, "status": "CLOSED"}) == 0
    told = registry.get_sample_value(
        "payments_gateway_circuit_transitions_total", {**labels, "event": "CircuitOpened"}
    )
    assert told == 1
