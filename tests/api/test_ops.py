"""Probes tell the truth at once, and lag is told from what is known."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import REGISTRY

from api.app import create_app
from api.lag import Consumer, LagMonitor
from api.ports import Proof
from api.stalls import Stalls
from commands.alarm_writer import AlarmWriter
from schemas.base import Event
from schemas.codec import RELIABILITY_TOPIC
from schemas.envelope import Position, Recorded, unowned
from schemas.errors import LogUnavailable, StoreUnavailable
from schemas.reliability import ProjectionStalled, ProjectionStallEnded, ReliabilityEvent
from schemas.views import Watermark
from tests.api.client import Client
from tests.api.stand_ins import STAMP_MS, ManualClock, World

pytestmark = pytest.mark.time_jumps

TOPIC = "payments.events.v1"
GROUP = "projections-v1"


class Told:
    """What a person was told."""

    def __init__(self) -> None:
        self.events: list[ReliabilityEvent] = []
        self.is_away = False

    async def publish(self, alarm: ReliabilityEvent) -> None:
        if self.is_away:
            raise LogUnavailable("away")
        self.events.append(alarm)


def recorded(event: Event) -> Recorded[Event]:
    envelope = unowned("rel_1", "a subject", ManualClock().now(), correlation_id="c", causation_id="c")
    return Recorded(
        envelope=envelope,
        event=event,
        position=Position(topic=RELIABILITY_TOPIC, partition=0, offset=0),
        stamp_ms=0,
    )


def by_name(answer: Any) -> dict[str, Any]:
    return {dependency["name"]: dependency for dependency in answer.json["dependencies"]}


async def test_a_process_that_answers_is_alive(client: Client) -> None:
    answer = await client.get("/ops/liveness")
    assert (answer.status, answer.json) == (200, {"alive": True})


async def test_nothing_is_ready_before_it_has_proved_it(client: Client) -> None:
    answer = await client.get("/ops/readiness")
    assert (answer.status, answer.json["ready"]) == (503, False)
    assert by_name(answer)["log"]["age_ms"] is None


async def test_a_process_whose_dependencies_answer_is_ready(world: World) -> None:
    services = world.services()
    await services.readiness.look()
    world.clock.ms += 700
    answer = await Client(create_app(services)).get("/ops/readiness")
    assert (answer.status, answer.json["ready"], answer.json["draining"]) == (200, True, False)
    assert by_name(answer)["log"] == {
        "name": "log",
        "required": True,
        "ok": True,
        "detail": "answers",
        "age_ms": 700,
    }


@pytest.mark.parametrize(
    ("failure", "detail"),
    [(Proof(ok=False, detail="40 behind"), "40 behind"), (OSError("10.0.0.7 refused"), "OSError")],
)
async def test_a_required_dependency_that_is_not_well_makes_503_and_keeps_the_age_of_its_last_proof(
    world: World, failure: Proof | Exception, detail: str
) -> None:
    services = world.services()
    await services.readiness.look()
    world.clock.ms += 900
    if isinstance(failure, Proof):
        world.log.proof = failure
    else:
        world.log.failure = failure
    await services.readiness.look()
    answer = await Client(create_app(services)).get("/ops/readiness")
    assert (answer.status, answer.json["ready"]) == (503, False)
    log = by_name(answer)["log"]
    assert (log["ok"], log["detail"], log["age_ms"]) == (False, detail, 900)


async def test_an_optional_dependency_may_be_away(world: World) -> None:
    services = world.services()
    world.redis.failure = OSError()
    await services.readiness.look()
    answer = await Client(create_app(services)).get("/ops/readiness")
    assert (answer.status, by_name(answer)["redis"]["ok"]) == (200, False)


async def test_old_facts_of_circuits_are_told_and_stop_no_payment(world: World) -> None:
    services = world.services()
    world.circuit_tail.is_current, world.circuit_tail.behind_s = False, 61.2
    world.circuit_tail.trouble = "OffsetOutOfRangeError"
    await services.readiness.look()
    answer = await Client(create_app(services)).get("/ops/readiness")
    circuits = by_name(answer)["circuits"]
    assert (answer.status, circuits["ok"]) == (200, False)
    assert circuits["detail"] == "not known to be complete for 61 s: OffsetOutOfRangeError"


async def test_a_dependency_that_hangs_is_given_up_after_a_second(world: World) -> None:
    services = world.services()
    world.log.hangs = True
    async with asyncio.timeout(3):
        await services.readiness.look()
    answer = await Client(create_app(services)).get("/ops/readiness")
    assert (answer.status, by_name(answer)["log"]["detail"]) == (503, "no answer within 1 s")


async def test_a_proof_that_is_not_renewed_is_worth_nothing(world: World) -> None:
    services = world.services()
    await services.readiness.look()
    world.clock.ms += 3_001
    answer = await Client(create_app(services)).get("/ops/readiness")
    assert (answer.status, by_name(answer)["log"]["detail"]) == (503, "has not answered lately")


async def test_dependencies_are_asked_in_the_background_each_on_its_own(world: World) -> None:
    services = world.services()
    world.redis.hangs = True
    async with services.readiness.running():
        await asyncio.sleep(0.05)
        answer = await Client(create_app(services)).get("/ops/readiness")
    assert (answer.status, by_name(answer)["log"]["ok"], by_name(answer)["redis"]["ok"]) == (200, True, False)


async def test_a_draining_process_is_not_ready(world: World) -> None:
    services = world.services()
    await services.readiness.look()
    services.draining.set()
    answer = await Client(create_app(services)).get("/ops/readiness")
    assert (answer.status, answer.json["ready"], answer.json["draining"]) == (503, False, True)


@dataclass
class Consuming:
    """A log, and one group with a projection, where a test can move each by hand."""

    clock: ManualClock = field(default_factory=ManualClock)
    end: int = 100
    offset: int = 100
    mark: int = 100
    stamp_ms: int = STAMP_MS
    log_is_away: bool = False
    store_is_away: bool = False
    knows_nothing: bool = False

    async def ends(self, topic: str) -> Mapping[int, int]:
        if self.log_is_away:
            raise LogUnavailable("")
        return {3: self.end}

    async def offsets(self, group: str) -> Mapping[tuple[str, int], int]:
        if self.log_is_away:
            raise LogUnavailable("")
        return {(TOPIC, 3): self.offset}

    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]:
        if self.store_is_away:
            raise StoreUnavailable("")
        return (
            {}
            if self.knows_nothing
            else {(TOPIC, 3): Watermark(next_offset=self.mark, last_stamp_ms=self.stamp_ms)}
        )

    def monitor(self, *, has_projection: bool = True) -> LagMonitor:
        watermarks = self.watermarks if has_projection else None
        consumer = Consumer(group=GROUP, topics=(TOPIC,), watermarks=watermarks)
        return LagMonitor(self.clock, self.ends, self.offsets, [consumer])


async def lag(monitor: LagMonitor, clock: ManualClock) -> Any:
    services = World(clock=clock, lag=lambda _: monitor).services()
    answer = await Client(create_app(services)).get("/ops/lag")
    assert answer.status == 200
    return answer.json


async def row(monitor: LagMonitor, clock: ManualClock) -> Any:
    (only,) = (await lag(monitor, clock))["partitions"]
    return only


async def test_a_consumer_at_the_end_has_no_lag() -> None:
    world = Consuming()
    monitor = world.monitor()
    await monitor.look()
    assert await row(monitor, world.clock) == {
        "group": GROUP,
        "topic": TOPIC,
        "partition": 3,
        "group_offset": 100,
        "watermark": 100,
        "end_offset": 100,
        "lag": 0,
        "time_lag_ms": 0,
        "status": "OK",
    }


async def test_a_consumer_that_moves_but_not_fast_enough_is_lagging() -> None:
    world = Consuming()
    monitor = world.monitor()
    await monitor.look()
    for _ in range(7):
        world.clock.ms += 1000
        world.end += 100
        world.mark += 10
        await monitor.look()
    answer = await row(monitor, world.clock)
    assert (answer["status"], answer["lag"], answer["time_lag_ms"]) == ("LAGGING", 630, 6000)


async def test_a_consumer_that_keeps_up_is_ok_though_there_is_always_something_new() -> None:
    world = Consuming()
    monitor = world.monitor()
    for _ in range(30):
        await monitor.look()
        world.clock.ms += 1000
        world.mark = world.end
        world.end += 100
    await monitor.look()
    assert (await row(monitor, world.clock))["status"] == "OK"


async def test_a_watermark_that_stands_still_while_the_log_grows_is_stalled_until_it_moves() -> None:
    world = Consuming()
    monitor = world.monitor()
    await monitor.look()
    world.offset = world.end = 105
    await monitor.look()
    world.clock.ms += 10_001
    await monitor.look()
    stalled = await row(monitor, world.clock)
    assert (stalled["status"], stalled["lag"], stalled["time_lag_ms"]) == ("STALLED", 5, 10_001)
    world.mark = 105
    await monitor.look()
    assert (await row(monitor, world.clock))["status"] == "OK"


async def test_a_consumer_is_not_called_behind_after_an_idle_hour() -> None:
    world = Consuming()
    monitor = world.monitor()
    await monitor.look()
    world.clock.ms += 3_600_000
    world.end = 101
    await monitor.look()
    answer = await row(monitor, world.clock)
    assert (answer["lag"], answer["status"], answer["time_lag_ms"]) == (1, "OK", 0)


async def test_a_backlog_found_at_start_is_as_old_as_the_last_applied_record() -> None:
    world = Consuming(mark=40, stamp_ms=STAMP_MS - 60_000)
    monitor = world.monitor()
    await monitor.look()
    answer = await row(monitor, world.clock)
    assert (answer["status"], answer["time_lag_ms"]) == ("LAGGING", 60_000)


async def test_a_group_without_a_projection_is_measured_by_its_own_offset() -> None:
    world = Consuming(offset=90)
    monitor = world.monitor(has_projection=False)
    await monitor.look()
    answer = await row(monitor, world.clock)
    assert (answer["watermark"], answer["lag"]) == (None, 10)


async def test_a_consumer_that_never_began_lags_by_the_whole_partition_and_is_stalled_in_time() -> None:
    world = Consuming(knows_nothing=True)
    monitor = world.monitor()
    await monitor.look()
    world.clock.ms += 10_001
    await monitor.look()
    answer = await row(monitor, world.clock)
    assert (answer["watermark"], answer["lag"], answer["status"]) == (None, 100, "STALLED")


async def test_lag_is_told_from_what_is_known_while_parts_are_away() -> None:
    world = Consuming(mark=98)
    monitor = world.monitor()
    await monitor.look()
    world.log_is_away = world.store_is_away = True
    world.clock.ms += 20_000
    await monitor.look()
    answer = await lag(monitor, world.clock)
    assert answer["partitions"][0]["lag"] == 2
    assert {source["ok"] for source in answer["sources"]} == {False}
    assert {source["age_ms"] for source in answer["sources"]} == {20_000}


async def test_nobody_is_stalled_for_what_could_not_be_seen() -> None:
    world = Consuming()
    monitor = world.monitor()
    await monitor.look()
    world.store_is_away = True
    world.end = 200
    world.clock.ms += 60_000
    await monitor.look()
    assert (await row(monitor, world.clock))["status"] == "OK"
    world.store_is_away = False
    world.mark = 200
    await monitor.look()
    assert (await row(monitor, world.clock))["status"] == "OK"


async def test_lag_without_anything_known_is_an_empty_answer() -> None:
    world = Consuming(log_is_away=True, store_is_away=True)
    monitor = world.monitor()
    await monitor.look()
    answer = await lag(monitor, world.clock)
    assert answer["partitions"] == []
    assert [source["ok"] for source in answer["sources"]] == [False] * 3


async def test_a_group_may_keep_where_it_stands_for_one_of_its_topics_only() -> None:
    world = Consuming(offset=90, mark=97)
    alone = Consumer(group=GROUP, topics=("another.v1",))
    kept = Consumer(group=GROUP, topics=(TOPIC,), watermarks=world.watermarks)

    async def offsets(group: str) -> Mapping[tuple[str, int], int]:
        return {("another.v1", 3): 95, (TOPIC, 3): 90}

    monitor = LagMonitor(world.clock, world.ends, offsets, [alone, kept])
    await monitor.look()
    rows = {one["topic"]: one for one in (await lag(monitor, world.clock))["partitions"]}
    assert (rows["another.v1"]["watermark"], rows["another.v1"]["lag"]) == (None, 5)
    assert (rows[TOPIC]["watermark"], rows[TOPIC]["lag"]) == (97, 3)


async def test_what_may_be_judged_is_what_was_seen_a_moment_ago() -> None:
    world = Consuming()
    monitor = world.monitor()
    assert not list(monitor.judgeable())
    await monitor.look()
    world.offset = world.end = 105
    await monitor.look()
    world.clock.ms += 70_000
    await monitor.look()
    (stalled,) = monitor.judgeable()
    assert (stalled.group, stalled.topic, dict(stalled.still_s)) == (GROUP, TOPIC, {3: 70.0})
    assert (stalled.records, stalled.behind_s) == (5, 70.0)
    world.store_is_away = True
    await monitor.look()
    assert not list(monitor.judgeable())


async def test_a_stall_is_told_once_and_only_by_who_knows_what_stands() -> None:
    world, told = Consuming(), Told()
    monitor, knows = world.monitor(), [True]
    writer = AlarmWriter(told)
    stalls = Stalls(monitor, writer, lambda: knows[0])
    await monitor.look()
    world.offset = world.end = 105
    await monitor.look()
    world.clock.ms += 70_000
    await monitor.look()
    knows[0] = False
    await stalls.look()
    assert not told.events
    knows[0] = True
    told.is_away = True
    await stalls.look()
    told.is_away = False
    await stalls.look()
    stalled = ProjectionStalled(group=GROUP, topic=TOPIC, episode=1, partitions=(3,), records=5)
    assert told.events == [stalled]
    writer.take(recorded(stalled))
    await stalls.look()
    assert told.events == [stalled]
    assert standing("ProjectionStalled") == 1
    world.mark = 105
    await monitor.look()
    await stalls.look()
    assert told.events[1:] == [ProjectionStallEnded(group=GROUP, topic=TOPIC, episode=1)]
    writer.take(recorded(told.events[1]))
    await stalls.look()
    assert (standing("ProjectionStalled"), standing("GatewayDegraded")) == (0, 0)


def standing(alarm: str) -> float | None:
    return REGISTRY.get_sample_value("payments_gateway_alarms_standing", {"alarm": alarm})


async def test_lag_in_seconds_and_readiness_are_exported() -> None:
    world = Consuming()
    monitor = world.monitor()
    await monitor.look()
    world.end = 105
    await monitor.look()
    world.clock.ms += 8_000
    await monitor.look()
    place = {"group": GROUP, "topic": TOPIC, "partition": "3"}
    assert REGISTRY.get_sample_value("payments_gateway_consumer_lag_seconds", place) == 8.0


async def test_which_dependency_is_not_well_is_exported(world: World) -> None:
    def exported(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(f"payments_gateway_{name}", labels)

    services = world.services()
    await services.readiness.look()
    assert (exported("ready"), exported("dependency_ok", dependency="log")) == (1, 1)
    world.redis.failure = OSError()
    await services.readiness.look()
    assert (exported("ready"), exported("dependency_ok", dependency="redis")) == (1, 0)
    world.log.failure = OSError()
    await services.readiness.look()
    assert (exported("ready"), exported("dependency_ok", dependency="log")) == (0, 0)
