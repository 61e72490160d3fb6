"""The event log: one aggregate's events, in order, to its partition, every acknowledgement awaited and checked."""

from collections.abc import Iterable, Sequence
from typing import get_args

import structlog
from aiokafka.structs import RecordMetadata

from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.metrics import PAYMENTS_ENDED
from schemas.codec import PAYMENTS_TOPIC, encode
from schemas.envelope import Outgoing, Position, Recorded, acknowledged
from schemas.errors import AppendAmbiguous
from schemas.outcome import Blame
from schemas.payment import PaymentEvent, PaymentFailed, PaymentSucceeded

log = structlog.get_logger(__name__)


class KafkaLog:
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        PAYMENTS_ENDED.labels("SUCCESS", "")  # each once, or its first one would be no increase
        for blame in get_args(Blame):
            PAYMENTS_ENDED.labels("FAILURE", blame)

    @property
    def is_available(self) -> bool:
        return self._publisher.is_available

    async def append(self, events: Sequence[Outgoing[PaymentEvent]]) -> list[Recorded[PaymentEvent]]:
        key = events[0].envelope.aggregate_id
        messages = [(key.encode(), *encode(outgoing)) for outgoing in events]
        metadata = await self._publisher.publish(PAYMENTS_TOPIC, partition_for(key), messages)
        recorded = [_recorded(outgoing, place) for outgoing, place in zip(events, metadata, strict=True)]
        try:
            counting = acknowledged(recorded)
        except AppendAmbiguous as error:
            log.warning(
                "an append does not count", reason=str(error)
            )  # many of these: the brokers' clock is off
            raise
        _count_ends(counting)
        return counting


def _count_ends(events: Iterable[Recorded[PaymentEvent]]) -> None:
    for recorded in events:
        match recorded.event:
            case PaymentSucceeded():
                PAYMENTS_ENDED.labels("SUCCESS", "").inc()
            case PaymentFailed(failure=failure):
                PAYMENTS_ENDED.labels("FAILURE", failure.blame).inc()
            case _:
                pass


def _recorded(outgoing: Outgoing[PaymentEvent], metadata: RecordMetadata) -> Recorded[PaymentEvent]:
    return Recorded(
        envelope=outgoing.envelope,
        event=outgoing.event,
        position=Position(topic=metadata.topic, partition=metadata.partition, offset=metadata.offset),
        stamp_ms=metadata.timestamp,
    )
