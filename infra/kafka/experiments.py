"""Puts what happens to experiments on `experiments.events.v1`, keyed by experiment, in the one partition."""

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from schemas.codec import EXPERIMENTS_TOPIC, encode
from schemas.envelope import Outgoing, unowned
from schemas.experiment import ExperimentEvent


class KafkaExperimentLog:
    def __init__(self, publisher: Publisher, clock: SystemClock) -> None:
        self._publisher = publisher
        self._clock = clock

    async def append(self, event: ExperimentEvent, event_id: str, caused_by: str) -> None:
        """Returns when it is acknowledged, whether it counts or not. Raises LogUnavailable, AppendAmbiguous."""
        aggregate = event.experiment_id
        envelope = unowned(
            event_id, aggregate, self._clock.now(), correlation_id=caused_by, causation_id=caused_by
        )
        value, headers = encode(Outgoing(envelope=envelope, event=event))
        await self._publisher.publish(EXPERIMENTS_TOPIC, 0, [(aggregate.encode(), value, headers)])
