"""What every log promises its writers: where their records lie, in which order, and by whose clock."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast, get_args

import pytest

from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.settings import Settings
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import AppendAmbiguous, LogUnavailable
from schemas.ids import PaymentId
from schemas.payment import PaymentEvent
from tests.builders import attempt_succeeded, payment_succeeded, requested, routed, started
from tests.contract.logs import OVER, Broker, MemoryBroker, Record, kafka_broker, new_payment, outgoing
from tests.schemas.instances import INSTANCES
from tests.waiting import HANGS_AFTER_S

STORY: tuple[PaymentEvent, ...] = (
    requested(),
    routed(),
    started(),
    attempt_succeeded(),
    payment_succeeded(),
)
EVERY_EVENT = [cast(PaymentEvent, event) for event in INSTANCES if type(event) in get_args(PaymentEvent)]


@pytest.fixture(scope="module")
def topics(stack: Stack) -> Stack:
    asyncio.run(make_topics(Settings.from_environment(stack.env)))
    return stack


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def servers(request: pytest.FixtureRequest) -> Stack | None:
    """The real ones; None for the twin in memory."""
    return None if request.param == "memory" else request.getfixturevalue("topics")


@pytest.fixture
async def broker(servers: Stack | None) -> AsyncIterator[Broker]:
    if servers is None:
        yield MemoryBroker()
        return
    async with kafka_broker(servers) as broker:
        yield broker


async def test_what_is_appended_is_what_is_read_back(broker: Broker) -> None:
    payment = new_payment()
    partition = partition_for(payment)
    sent = outgoing(payment, *EVERY_EVENT)
    begin = await broker.end_offset(partition)
    acknowledged = list(await broker.log.append(sent))

    assert [(record.envelope, record.event) for record in acknowledged] == [
        (record.envelope, record.event) for record in sent
    ]
    assert await broker.records(partition, begin, begin + len(sent)) == acknowledged


async def test_positions_of_a_partition_ascend_without_a_gap(broker: Broker) -> None:
    first, second = new_payment(partition=7), new_payment(partition=7)
    begin = await broker.end_offset(7)
    appended = [
        *await broker.log.append(outgoing(first, *STORY)),
        *await broker.log.append(outgoing(second, requested())),
        *await broker.log.append(outgoing(first, *STORY, after=len(STORY))),
    ]

    assert [record.position.offset for record in appended] == list(range(begin, begin + len(appended)))
    assert await broker.end_offset(7) == begin + len(appended)


async def test_all_records_of_a_payment_lie_in_the_partition_of_its_key(broker: Broker) -> None:
    payments = [new_payment(partition=number) for number in range(PAYMENT_PARTITIONS)]
    appended = await asyncio.gather(*(broker.log.append(outgoing(payment, *STORY)) for payment in payments))

    for payment, records in zip(payments, appended, strict=True):
        places = {(record.position.topic, record.position.partition) for record in records}
        assert places == {(PAYMENTS_TOPIC, partition_for(payment))}


async def test_the_stamp_is_the_brokers_and_not_the_writers(broker: Broker) -> None:
    before_ms = broker.now_ms()
    appended = await broker.log.append(outgoing(new_payment(), *STORY))

    assert all(before_ms <= record.stamp_ms <= broker.now_ms() for record in appended)
    assert [record.stamp_ms for record in appended] == sorted(record.stamp_ms for record in appended)


async def test_many_payments_at_once_keep_each_ones_order(broker: Broker) -> None:
    begin = await broker.end_offset(3)
    payments = [new_payment(partition=3) for _ in range(20)]
    appended = await asyncio.gather(*(three_appends(broker, payment) for payment in payments))

    length = 3 * len(STORY)
    end = begin + len(payments) * length
    stored = await broker.records(3, begin, end)
    for payment, acknowledged in zip(payments, appended, strict=True):
        ours = [record for record in stored if record.envelope.aggregate_id == payment]
        assert ours == acknowledged
        assert [record.envelope.sequence for record in ours] == list(range(1, length + 1))
    assert await broker.end_offset(3) == end


async def three_appends(broker: Broker, payment: PaymentId) -> list[Record]:
    return [
        record
        for number in range(3)
        for record in await broker.log.append(outgoing(payment, *STORY, after=number * len(STORY)))
    ]


async def test_what_is_written_outside_its_window_is_ambiguous_to_its_writer_and_void_to_all(
    broker: Broker,
) -> None:
    payment = new_payment()
    partition = partition_for(payment)
    begin = await broker.end_offset(partition)
    with pytest.raises(AppendAmbiguous):
        await broker.log.append(outgoing(payment, requested(), window=OVER))

    (record,) = await broker.records(partition, begin, begin + 1)
    assert record.is_void


async def test_where_no_log_answers_certainly_nothing_is_appended(broker: Broker) -> None:
    assert broker.log.is_available
    assert not broker.unreachable.is_available
    with pytest.raises(LogUnavailable):
        await broker.unreachable.append(outgoing(new_payment(), requested()))


async def test_an_acknowledgement_that_does_not_come_is_ambiguous_and_the_next_append_is_not(
    broker: Broker,
) -> None:
    await broker.log.append(outgoing(new_payment(), *STORY))
    with broker.silent(), pytest.raises(AppendAmbiguous):
        await broker.log.append(outgoing(new_payment(), *STORY))

    async with asyncio.timeout(HANGS_AFTER_S):
        while not broker.log.is_available:  # noqa: ASYNC110  # a property of the port, not an event
            await asyncio.sleep(0.02)
    await broker.log.append(outgoing(new_payment(), *STORY))
