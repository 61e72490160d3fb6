"""What a person should know, as it lies on a real log."""

import pytest

from infra.clock import SystemClock
from infra.kafka.alarms import KafkaAlarms
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader, Record
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.settings import Settings
from schemas.codec import RELIABILITY_TOPIC, decode
from schemas.envelope import Position
from schemas.errors import LogUnavailable
from schemas.ids import GatewayId, attempt_id
from schemas.reliability import (
    DuplicateChargeCompensated,
    DuplicateChargeDetected,
    ReliabilityEvent,
    VerificationOverdue,
    VerificationOverdueEnded,
)

_clock = SystemClock()
PAYMENT = _clock.payment_id()
FIRST, SECOND = attempt_id(PAYMENT, 1, 1), attempt_id(PAYMENT, 1, 2)
ALPHA = GatewayId("alpha")
ALARMS: list[ReliabilityEvent] = [
    DuplicateChargeDetected(
        payment_id=PAYMENT, attempt_id=FIRST, gateway=ALPHA, gateway_reference="txn_1", kept=False
    ),
    DuplicateChargeCompensated(payment_id=PAYMENT, attempt_id=FIRST, gateway=ALPHA, by="refund"),
    VerificationOverdue(payment_id=PAYMENT, unsettled=(FIRST,)),
    VerificationOverdue(payment_id=PAYMENT, unsettled=(SECOND,)),
    VerificationOverdueEnded(payment_id=PAYMENT, attempt_id=FIRST),
    VerificationOverdueEnded(payment_id=PAYMENT, attempt_id=SECOND),
]


@pytest.mark.integration
async def test_what_is_told_twice_has_one_id_and_nothing_else_has_it(stack: Stack) -> None:
    """Whoever is woken by it can tell a repetition from another charge; all of a payment's lie in their order."""
    settings = Settings.from_environment(stack.env)
    await make_topics(settings)
    servers = settings.kafka_bootstrap_servers
    publisher, reader = Publisher(servers), LogReader(servers)
    await publisher.start()
    begin = await reader.end_offset(RELIABILITY_TOPIC, 0)
    for alarm in [*ALARMS, *ALARMS]:
        await KafkaAlarms(publisher, SystemClock()).publish(alarm)
    records = await reader.read(RELIABILITY_TOPIC, 0, begin, begin + 2 * len(ALARMS))
    await reader.stop()
    await publisher.stop()

    told = [decode(record.value, record.headers, position_of(record), record.timestamp) for record in records]
    ids = [one.envelope.event_id for one in told]
    assert [one.event for one in told] == [*ALARMS, *ALARMS]
    assert ids[: len(ALARMS)] == ids[len(ALARMS) :]
    assert len(set(ids)) == len(ALARMS)
    assert {one.envelope.aggregate_id for one in told} == {PAYMENT}
    assert {record.key for record in records} == {PAYMENT.encode()}
    assert not any(one.is_void for one in told)


async def test_what_could_not_be_told_is_not_taken_for_told() -> None:
    alarms = KafkaAlarms(Publisher("127.0.0.1:1", 100), SystemClock())
    with pytest.raises(LogUnavailable):
        await alarms.publish(ALARMS[0])


def position_of(record: Record) -> Position:
    return Position(topic=record.topic, partition=record.partition, offset=record.offset)
