"""What a person should know, on `reliability.events.v1`. Equal alarms have equal ids: a repeated one is recognised."""

from hashlib import sha256

import msgspec

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from schemas.codec import RELIABILITY_TOPIC, encode
from schemas.envelope import Outgoing, unowned
from schemas.reliability import ReliabilityEvent

_canonical = msgspec.json.Encoder(order="deterministic")


class KafkaAlarms:
    def __init__(self, publisher: Publisher, clock: SystemClock) -> None:
        self._publisher = publisher
        self._clock = clock

    async def publish(self, alarm: ReliabilityEvent) -> None:
        event_id = f"rel_{sha256(_canonical.encode(alarm)).hexdigest()[:32]}"
        envelope = unowned(
            event_id,
            alarm.payment_id,
            self._clock.now(),
            correlation_id=alarm.payment_id,
            causation_id=alarm.payment_id,
        )
        value, headers = encode(Outgoing(envelope=envelope, event=alarm))
        await self._publisher.publish(RELIABILITY_TOPIC, 0, [(alarm.payment_id.encode(), value, headers)])
