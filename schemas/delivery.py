"""One event on its way to one subscriber: what is sent, what came of it, and what operators see of it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from schemas.base import Value
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.instrument import PaymentMethod
from schemas.payment import Failure
from schemas.webhook import DeliveryId, SubscriptionId

DeliveryStatus = Literal["waiting", "delivered", "dead"]


class Told(Value, frozen=True, kw_only=True):
    """The body of every delivery, as Standard Webhooks has it. `timestamp` is when it happened."""

    type: str
    timestamp: datetime
    data: Any


class PaymentData(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What a receiver is told of a payment: nothing of its instrument, and nothing that a merchant sent beside it."""

    payment_id: PaymentId
    sequence: int
    """Of two that tell of one payment, the greater one is the later one, in whatever order they come."""
    merchant_id: str | None = None
    """None, as the next four are, where the request itself is missing from the log."""
    customer_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    payment_method: PaymentMethod | None = None
    attempt_id: AttemptId | None = None
    gateway: GatewayId | None = None
    gateway_reference: str | None = None
    failure: Failure | None = None
    unsettled: tuple[AttemptId, ...] = ()
    """The attempts that a person has to decide about."""
    kept: bool | None = None
    """Of a late success: whether the merchant keeps it, or it is given back."""
    compensated_by: Literal["void", "refund"] | None = None


class Delivery(Value, frozen=True, kw_only=True):
    """`delivery_id` is what the receiver knows it by, however often it comes: it follows from the event and the
    subscription, and sorts by the time of the event."""

    delivery_id: DeliveryId
    subscription_id: SubscriptionId
    event_id: str
    event_type: str
    subject: str
    """The aggregate that the event is about, such as a payment's id."""
    merchant_id: str | None
    body: str


class Claimed(Value, frozen=True, kw_only=True):
    """A delivery that is ours to attempt, until its lease ends."""

    delivery_id: DeliveryId
    subscription_id: SubscriptionId
    event_type: str
    merchant_id: str | None
    body: str
    attempt: int
    """Counts from 1 those that came to something."""
    claim: int
    """Counts from 1, for each attempt: those before it were never reported on."""
    left_ms: int
    """Until it is given up."""


# What an attempt came to

UnreachedReason = Literal["timeout", "dns", "tls", "connect", "refused_target", "unreadable_answer"]


class Answered(Value, frozen=True, kw_only=True):
    status: int
    retry_after_s: int | None = None


class Unreached(Value, frozen=True, kw_only=True):
    reason: UnreachedReason


SendResult = Answered | Unreached

# What becomes of the delivery


class Delivered(Value, frozen=True, kw_only=True):
    pass


class Again(Value, frozen=True, kw_only=True):
    after_ms: int


class GivenUp(Value, frozen=True, kw_only=True):
    reason: Literal["exhausted", "gone"]


Next = Delivered | Again | GivenUp


class Attempted(Value, frozen=True, kw_only=True):
    """What is written down of an attempt."""

    claimed: Claimed
    result: SendResult
    latency_ms: int
    next: Next


# What is known of an endpoint


class Flowing(Value, frozen=True, kw_only=True):
    failures: int = 0
    """In a row."""


class Paused(Value, frozen=True, kw_only=True):
    left_ms: int
    """Until one attempt may be made; not above 0 when it may."""
    pause_ms: int
    """How long all of it is."""


EndpointCircuit = Flowing | Paused
Learn = Callable[[EndpointCircuit, SendResult], EndpointCircuit]
"""What an endpoint's circuit makes of a result."""


class DeliveryView(Value, frozen=True, kw_only=True):
    """`next_attempt_at` is None of one that is delivered or dead; `dead_because` of one that is not dead."""

    delivery_id: DeliveryId
    subscription_id: SubscriptionId
    event_id: str
    event_type: str
    subject: str
    merchant_id: str | None
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    last_result: str | None
    """The status that was answered, or why there was none."""
    last_latency_ms: int | None
    dead_because: str | None
    replays: int


class DeliveryFilter(Value, frozen=True, kw_only=True):
    """None for any."""

    subscription_id: str | None = None
    status: DeliveryStatus | None = None
    event_type: str | None = None
    subject: str | None = None


class DeliveryBacklog(Value, frozen=True, kw_only=True):
    waiting: int
    dead: int
    oldest_waiting_s: float
    """Since it was first due; 0 with nothing waiting."""
    endpoints_paused: int
