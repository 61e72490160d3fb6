"""`configuration.events.v1` in memory."""

from infra.memory.topic import MemoryTopic
from schemas.codec import CONFIGURATION_TOPIC
from schemas.configuration import RoutingSet, aggregate_of


class MemoryConfigurationTopic(MemoryTopic[RoutingSet]):
    def __init__(self) -> None:
        super().__init__(CONFIGURATION_TOPIC, aggregate_of)
