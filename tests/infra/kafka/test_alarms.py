"""What a person should know, as it lies on a real log."""

import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY

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
    ProjectionStalled,
    ReliabilityEvent,
    SuccessRateDropEnded,
    SuccessRateDropped,
    VerificationOverdue,
    VerificationOverdueEnded,
)
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

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
    publisher, reader = Publisher(servers, ACKNOWLEDGED_WITHIN_MS), LogReader(servers)
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


DROPPED = SuccessRateDropped(
    gateway=ALPHA, payment_method="UPI", episode=1, rate=0.5, outcomes=60, usual_rate=0.9
)
ONE_EACH: list[tuple[ReliabilityEvent, str]] = [
    (DROPPED, "alpha:UPI"),
    (replace(DROPPED, episode=2), "alpha:UPI"),
    (
        SuccessRateDropEnded(
            gateway=ALPHA, payment_method="UPI", episode=2, because="silent", rate=None, outcomes=0
        ),
        "alpha:UPI",
    ),
    (ProjectionStalled(group="g", topic="t", episode=1, partitions=(3,), records=5), "g:t"),
]


@pytest.mark.integration
async def test_who_has_seen_other_figures_of_the_same_drop_tells_it_under_the_same_id(stack: Stack) -> None:
    settings = Settings.from_environment(stack.env)
    await make_topics(settings)
    publisher, reader = (
        Publisher(settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS),
        LogReader(settings.kafka_bootstrap_servers),
    )
    await publisher.start()
    begin = await reader.end_offset(RELIABILITY_TOPIC, 0)
    alarms = KafkaAlarms(publisher, SystemClock())
    counted = _told(SuccessRateDropped)
    for alarm, _ in ONE_EACH:
        await alarms.publish(alarm)
    await alarms.publish(replace(DROPPED, rate=0.45, outcomes=71))
    records = await reader.read(RELIABILITY_TOPIC, 0, begin, begin + len(ONE_EACH) + 1)
    await reader.stop()
    await publisher.stop()

    told = [decode(record.value, record.headers, position_of(record), record.timestamp) for record in records]
    ids = [one.envelope.event_id for one in told]
    assert len(set(ids[:-1])) == len(ONE_EACH)
    assert ids[-1] == ids[0]
    assert [one.envelope.aggregate_id for one in told[:-1]] == [subject for _, subject in ONE_EACH]
    assert [record.key for record in records[:-1]] == [subject.encode() for _, subject in ONE_EACH]
    assert _told(SuccessRateDropped) == counted + 3


def _told(event: type[ReliabilityEvent]) -> float:
    found = REGISTRY.get_sample_value("payments_gateway_reliability_events_total", {"event": event.__name__})
    assert found is not None, "an alert on its increase would miss the first one"
    return found


async def test_what_could_not_be_told_is_not_taken_for_told() -> None:
    alarms = KafkaAlarms(Publisher("127.0.0.1:1", 100), SystemClock())
    with pytest.raises(LogUnavailable):
        await alarms.publish(ALARMS[0])


def position_of(record: Record) -> Position:
    return Position(topic=record.topic, partition=record.partition, offset=record.offset)
