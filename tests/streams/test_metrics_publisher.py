"""What one worker publishes for all is the fold of every partition, whoever has it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec
import pytest

from infra.clock import SystemClock
from infra.memory.metrics import MemoryMetricsCheckpoints, MemoryShards
from infra.memory.projections import MemoryDeadLetters, MemoryRecords, RawRecord
from projections.hot_metrics import HotMetrics
from projections.merge import STEP
from projections.publication import CELLS_AT_ONCE
from projections.shard import CELLS_MAX
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.metrics import GatewayFigures, Published, RoutingSnapshot, StoredShard
from streams.metrics_publisher import (
    LEASE_MS,
    MERGED_KEPT_MS,
    RENEW_EVERY_MS,
    SILENT_AFTER_MS,
    MetricsPublisher,
)
from tests.projections.outcomes import DOUBT, SUCCESS, decline, records, told

PARTITIONS = 3


class Clock(SystemClock):
    """Every look at it takes a while, as on a machine where much is to be done in between."""

    passed_ms = 0.0
    look_takes_ms = 0.0

    def elapsed_ms(self) -> float:
        self.passed_ms += self.look_takes_ms
        return self.passed_ms


class Shards(MemoryShards):
    reading_takes_ms = 0.0

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    async def changed_since(self, partition: int, next_offset: int) -> StoredShard | None:
        self._clock.passed_ms += self.reading_takes_ms
        return await super().changed_since(partition, next_offset)


class Publications:
    """One lease for all, and what was published."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_ms = 0.0
        self.asked = 0
        self.taken_away_at: int | None = None
        self.holder: str | None = None
        self.last: Published | None = None
        self.gateways: dict[str, GatewayFigures] = {}
        self.snapshot: RoutingSnapshot | None = None

    async def lead(self, name: str, for_ms: int) -> bool:
        self.asked += 1
        if self.asked == self.taken_away_at:
            self.holder, self._until_ms = "somebody", self._clock.passed_ms + for_ms
        if self.holder is None or self._clock.passed_ms > self._until_ms:
            self.holder = name
        if self.holder != name:
            return False
        self._until_ms = self._clock.passed_ms + for_ms
        return True

    async def published(self) -> Published | None:
        return self.last

    async def publish(self, published: Published, gateways: Mapping[str, bytes], snapshot: bytes) -> None:
        assert self.last is None or published.version > self.last.version
        self.last = published
        self.gateways = {
            name: msgspec.json.decode(told, type=GatewayFigures) for name, told in gateways.items()
        }
        self.snapshot = msgspec.msgpack.decode(snapshot, type=RoutingSnapshot)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.log = MemoryRecords()
        self.store = Shards(self.clock)
        self.publications = Publications(self.clock)
        self.metrics = {name: self.worker() for name in ("one", "two")}
        self.publishers = {
            name: MetricsPublisher(
                name, metrics, self.store, self.publications, self.clock, PARTITIONS, self.ends
            )
            for name, metrics in self.metrics.items()
        }

    def worker(self) -> HotMetrics:
        return HotMetrics(
            PAYMENTS_TOPIC,
            self.store,
            MemoryMetricsCheckpoints(),
            self.log,
            MemoryDeadLetters(),
            lambda: self.clock.now().timestamp() * 1000,
        )

    async def ends(self) -> Mapping[int, int]:
        return {
            partition: await self.log.end_offset(PAYMENTS_TOPIC, partition) for partition in range(PARTITIONS)
        }

    def append(self, partition: int, events: Sequence[Event], ago_s: float = 0) -> list[RawRecord]:
        stamp_ms = int((self.clock.now().timestamp() - ago_s) * 1000)
        return [
            self.log.append(PAYMENTS_TOPIC, partition, stamp_ms, record.key, record.value, record.headers)
            for record in records(events)
        ]

    async def tell(self, name: str, partition: int, events: Sequence[Event]) -> None:
        await self.metrics[name].absorb(self.append(partition, events))

    def event(self, outcome: object = SUCCESS, ago_s: float = 0, **changes: object) -> Event:
        at = self.clock.now() - timedelta(seconds=ago_s)
        return told(outcome, at=at, **changes)  # type: ignore[arg-type]

    async def tell_a_long_hour(self) -> None:
        """More than is summed in three steps."""
        events = [self.event(ago_s=number) for number in range(0, 3_500, 7)]
        events += [
            self.event(issuer=f"bank{number % 200}", ago_s=number * 10 % 3_500) for number in range(1_500)
        ]
        await self.tell("one", 0, events)
        assert sum(map(len, self.metrics["one"].shards[0].buckets.values())) > 2 * STEP

    async def behind_s(self) -> float:
        """What is published next, by whoever leads."""
        for publisher in self.publishers.values():
            await publisher.look()
            await publisher.turn()
        told, snapshot = self.publications.last, self.publications.snapshot
        assert told is not None
        assert told.through is not None
        assert snapshot is not None
        assert snapshot.through == told.through
        return (told.as_of - told.through).total_seconds()

    def hour(self, gateway: str = "alpha") -> int:
        return self.publications.gateways[gateway].total["60m"].attempts


