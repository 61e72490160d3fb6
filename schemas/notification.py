"""What others tell the verifier about a payment, on `gateway.notifications.v1`: messages, not payment events.

Only the verifier turns them into events. Nothing personal is taken over from what a gateway sends.
"""

from datetime import datetime
from typing import Literal

from schemas.base import Event, Value
from schemas.ids import AttemptId, GatewayId
from schemas.outcome import Decline


class GatewayNotified(Event, frozen=True, kw_only=True):
    """A signed notification of a gateway about one of our attempts.

    `told` is what it proves by itself; `look` proves nothing and is a reason to ask now.
    """

    gateway: GatewayId
    event_id: str
    """The gateway's own id of the notification: the same one may come many times."""
    kind: str
    """The gateway's own name for what happened, such as `payment.captured`."""
    attempt_id: AttemptId
    told: Literal["succeeded", "declined", "look"]
    gateway_reference: str | None = None
    decline: Decline | None = None
    amount_minor: int | None = None
    currency: str | None = None
    happened_at: datetime | None = None


class ReviewDecided(Event, frozen=True, kw_only=True):
    """A person has decided what became of an attempt that verification could not settle."""

    decision_id: str
    attempt_id: AttemptId
    verdict: Literal["succeeded", "declined", "not_sent"]
    settled_by: str
    note: str
    gateway_reference: str | None = None


NotificationMessage = GatewayNotified | ReviewDecided


class IgnoredNotification(Value, frozen=True, kw_only=True):
    """Well signed, and about nothing of ours: another event, or a payment that carries no reference of ours."""

    kind: str
    event_id: str
