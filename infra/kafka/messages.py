"""Messages to the verifier on `gateway.notifications.v1`, keyed by the payment they are about."""

from hashlib import sha256

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from schemas.codec import NOTIFICATIONS_TOPIC, encode
from schemas.envelope import Outgoing, unowned
from schemas.ids import PaymentId
from schemas.notification import GatewayNotified, NotificationMessage


class KafkaMessages:
    def __init__(self, publisher: Publisher, clock: SystemClock) -> None:
        self._publisher = publisher
        self._clock = clock

    async def publish(self, message: NotificationMessage, payment_id: PaymentId, request_id: str) -> None:
        """Returns when it is acknowledged. Raises LogUnavailable, AppendAmbiguous: it may then be sent again."""
        envelope = unowned(
            event_id_of(message),
            payment_id,
            self._clock.now(),
            correlation_id=request_id,
            causation_id=request_id,
        )
        value, headers = encode(Outgoing(envelope=envelope, event=message))
        await self._publisher.publish(
            NOTIFICATIONS_TOPIC, partition_for(payment_id), [(payment_id.encode(), value, headers)]
        )


def event_id_of(message: NotificationMessage) -> str:
    """Follows from the sender's own id, so that what was sent twice is known by it."""
    sender, its_id = (
        (message.gateway, message.event_id)
        if isinstance(message, GatewayNotified)
        else ("review", message.decision_id)
    )
    return f"evt_{sha256(f'{sender}:{its_id}'.encode()).hexdigest()[:32]}"
