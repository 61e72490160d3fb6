"""Takes events into deliveries, effectively once: deliveries and watermarks are stored in one transaction.

As `absorption.py` says. What a payment's merchant and amount are is known from its request: usually it was read just
before; otherwise the payments' projection knows, and is waited for where it has not come so far. An alarm about a
payment says neither, and waits only where somebody is told of some merchants' alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from projections.absorption import Absorption, Gaps, Records, continuing, dead_letter, decoded, reached
from projections.ports import (
    DeadLetters,
    DeliverySink,
    DeliveryTransaction,
    RawRecord,
    Recipients,
    TimedLog,
)
from projections.webhooks import body_of, delivery, payment_of
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.delivery import Delivery
from schemas.envelope import Recorded
from schemas.errors import ReadTooFarBehind, Unreadable
from schemas.ids import PaymentId
from schemas.payment import Order, PaymentRequested
from schemas.views import DeadLetter
from schemas.webhook_types import TYPES

REMEMBERED = 10_000
"""Orders of payments that were requested last: at 500 a second, twenty seconds of them."""
CLOCKS_DIFFER_MS = 1_000
"""By so much at most the brokers' stamps of two topics may be at odds."""
_REQUESTED = PaymentRequested.__name__
_TYPE_OF = {event.__name__: name for event, name in TYPES.items()}


class WebhookIntake(Absorption):
    """Of one topic. `partition_of` says where a payment's events are; `stored` is called after each transaction that
    made a delivery."""

    def __init__(
        self,
        topic: str,
        sink: DeliverySink,
        log: TimedLog,
        dead_letters: DeadLetters,
        recipients: Recipients,
        partition_of: Callable[[PaymentId], int],
        stored: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(topic, log)
        self._timed_log = log
        self._sink = sink
        self._dead_letters = dead_letters
        self._recipients = recipients
        self._partition_of = partition_of
        self._stored = stored
        self._orders: OrderedDict[PaymentId, Order] = OrderedDict()

    async def _store(self, batch: Records, refusal: Unreadable | None = None) -> Gaps:
        self._recipients.require()
        async with self._sink.transaction(self._topic, sorted(batch)) as transaction:
            run, gaps = continuing(batch, transaction.watermarks)
            news, dead = self._read(run, refusal)
            deliveries = await self._deliveries(news, transaction) if news else []
            if run:
                await transaction.store(deliveries, reached(run))
            if dead:
                await self._dead_letters.publish(dead)
        self._count(batch, run, gaps, dead)
        if deliveries:
            self._stored()
        return gaps

    def _read(
        self, run: Sequence[RawRecord], refusal: Unreadable | None
    ) -> tuple[list[Recorded[Event]], list[DeadLetter]]:
        """What somebody may want to be told, and what cannot be read of it."""
        news: list[Recorded[Event]] = []
        dead: list[DeadLetter] = []
        for record in run:
            try:
                if refusal is not None:
                    raise refusal
                if not self._concerns_anybody(record):
                    continue
                recorded = decoded(record)
                if recorded.is_void:
                    continue
                if isinstance(recorded.event, PaymentRequested):
                    self._remember(PaymentId(recorded.envelope.aggregate_id), recorded.event.order)
                else:
                    news.append(recorded)
            except Exception as error:  # whatever a record does to us, it must not stop those behind it
                dead.append(dead_letter(record, error))
        return news, dead

    def _concerns_anybody(self, record: RawRecord) -> bool:
        """By its header alone: most records are nobody's news, and are not decoded."""
        kind = next((content.decode() for name, content in record.headers if name == "ce_type"), "")
        if kind == _REQUESTED:
            return any(self._recipients.want(name) for name in _OF_PAYMENTS)
        return kind in _TYPE_OF and self._recipients.want(_TYPE_OF[kind])

    def _remember(self, payment_id: PaymentId, order: Order) -> None:
        self._orders[payment_id] = order
        if len(self._orders) > REMEMBERED:
            self._orders.popitem(last=False)

    async def _deliveries(
        self, news: Sequence[Recorded[Event]], transaction: DeliveryTransaction
    ) -> list[Delivery]:
        await self._learn_orders(news, transaction)
        return [made for recorded in news for made in self._told(recorded)]

    async def _learn_orders(self, news: Sequence[Recorded[Event]], transaction: DeliveryTransaction) -> None:
        unknown = {
            payment_id: recorded
            for recorded in news
            if (payment_id := payment_of(recorded)) is not None and payment_id not in self._orders
        }
        if not unknown:
            return
        projected = await transaction.projected()  # before the orders: they may only be newer
        found = await transaction.orders(unknown)
        for payment_id, order in found.items():
            self._remember(payment_id, order)
        for payment_id, recorded in unknown.items():
            if payment_id not in found and self._needs_order(recorded):
                partition = self._partition_of(payment_id)
                behind = await self._reached_by(recorded, partition) - projected.get(partition, 0)
                if behind > 0:
                    raise ReadTooFarBehind(f"the payments' projection is {behind} records behind")

    def _needs_order(self, recorded: Recorded[Event]) -> bool:
        is_told = recorded.position.topic == PAYMENTS_TOPIC
        return is_told or self._recipients.want_of_merchants(TYPES[type(recorded.event)])

    async def _reached_by(self, recorded: Recorded[Event], partition: int) -> int:
        """The offset before which everything is that its writer can have seen of the payment."""
        if recorded.position.topic == PAYMENTS_TOPIC:
            return recorded.position.offset + 1
        return await self._timed_log.offset_at(
            PAYMENTS_TOPIC, partition, recorded.stamp_ms + CLOCKS_DIFFER_MS
        )

    def _told(self, recorded: Recorded[Event]) -> Iterator[Delivery]:
        payment_id = payment_of(recorded)
        order = self._orders.get(payment_id) if payment_id is not None else None
        merchant_id = order.merchant_id if order is not None else None
        recipients = self._recipients.of(TYPES[type(recorded.event)], merchant_id, recorded.stamp_ms)
        if recipients:
            body = body_of(recorded, order)
            yield from (delivery(recorded, to, merchant_id, body) for to in recipients)


_OF_PAYMENTS = [name for name in _TYPE_OF.values() if name.startswith("payment.")]
