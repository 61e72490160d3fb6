"""Puts what is set for the whole service on `configuration.events.v1`, keyed by its aggregate, in the one partition."""

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from schemas.codec import CONFIGURATION_TOPIC, encode
from schemas.configuration import RoutingSet, aggregate_of
from schemas.envelope import Outgoing, unowned


class KafkaConfigurationLog:
    def __init__(self, publisher: Publisher, clock: SystemClock) -> None:
        self._publisher = publisher
        self._clock = clock

    async def append(self, event: RoutingSet, event_id: str, request_id: str) -> None:
        """Returns when it is acknowledged, whether it counts or not. Raises LogUnavailable, AppendAmbiguous."""
        aggregate = aggregate_of(event)
        envelope = unowned(
            event_id, aggregate, self._clock.now(), correlation_id=request_id, causation_id=request_id
        )
        value, headers = encode(Outgoing(envelope=envelope, event=event))
        await self._publisher.publish(CONFIGURATION_TOPIC, 0, [(aggregate.encode(), value, headers)])
