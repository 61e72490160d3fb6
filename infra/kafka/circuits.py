"""What is told to the one writer of a circuit, and what it tells everybody, on their topics."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Message, Publisher
from schemas.base import Event
from schemas.circuit import (
    CallObserved,
    CircuitEvent,
    CircuitForcedClosed,
    CircuitForcedOpen,
    CircuitMessage,
    CircuitReleased,
    CircuitTicked,
    ForwardedMessage,
    ProbeReturned,
    ProbeStarted,
    circuit_name,
)
from schemas.codec import CIRCUIT_OUTCOMES_TOPIC, CIRCUITS_TOPIC, PAYMENTS_TOPIC, encode
from schemas.envelope import Envelope, Outgoing, Recorded, unowned


class KafkaCircuitMessages:
    """To the writer. Raises LogUnavailable, AppendAmbiguous: all of it may then be sent again."""

    def __init__(self, publisher: Publisher, clock: SystemClock) -> None:
        self._publisher = publisher
        self._clock = clock

    async def publish(self, messages: Sequence[CircuitMessage], correlation_id: str | None = None) -> None:
        """Returns when all are acknowledged. Those of one circuit keep their order."""
        by_partition: defaultdict[int, list[Message]] = defaultdict(list)
        for message in messages:
            name = circuit_name(message.gateway, message.payment_method)
            outgoing = Outgoing(envelope=self._envelope(message, name, correlation_id), event=message)
            by_partition[partition_for(name)].append((name.encode(), *encode(outgoing)))
        results = await asyncio.gather(
            *(self._publisher.publish(CIRCUIT_OUTCOMES_TOPIC, *sent) for sent in by_partition.items()),
            return_exceptions=True,  # so that none is still on its way when it is all sent again
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _envelope(self, message: CircuitMessage, name: str, correlation_id: str | None) -> Envelope:
        return unowned(
            self._event_id(message),
            name,
            message.at,
            correlation_id=correlation_id or _correlation(message),
            causation_id=_cause(message),
        )

    def _event_id(self, message: CircuitMessage) -> str:
        """What is forwarded again, or asked again, has the same one."""
        match message:
            case CallObserved() | ProbeStarted() | ProbeReturned():
                return _hashed(f"{PAYMENTS_TOPIC}-{message.source_partition}:{message.source_offset}")
            case CircuitTicked():
                return self._clock.event_id()
            case _:
                return _hashed(message.request_id)


class KafkaCircuitEvents:
    """The writer's word. Raises LogUnavailable, AppendAmbiguous."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def publish(self, told: Sequence[tuple[CircuitEvent, int, Recorded[Event]]]) -> None:
        """Each with its number among its circuit's events and the message that led to it. An event that is
        told again has the same id and the same number."""
        await self._publisher.publish(CIRCUITS_TOPIC, 0, [_message(*one) for one in told])


def _message(event: CircuitEvent, sequence: int, message: Recorded[Event]) -> Message:
    name = circuit_name(event.gateway, event.payment_method)
    cause = message.position
    caused_by = f"{cause.topic}-{cause.partition}:{cause.offset}"
    is_ordered = isinstance(event, CircuitForcedOpen | CircuitForcedClosed | CircuitReleased)
    envelope = unowned(
        _hashed(f"{name} {caused_by}"),
        name,
        event.at,
        sequence=sequence,
        correlation_id=message.envelope.correlation_id if is_ordered else caused_by,
        causation_id=caused_by,
    )
    return name.encode(), *encode(Outgoing(envelope=envelope, event=event))


def _correlation(message: CircuitMessage) -> str | None:
    return message.attempt_id if isinstance(message, ForwardedMessage) else None


def _cause(message: CircuitMessage) -> str | None:
    if not isinstance(message, ForwardedMessage):
        return None
    return f"{PAYMENTS_TOPIC}-{message.source_partition}:{message.source_offset}"


def _hashed(text: str) -> str:
    return f"evt_{sha256(text.encode()).hexdigest()[:32]}"
