"""Puts what the shadow would have done on its topic, in the partition of the payment's number."""

import asyncio
from collections.abc import Sequence

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from schemas.codec import SHADOW_TOPIC, encode
from schemas.envelope import Outgoing, unowned
from schemas.ids import PaymentId
from schemas.shadow import PaymentShadowed


class KafkaShadowLog:
    """With a publisher of its own: payments must not wait for this one, nor lose their producer to it."""

    def __init__(self, publisher: Publisher, clock: SystemClock) -> None:
        self._publisher = publisher
        self._clock = clock

    async def append(self, events: Sequence[tuple[PaymentId, PaymentShadowed]]) -> None:
        """Returns when all are acknowledged. Raises Unavailable: some may be missing."""
        await asyncio.gather(*(self._append(payment_id, event) for payment_id, event in events))

    async def _append(self, payment_id: PaymentId, event: PaymentShadowed) -> None:
        envelope = unowned(self._clock.event_id(), payment_id, event.decided_at, causation_id=payment_id)
        value, headers = encode(Outgoing(envelope=envelope, event=event))
        message = (payment_id.encode(), value, headers)
        await self._publisher.publish(SHADOW_TOPIC, partition_for(payment_id), [message])