@pytest.fixture
def world() -> World:
    return World()


async def test_the_shards_of_all_workers_are_published_together_and_again_when_they_change(
    world: World,
) -> None:
    await world.tell("one", 0, [world.event(), world.event(decline("gateway"))])
    await world.tell("two", 1, [world.event(DOUBT)])
    await world.publishers["one"].turn()
    assert world.hour() == 3

    await world.tell("two", 2, [world.event(), world.event(gateway="beta")])
    await world.tell("two", 1, [world.event(SUCCESS, instead_of=DOUBT, verified=True), world.event()])
    await world.publishers["one"].turn()
    assert (world.hour(), world.hour("beta")) == (5, 1)
    figures = world.publications.gateways["alpha"].methods["UPI"].windows["1m"]
    assert (figures.succeeded, figures.gateway_faults, figures.in_doubt) == (4, 1, 0)


async def test_who_has_no_lease_publishes_nothing_and_whoever_gets_it_goes_on_with_a_higher_version(
    world: World,
) -> None:
    await world.tell("one", 0, [world.event()])
    await world.publishers["one"].turn()
    await world.publishers["two"].turn()
    first = world.publications.last
    assert first is not None

    world.publications.holder = None
    await world.tell("two", 0, [world.event()])
    await world.publishers["two"].turn()
    assert world.hour() == 2
    assert world.publications.last is not None
    assert world.publications.last.version > first.version


async def test_a_partition_that_moves_to_another_worker_is_counted_once(world: World) -> None:
    await world.tell("one", 0, [world.event()])
    await world.publishers["one"].turn()
    await world.tell("two", 0, [world.event(), world.event()])
    world.metrics["one"].keep([1])
    await world.publishers["one"].turn()
    assert world.hour() == 3
    await world.tell("one", 0, [world.event()])
    await world.publishers["one"].turn()
    assert world.hour() == 4


async def test_a_store_that_forgot_everything_changes_nothing_of_what_is_published(world: World) -> None:
    await world.tell("one", 0, [world.event()])
    await world.tell("two", 1, [world.event()])
    await world.publishers["one"].turn()
    world.store.flush()
    await world.publishers["one"].turn()
    assert world.hour() == 2
    await world.metrics["one"].tend(0)
    await world.metrics["two"].tend(1)
    await world.tell("two", 1, [world.event()])
    await world.publishers["one"].turn()
    assert world.hour() == 3


