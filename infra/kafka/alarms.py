"""What a person should know, on `reliability.events.v1`. Equal alarms have equal ids: a repeated one is recognised."""

from hashlib import sha256
from typing import get_args

import msgspec

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from infra.metrics import RELIABILITY_EVENTS
from schemas.codec import RELIABILITY_TOPIC, encode
from schemas.envelope import Outgoing, unowned
from schemas.reliability import ReliabilityEvent, StandingAlarm, StandingEnd, subject_of

_canonical = msgspec.json.Encoder(order="deterministic")


class KafkaAlarms:
    def __init__(self, publisher: Publisher, clock: SystemClock) -> None:
        self._publisher = publisher
        self._clock = clock
        for event in get_args(ReliabilityEvent):
            RELIABILITY_EVENTS.labels(event.__name__)  # or its first one would be no increase

    async def publish(self, alarm: ReliabilityEvent) -> None:
        subject = subject_of(alarm)
        envelope = unowned(
            f"rel_{sha256(_identity(alarm)).hexdigest()[:32]}",
            subject,
            self._clock.now(),
            correlation_id=subject,
            causation_id=subject,
        )
        value, headers = encode(Outgoing(envelope=envelope, event=alarm))
        await self._publisher.publish(RELIABILITY_TOPIC, 0, [(subject.encode(), value, headers)])
        RELIABILITY_EVENTS.labels(type(alarm).__name__).inc()


def _identity(alarm: ReliabilityEvent) -> bytes:
    """Two who notice the same thing have seen slightly different figures."""
    if isinstance(alarm, StandingAlarm | StandingEnd):
        return f"{type(alarm).__name__}:{subject_of(alarm)}:{alarm.episode}".encode()
    return _canonical.encode(alarm)
