"""The event log: one aggregate's events, in order, to its partition, every acknowledgement awaited and checked."""

from collections.abc import Sequence

import structlog
from aiokafka.structs import RecordMetadata

from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from schemas.codec import PAYMENTS_TOPIC, encode
from schemas.envelope import Outgoing, Position, Recorded, acknowledged
from schemas.errors import AppendAmbiguous
from schemas.payment import PaymentEvent

log = structlog.get_logger(__name__)


class KafkaLog:
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    @property
    def is_available(self) -> bool:
        return self._publisher.is_available

    async def append(self, events: Sequence[Outgoing[PaymentEvent]]) -> list[Recorded[PaymentEvent]]:
        key = events[0].envelope.aggregate_id
        messages = [(key.encode(), *encode(outgoing)) for outgoing in events]
        metadata = await self._publisher.publish(PAYMENTS_TOPIC, partition_for(key), messages)
        recorded = [_recorded(outgoing, place) for outgoing, place in zip(events, metadata, strict=True)]
        try:
            return acknowledged(recorded)
        except AppendAmbiguous as error:
            log.warning(
                "an append does not count", reason=str(error)
            )  # many of these: the brokers' clock is off
            raise


def _recorded(outgoing: Outgoing[PaymentEvent], metadata: RecordMetadata) -> Recorded[PaymentEvent]:
    return Recorded(
        envelope=outgoing.envelope,
        event=outgoing.event,
        position=Position(topic=metadata.topic, partition=metadata.partition, offset=metadata.offset),
        stamp_ms=metadata.timestamp,
    )