async def test_the_snapshot_has_the_history_of_methods_and_segments_and_every_other_cell(
    world: World,
) -> None:
    events = [
        world.event(outcome, ago_s, segment="small", issuer="okbank")
        for outcome, ago_s in [(SUCCESS, 0), (DOUBT, 0), (decline("gateway"), 1_500)]
    ]
    await world.tell("one", 0, events)
    await world.publishers["one"].turn()
    snapshot = world.publications.snapshot
    assert snapshot is not None
    cells = {(cell.kind, cell.value): cell for cell in snapshot.cells}
    assert set(cells) == {("method", ""), ("segment", "small"), ("issuer", "okbank"), ("amount_band", "1e3")}
    for kind in ("method", "segment"):
        (cell,) = (cell for (its, _), cell in cells.items() if its == kind)
        assert [sum(part[place] for part in cell.history) for place in (1, 2)] == [1, 2]
        assert (cell.succeeded_15m, cell.failed_15m) == (1, 1)
    assert cells["issuer", "okbank"].history == ()
    assert cells["issuer", "okbank"].latency_ms_p50 == pytest.approx(120, rel=0.01)


async def test_cells_that_are_too_many_over_all_shards_are_not_all_in_the_snapshot(world: World) -> None:
    for partition in range(PARTITIONS):
        issuers = [f"bank{number}-{partition}" for number in range(CELLS_MAX)]
        await world.tell("one", partition, [world.event(issuer=issuer) for issuer in issuers])
    await world.publishers["one"].turn()
    assert world.publications.snapshot is not None
    assert sum(cell.kind == "issuer" for cell in world.publications.snapshot.cells) == CELLS_MAX
    assert world.hour() == PARTITIONS * CELLS_MAX


async def test_only_the_busiest_of_many_finer_cells_are_shown_and_all_are_in_the_snapshot(
    world: World,
) -> None:
    events = [world.event(issuer=f"bank{number}") for number in range(30)]
    await world.tell("one", 0, [*events, world.event(issuer="bank17")])
    await world.publishers["one"].turn()
    shown = world.publications.gateways["alpha"].methods["UPI"].issuers
    assert len(shown) == 10
    assert next(iter(shown)) == "bank17"
    assert world.publications.snapshot is not None
    assert sum(cell.kind == "issuer" for cell in world.publications.snapshot.cells) == 30


async def test_a_first_sum_that_takes_longer_than_the_lease_is_published_though_another_waits(
    world: World,
) -> None:
    await world.tell_a_long_hour()
    world.clock.look_takes_ms = LEASE_MS * 0.4
    begun_ms = world.clock.passed_ms
    await world.publishers["one"].turn()
    assert world.clock.passed_ms - begun_ms > LEASE_MS
    assert world.hour() == 2_000
    world.clock.look_takes_ms = 0
    await world.publishers["two"].turn()
    assert world.publishers["two"].counts.leads == 0


async def test_who_loses_the_lease_in_the_middle_publishes_nothing_and_goes_on_from_there(
    world: World,
) -> None:
    await world.tell_a_long_hour()
    world.clock.look_takes_ms = LEASE_MS * 0.3
    world.publications.taken_away_at = 3
    await world.publishers["one"].turn()
    assert world.publications.last is None
    world.clock.look_takes_ms = 0
    await world.publishers["one"].turn()  # it stands by, and what is told meanwhile counts, too
    await world.tell("one", 0, [world.event()])
    await world.publishers["one"].turn()
    assert world.publications.last is None
    world.clock.passed_ms += LEASE_MS + 1
    await world.publishers["one"].turn()
    assert world.hour() == 2_001


async def test_who_loses_the_lease_while_it_reads_what_others_have_publishes_nothing(world: World) -> None:
    await world.tell("two", 1, [world.event()])
    world.store.reading_takes_ms = RENEW_EVERY_MS + 1
    world.publications.taken_away_at = 2
    await world.publishers["one"].turn()
    assert world.publications.last is None
    assert world.publishers["one"].counts.leads == 0


async def test_what_was_merged_long_ago_is_not_kept_by_who_does_not_lead(world: World) -> None:
    await world.tell("one", 0, [world.event()])
    await world.publishers["one"].turn()
    world.publications.taken_away_at = world.publications.asked + 1
    world.clock.passed_ms += MERGED_KEPT_MS + 1
    await world.publishers["one"].turn()
    await world.tell("one", 0, [world.event()])
    world.clock.passed_ms += LEASE_MS + 1
    await world.publishers["one"].turn()
    assert world.hour() == 2


