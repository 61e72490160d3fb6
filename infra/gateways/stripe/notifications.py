"""Stripe's webhooks. https://docs.stripe.com/webhooks#verify-manually

`Stripe-Signature: t=<unix seconds>,v1=<hex>,…` signs `t.body` by HMAC-SHA256, once for each secret that is valid; a
retry is signed again with a new `t`, so an old one is a replay.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from infra.gateways.stripe.answers import Id, PaymentError, decoded
from infra.gateways.stripe.verdict import decline_of
from schemas import ids
from schemas.base import Value
from schemas.errors import BadSignature, Unreadable
from schemas.ids import AttemptId, GatewayId
from schemas.notification import GatewayNotified, IgnoredNotification

TOLERANCE_S = 300
MOST_SIGNATURES = 16

LATEST_S = 253_402_300_799
"""The end of the year 9999, as far as a datetime goes."""

Told = Literal["succeeded", "declined", "look"]


class _Object(Value, frozen=True, kw_only=True):
    """An intent, or something that was made for one, such as its charge."""

    object: str
    id: Id | None = None
    status: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    amount_received: int | None = None
    currency: Annotated[str, Meta(pattern=r"^[a-z]{3}$(?!\n)")] | None = None
    last_payment_error: PaymentError | None = None


class _Data(Value, frozen=True, kw_only=True):
    object: _Object


class _Notification(Value, frozen=True, kw_only=True):
    id: Id
    type: Annotated[str, Meta(pattern=r"^[a-z0-9_.]{1,64}$(?!\n)")]
    created: Annotated[int, Meta(ge=0, le=LATEST_S)]
    data: _Data


_decoder = msgspec.json.Decoder(_Notification)


class StripeNotifications:
    def __init__(self, gateway: GatewayId, secrets: Sequence[str]) -> None:
        """While a secret is rotated, both the old and the new one are valid."""
        self._gateway = gateway
        self._secrets = [secret.encode() for secret in secrets]

    def read(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> GatewayNotified | IgnoredNotification:
        named = {name.lower(): value for name, value in headers.items()}
        self._verify(named.get("stripe-signature", ""), body, now)
        notification = decoded(_decoder, body)
        if notification is None:
            raise Unreadable("a notification of Stripe's is not in the shape it should be")
        attempt = notification.data.object.metadata.get("attempt_id", "")
        if not ids.is_attempt_id(attempt):
            return IgnoredNotification(kind=notification.type, event_id=notification.id)
        return self._notified(notification, AttemptId(attempt))

    def _notified(self, notification: _Notification, attempt: AttemptId) -> GatewayNotified:
        about = notification.data.object
        told = _told(notification.type, about)
        error = about.last_payment_error
        return GatewayNotified(
            gateway=self._gateway,
            event_id=notification.id,
            kind=notification.type,
            attempt_id=attempt,
            told=told,
            gateway_reference=about.id if about.object == "payment_intent" else None,
            decline=decline_of(error) if told == "declined" and error is not None else None,
            amount_minor=about.amount_received if told == "succeeded" else None,
            currency=about.currency.upper() if told == "succeeded" and about.currency else None,
            happened_at=datetime.fromtimestamp(notification.created, UTC),
        )

    def _verify(self, header: str, body: bytes, now: datetime) -> None:
        parts = [part.strip().partition("=")[::2] for part in header.split(",", MOST_SIGNATURES)]
        time = next((value for name, value in parts if name == "t"), "")
        if not (time.isascii() and time.isdigit() and len(time) <= 12):
            raise BadSignature("a notification has no time of its signature")
        if abs(now.timestamp() - int(time)) > TOLERANCE_S:
            raise BadSignature("a notification was signed too long ago, or too far ahead")
        given = [value.encode() for name, value in parts if name == "v1"]
        expected = [signature(secret, int(time), body).encode() for secret in self._secrets]
        if not any(hmac.compare_digest(one, other) for one in given for other in expected):
            raise BadSignature("a notification is not signed by a secret of ours")


def signature(secret: bytes, time_s: int, body: bytes) -> str:
    return hmac.new(secret, b"%d." % time_s + body, hashlib.sha256).hexdigest()


def _told(kind: str, about: _Object) -> Told:
    match kind, about.status:
        case "payment_intent.succeeded", "succeeded" if about.amount_received is not None:
            return "succeeded"
        case "payment_intent.payment_failed", "requires_payment_method" if (
            about.last_payment_error is not None
        ):
            return "declined"
        case _:
            return "look"
