"""The events of webhook subscriptions in memory, on a topic of their own."""

from infra.memory.topic import MemoryTopic
from schemas.codec import CONFIGURATION_TOPIC
from schemas.webhook import WebhookEvent, webhook_aggregate


class MemoryWebhooksTopic(MemoryTopic[WebhookEvent]):
    def __init__(self) -> None:
        super().__init__(CONFIGURATION_TOPIC, webhook_aggregate)
