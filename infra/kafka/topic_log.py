"""Puts an event on a topic of one partition whose fold is the judge of it: configuration, experiments."""

from collections.abc import Callable
from typing import Generic, TypeVar

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from schemas.base import Event
from schemas.codec import CONFIGURATION_TOPIC, EXPERIMENTS_TOPIC, encode
from schemas.configuration import RoutingSet, aggregate_of
from schemas.customer import CustomerForgotten, customer_aggregate
from schemas.envelope import Outgoing, unowned
from schemas.experiment import ExperimentEvent
from schemas.webhook import WebhookEvent, webhook_aggregate

E = TypeVar("E", bound=Event)


class KafkaTopicLog(Generic[E]):
    """`aggregate_of` gives the key."""

    def __init__(
        self, publisher: Publisher, clock: SystemClock, topic: str, aggregate_of: Callable[[E], str]
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._topic = topic
        self._aggregate_of = aggregate_of

    async def append(self, event: E, event_id: str, caused_by: str) -> None:
        """Returns when it is acknowledged, whether it counts or not. Raises LogUnavailable, AppendAmbiguous."""
        aggregate = self._aggregate_of(event)
        envelope = unowned(
            event_id, aggregate, self._clock.now(), correlation_id=caused_by, causation_id=caused_by
        )
        value, headers = encode(Outgoing(envelope=envelope, event=event))
        await self._publisher.publish(self._topic, 0, [(aggregate.encode(), value, headers)])


def configuration_log(publisher: Publisher, clock: SystemClock) -> KafkaTopicLog[RoutingSet]:
    return KafkaTopicLog(publisher, clock, CONFIGURATION_TOPIC, aggregate_of)


def experiment_log(publisher: Publisher, clock: SystemClock) -> KafkaTopicLog[ExperimentEvent]:
    return KafkaTopicLog(publisher, clock, EXPERIMENTS_TOPIC, lambda event: event.experiment_id)


def customer_log(publisher: Publisher, clock: SystemClock) -> KafkaTopicLog[CustomerForgotten]:
    return KafkaTopicLog(publisher, clock, CONFIGURATION_TOPIC, customer_aggregate)


def webhook_log(publisher: Publisher, clock: SystemClock) -> KafkaTopicLog[WebhookEvent]:
    return KafkaTopicLog(publisher, clock, CONFIGURATION_TOPIC, webhook_aggregate)
