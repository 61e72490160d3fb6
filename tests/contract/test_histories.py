"""What every reader of histories promises: a payment's records from the log, however far the projection has come."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from commands.ports import Histories
from infra.histories import NEIGHBOURS_WITHIN, LogHistories
from infra.kafka.partition import partition_for
from infra.kafka.reader import LogReader
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.memory.log import MemoryHistories
from infra.memory.projections import MemoryDeadLetters
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.postgres.payments import PaymentViews, PostgresPaymentSink
from infra.settings import Settings
from projections.project import Projection
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Window
from schemas.errors import AppendAmbiguous, LogUnavailable
from schemas.ids import PaymentId
from schemas.payment import PaymentEvent
from schemas.views import PaymentChanges, Watermark
from tests.builders import attempt_succeeded, payment_succeeded, requested, routed, started
from tests.contract.logs import (
    LONG,
    NOBODY_LISTENS,
    OVER,
    Broker,
    KafkaBroker,
    MemoryBroker,
    Record,
    kafka_broker,
    new_payment,
    outgoing,
)

STORY: tuple[PaymentEvent, ...] = (
    requested(),
    routed(),
    started(),
    attempt_succeeded(),
    payment_succeeded(),
)
PARTITION = 5


class World:
    """A log, its histories, and others of a log that does not answer. `project` brings the index up to the log."""

    def __init__(
        self,
        broker: Broker,
        histories: Histories,
        unreachable: Histories,
        project: Callable[[], Awaitable[None]],
    ) -> None:
        self.broker, self.histories, self.unreachable, self.project = (
            broker,
            histories,
            unreachable,
            project,
        )

    async def tell(
        self, payment: PaymentId, *events: PaymentEvent, after: int = 0, window: Window = LONG
    ) -> list[Record]:
        """What then lies on the log, void or not."""
        begin = await self.broker.end_offset(PARTITION)
        with suppress(AppendAmbiguous):
            await self.broker.log.append(outgoing(payment, *events, after=after, window=window))
        return await self.broker.records(PARTITION, begin, begin + len(events))


def memory_world() -> World:
    broker = MemoryBroker()

    async def nothing_to_project() -> None:
        return None

    return World(
        broker,
        MemoryHistories(broker.log, broker.clock),
        MemoryHistories(broker.unreachable, broker.clock),
        nothing_to_project,
    )


async def real_world(broker: KafkaBroker, database: Database) -> World:
    sink, views = PostgresPaymentSink(database), PaymentViews(database, partition_for)
    projection = Projection(PAYMENTS_TOPIC, sink, broker.reader, MemoryDeadLetters(), partition_for)

    async def project() -> None:
        watermark = (await views.watermarks())[PAYMENTS_TOPIC, PARTITION].next_offset
        end = await broker.end_offset(PARTITION)
        await projection.absorb(await broker.reader.read(PAYMENTS_TOPIC, PARTITION, watermark, end))

    await begin_at(sink, await broker.end_offset(PARTITION))
    return World(
        broker,
        LogHistories(views, broker.reader, partition_for),
        LogHistories(views, LogReader(NOBODY_LISTENS), partition_for),
        project,
    )


async def begin_at(sink: PostgresPaymentSink, next_offset: int) -> None:
    """Whatever other tests have left on the log is none of our index's business."""
    async with sink.transaction(PAYMENTS_TOPIC, [PARTITION]) as transaction:
        await transaction.store(
            PaymentChanges(watermarks={PARTITION: Watermark(next_offset=next_offset, last_stamp_ms=0)})
        )


@pytest.fixture(scope="module")
def prepared(stack: Stack) -> Stack:
    """The topics are there, and an index in a database of its own."""

    async def prepare() -> None:
        await make_topics(Settings.from_environment(stack.env))
        await migrate(database_url(stack))

    asyncio.run(prepare())
    return stack


def database_url(stack: Stack) -> str:
    url = urlsplit(stack.env["DATABASE_URL"])
    return str(url._replace(path=f"/histories_{os.getpid()}").geturl())


@pytest.fixture(params=["memory", pytest.param("kafka and postgres", marks=pytest.mark.integration)])
def servers(request: pytest.FixtureRequest) -> Stack | None:
    """The real ones; None for the twin in memory."""
    return None if request.param == "memory" else request.getfixturevalue("prepared")


@pytest.fixture
async def world(servers: Stack | None) -> AsyncIterator[World]:
    if servers is None:
        yield memory_world()
        return
    database = await Database.connect(database_url(servers), min_size=1, max_size=2)
    async with kafka_broker(servers) as broker:
        yield await real_world(broker, database)
    await database.close()


@pytest.mark.parametrize("projected", range(len(STORY) + 1))
async def test_at_head_is_all_that_was_appended_however_far_the_projection_has_come(
    world: World, projected: int
) -> None:
    payment = new_payment(partition=PARTITION)
    before = await world.tell(payment, *STORY[:projected]) if projected else []
    await world.project()
    behind = await world.tell(payment, *STORY[projected:], after=projected) if projected < len(STORY) else []

    assert await world.histories.at_head(payment) == [*before, *behind]


async def test_the_records_of_others_are_left_out_however_many_lie_between(world: World) -> None:
    payment, other = new_payment(partition=PARTITION), new_payment(partition=PARTITION)
    told: list[Record] = []
    for number, event in enumerate(STORY):
        told += await world.tell(payment, event, after=number)
        await world.tell(other, *STORY * (NEIGHBOURS_WITHIN // len(STORY) + number - 2))
    await world.project()
    told += await world.tell(payment, *STORY, after=len(STORY))

    assert await world.histories.at_head(payment) == told


@pytest.mark.parametrize("is_projected", [False, True])
async def test_through_stops_at_the_position(world: World, is_projected: bool) -> None:
    payment = new_payment(partition=PARTITION)
    told = await world.tell(payment, *STORY)
    await world.tell(new_payment(partition=PARTITION), *STORY)
    told += await world.tell(payment, *STORY, after=len(STORY))
    if is_projected:
        await world.project()

    for number, record in enumerate(told, start=1):
        assert await world.histories.through(payment, record.position) == told[:number]


@pytest.mark.parametrize("is_projected", [False, True])
async def test_void_records_are_told_as_well(world: World, is_projected: bool) -> None:
    payment = new_payment(partition=PARTITION)
    told = [
        *await world.tell(payment, requested(), routed()),
        *await world.tell(payment, started(), after=2, window=OVER),
        *await world.tell(payment, started(), after=2),
    ]
    if is_projected:
        await world.project()

    assert await world.histories.at_head(payment) == told
    assert await world.histories.through(payment, told[2].position) == told[:3]
    assert [record.is_void for record in told] == [False, False, True, False]


async def test_a_payment_that_nobody_has_written_of_has_no_history(world: World) -> None:
    other = await world.tell(new_payment(partition=PARTITION), *STORY)
    payment = new_payment(partition=PARTITION)

    assert list(await world.histories.at_head(payment)) == []
    assert list(await world.histories.through(payment, other[-1].position)) == []


async def test_a_log_that_does_not_answer_is_said_to_be_unavailable(world: World) -> None:
    payment = new_payment(partition=PARTITION)
    (record,) = await world.tell(payment, requested())

    with pytest.raises(LogUnavailable):
        await world.unreachable.at_head(payment)
    with pytest.raises(LogUnavailable):
        await world.unreachable.through(payment, record.position)
