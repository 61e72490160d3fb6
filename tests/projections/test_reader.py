"""A read answers what its token asks for: from the projection when that is there in time, else from the log."""

import asyncio
from datetime import timedelta

import pytest

from infra.histories import LogHistories
from infra.kafka.partition import partition_for
from infra.memory.projections import MemoryDeadLetters, MemoryPayments, MemoryRecords, RawRecord
from projections.project import Projection
from projections.reader import FRESH, PaymentReader
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Position
from schemas.errors import ReadTooFarBehind
from schemas.ids import PaymentId
from tests.projections.story import BEGIN, PAYMENT, paid, raw, recorded, requested, started, succeeded

PARTITION = partition_for(PAYMENT)
EVENTS: list[Event] = [requested(), started(), succeeded(), paid()]


class World:
    def __init__(self) -> None:
        self.now = BEGIN + timedelta(seconds=1)
        self.log = MemoryRecords()
        self.views = MemoryPayments(partition_for)
        self.projection = Projection(PAYMENTS_TOPIC, self.views, self.log, MemoryDeadLetters(), partition_for)
        self.reader = PaymentReader(PAYMENTS_TOPIC, self.views, self.log, partition_for, lambda: self.now)
        self.histories = LogHistories(self.views, self.log, partition_for)

    def tell(self, *events: Event) -> list[RawRecord]:
        return [self.append(raw(recorded(event, offset))) for offset, event in enumerate(events)]

    def append(self, record: RawRecord) -> RawRecord:
        return self.log.append(
            record.topic, record.partition, record.timestamp, record.key, record.value, record.headers
        )


@pytest.fixture
def world() -> World:
    return World()


def token(offset: int) -> Position:
    return Position(topic=PAYMENTS_TOPIC, partition=PARTITION, offset=offset)


async def test_a_token_that_the_projection_has_passed_is_answered_from_it(world: World) -> None:
    await world.projection.absorb(world.tell(*EVENTS))
    reading = await world.reader.read(PAYMENT, token(3), wait_s=0)

    assert (reading.source, reading.next_offset) == ("projection", 4)
    assert reading.history is not None
    assert reading.history.payment.status == "SUCCESS"


async def test_a_read_waits_for_a_projection_that_is_about_to_pass_its_token(world: World) -> None:
    records = world.tell(*EVENTS)
    reads = [asyncio.create_task(world.reader.read(PAYMENT, token(3), wait_s=5)) for _ in range(50)]
    await asyncio.sleep(0.03)
    await world.projection.absorb(records)

    assert {(await read).source for read in reads} == {"projection"}


async def test_past_the_wait_the_missing_records_are_folded_on_top(world: World) -> None:
    await world.projection.absorb(world.tell(*EVENTS)[:2])
    reading = await world.reader.read(PAYMENT, token(3), wait_s=0.02)

    assert (reading.source, reading.next_offset) == ("log", 4)
    assert reading.history is not None
    assert (reading.history.payment.status, reading.history.payment.offsets) == ("SUCCESS", (0, 1, 2, 3))


async def test_an_id_minted_moments_ago_is_looked_for_on_the_log_before_it_is_unknown(world: World) -> None:
    world.tell(*EVENTS)
    reading = await world.reader.read(PAYMENT, None, wait_s=0)
    assert (reading.source, reading.history is not None) == ("log", True)

    world.now = BEGIN + FRESH
    assert (await world.reader.read(PAYMENT, None, wait_s=0)).history is None


async def test_a_payment_of_void_records_is_unknown(world: World) -> None:
    late = raw(recorded(requested(), stamp_ms=2**50))
    await world.projection.absorb([world.append(late)])

    assert (await world.reader.read(PAYMENT, token(0), wait_s=0)).history is None


async def test_a_token_of_another_partition_says_nothing(world: World) -> None:
    await world.projection.absorb(world.tell(*EVENTS))
    other = Position(topic=PAYMENTS_TOPIC, partition=(PARTITION + 1) % 12, offset=2**40)

    assert (await world.reader.read(PAYMENT, other, wait_s=0)).source == "projection"


async def test_a_token_of_the_future_is_answered_with_all_there_is(world: World) -> None:
    world.tell(*EVENTS)
    reading = await world.reader.read(PAYMENT, token(2**40), wait_s=0)

    assert (reading.source, reading.next_offset) == ("log", 4)


async def test_a_projection_too_far_behind_is_said_so(world: World) -> None:
    other = raw(recorded(requested()))._replace(key=b"another")
    for _ in range(5001):
        world.append(other)
    with pytest.raises(ReadTooFarBehind):
        await world.reader.read(PAYMENT, token(5000), wait_s=0)


@pytest.mark.parametrize("projected", [0, 2, 4])
async def test_a_history_is_whole_wherever_the_projection_is(world: World, projected: int) -> None:
    records = world.tell(*EVENTS[:2])
    records += [world.append(raw(recorded(requested()))._replace(key=b"another")) for _ in range(100)]
    records += [world.append(raw(recorded(event, 2))) for event in EVENTS[2:]]
    await world.projection.absorb(records[: 25 * projected + projected // 2])

    at_head = await world.histories.at_head(PaymentId(PAYMENT))
    assert [told.event for told in at_head] == EVENTS
    through = await world.histories.through(PAYMENT, token(102))
    assert [told.position.offset for told in through] == [0, 1, 102]