async def test_a_worker_complains_while_nobody_publishes_whoever_leads(world: World) -> None:
    one, two = world.publishers["one"], world.publishers["two"]
    await one.look()
    await one.turn()
    await two.turn()
    assert (one.complaint, two.complaint) == (None, None)
    world.publications.holder, world.publications.taken_away_at = None, world.publications.asked + 1
    world.clock.passed_ms += SILENT_AFTER_MS + 1
    await two.turn()
    assert two.complaint == "nothing was published for 5 s"
    world.clock.passed_ms += LEASE_MS + 1
    await one.turn()
    await two.turn()
    assert one.complaint is None
    assert {two.complaint} == {None}


async def test_what_is_published_is_told_to_be_as_old_as_the_partition_that_is_furthest_behind(
    world: World,
) -> None:
    assert await world.behind_s() < 1
    late = world.append(0, [world.event(), world.event()], ago_s=300)
    world.append(1, [world.event()], ago_s=200)
    assert await world.behind_s() == 3_600  # of both not a record was folded
    await world.metrics["one"].absorb(late[:1])
    await world.metrics["two"].tend(1)
    assert await world.behind_s() == pytest.approx(300, abs=2)
    for publisher in world.publishers.values():
        assert publisher.complaint is not None
        assert "s behind the log" in publisher.complaint
    await world.metrics["one"].absorb(late)
    assert await world.behind_s() < 1
    assert {publisher.complaint for publisher in world.publishers.values()} == {None}


async def test_what_was_added_after_the_last_look_at_the_log_is_not_said_to_be_folded(world: World) -> None:
    await world.tell("one", 0, [world.event()])
    await world.publishers["one"].look()
    before = world.clock.now()
    await world.tell("one", 0, [world.event()])
    await world.publishers["one"].turn()
    assert world.publications.last is not None
    assert world.publications.last.through is not None
    assert world.publications.last.through <= before


async def test_others_have_their_turns_while_much_is_written(world: World) -> None:
    await world.tell("one", 0, [world.event(issuer=f"bank{number}") for number in range(200)])
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    await world.publishers["one"].turn()
    others.cancel()
    assert turns > 200 / CELLS_AT_ONCE
    assert world.hour() == 200


async def test_what_was_written_when_the_lease_was_lost_is_not_written_again_and_nothing_is_missing(
    world: World,
) -> None:
    await world.tell("one", 0, [world.event(issuer=f"bank{number}") for number in range(200)])
    world.clock.look_takes_ms = LEASE_MS * 0.3
    world.publications.taken_away_at = 4
    await world.publishers["one"].turn()
    assert world.publications.last is None
    world.clock.look_takes_ms = 0
    world.clock.passed_ms += LEASE_MS + 1
    await world.publishers["one"].turn()
    assert world.hour() == 200
    assert world.publications.snapshot is not None
    assert sum(cell.kind == "issuer" for cell in world.publications.snapshot.cells) == 200


async def test_who_publishes_tells_the_health_of_gateways_when_it_is_asked_for_and_nobody_else_does(
    world: World,
) -> None:
    one, two = world.publishers["one"], world.publishers["two"]
    await world.tell("one", 0, [world.event(), world.event(decline("gateway"))])
    await world.tell("two", 1, [world.event(ago_s=400), world.event(DOUBT, ago_s=400)])
    assert (one.take_health(), two.take_health()) == (None, None)
    for publisher in (one, two):
        await publisher.look()
        await publisher.turn()
    health = one.take_health()
    assert health is not None
    (alpha,) = health
    assert (alpha.succeeded, alpha.failed, alpha.usual_succeeded, alpha.usual_failed) == (1, 1, 1, 1)
    assert two.take_health() is None
    assert one.take_health() is None


async def test_a_publisher_that_is_behind_the_log_tells_no_health(world: World) -> None:
    one = world.publishers["one"]
    await world.tell("one", 0, [world.event()])
    world.append(1, [world.event()], ago_s=60)
    one.take_health()
    await one.look()
    await one.turn()
    assert one.take_health() is None
