"""What a person should know, on `reliability.events.v1`, and its end. Ids follow from what they tell of: the same one
may be published more than once."""

from typing import Literal

from schemas.base import Event
from schemas.ids import AttemptId, GatewayId, PaymentId


class DuplicateChargeDetected(Event, frozen=True, kw_only=True):
    """A charge that should not be: a second one of a payment, or one after we said FAILURE."""

    payment_id: PaymentId
    attempt_id: AttemptId
    gateway: GatewayId
    gateway_reference: str
    kept: bool


class DuplicateChargeCompensated(Event, frozen=True, kw_only=True):
    """Its end: the customer has the money back."""

    payment_id: PaymentId
    attempt_id: AttemptId
    gateway: GatewayId
    by: Literal["void", "refund"]


class VerificationOverdue(Event, frozen=True, kw_only=True):
    """Verification could not tell what became of a payment; a person has to decide."""

    payment_id: PaymentId
    unsettled: tuple[AttemptId, ...]


class VerificationOverdueEnded(Event, frozen=True, kw_only=True):
    """Its end, of one attempt: it has become certain."""

    payment_id: PaymentId
    attempt_id: AttemptId


ReliabilityEvent = (
    DuplicateChargeDetected | DuplicateChargeCompensated | VerificationOverdue | VerificationOverdueEnded
)
