"""Messages to the verifier as they lie on a real log."""

import pytest
from msgspec.structs import replace

from infra.clock import SystemClock
from infra.kafka.messages import KafkaMessages, event_id_of
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.settings import Settings
from schemas.codec import NOTIFICATIONS_TOPIC, decode
from schemas.envelope import Position
from schemas.ids import GatewayId, attempt_id
from schemas.notification import GatewayNotified, NotificationMessage, ReviewDecided
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

_clock = SystemClock()
PAYMENT = _clock.payment_id()
ATTEMPT = attempt_id(PAYMENT, 1, 1)
NOTIFIED = GatewayNotified(
    gateway=GatewayId("razorpay"), event_id="evt_1", kind="paid", attempt_id=ATTEMPT, told="look"
)
DECIDED = ReviewDecided(
    decision_id="dec_1", attempt_id=ATTEMPT, verdict="declined", settled_by="asha", note="seen"
)


def test_what_is_sent_twice_has_one_id_and_nothing_else_has_it() -> None:
    assert event_id_of(NOTIFIED) == event_id_of(replace(NOTIFIED, kind="told otherwise"))
    others: list[NotificationMessage] = [
        NOTIFIED,
        replace(NOTIFIED, event_id="evt_2"),
        replace(NOTIFIED, gateway=GatewayId("stripe")),
        DECIDED,
        replace(DECIDED, decision_id="dec_2"),
    ]
    assert len({event_id_of(message) for message in others}) == len(others)
    assert all(len(event_id_of(message)) == 36 for message in others)


@pytest.mark.integration
async def test_a_message_lies_under_its_payment_and_counts_whenever_it_was_written(stack: Stack) -> None:
    settings = Settings.from_environment(stack.env)
    await make_topics(settings)
    publisher, reader = (
        Publisher(settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS),
        LogReader(settings.kafka_bootstrap_servers),
    )
    await publisher.start()
    messages, partition = KafkaMessages(publisher, _clock), partition_for(PAYMENT)
    before = await reader.end_offset(NOTIFICATIONS_TOPIC, partition)
    await messages.publish(NOTIFIED, PAYMENT, "req_1")
    await messages.publish(DECIDED, PAYMENT, "req_2")
    sent: list[NotificationMessage] = [NOTIFIED, DECIDED]
    records = await reader.read(NOTIFICATIONS_TOPIC, partition, before, before + 2)
    for record, message in zip(records, sent, strict=True):
        position = Position(topic=NOTIFICATIONS_TOPIC, partition=partition, offset=record.offset)
        recorded = decode(record.value, record.headers, position, record.timestamp)
        assert (recorded.event, recorded.is_void) == (message, False)
        assert recorded.envelope.event_id == event_id_of(message)
        assert record.key == recorded.envelope.aggregate_id.encode() == PAYMENT.encode()
    await publisher.stop()
    await reader.stop()
