"""Razorpay's webhooks. One is believed when it is signed with one of our secrets: an old one still signs what is sent
again while secrets are changed."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from infra.gateways.razorpay.answers import Payment
from infra.gateways.razorpay.verdict import decline_of
from schemas.base import Value
from schemas.errors import BadSignature, Unreadable
from schemas.ids import AttemptId, GatewayId, is_attempt_id
from schemas.notification import GatewayNotified, IgnoredNotification

_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,47}")
_LAST_SECOND = 253_402_300_799
"""Of the year 9999."""


class _Payment(Value, frozen=True, kw_only=True):
    entity: Payment


class _Payload(Value, frozen=True, kw_only=True):
    payment: _Payment | None = None


class _Event(Value, frozen=True, kw_only=True):
    event: Annotated[str, Meta(pattern=r"^[a-z0-9_.]{1,64}$(?!\n)")]
    payload: _Payload
    created_at: Annotated[int, Meta(ge=0, le=_LAST_SECOND)] | None = None


_decoder = msgspec.json.Decoder(_Event)


class RazorpayNotifications:
    def __init__(self, gateway: GatewayId, secrets: Sequence[str]) -> None:
        self._gateway = gateway
        self._secrets = tuple(secret.encode() for secret in secrets)

    def read(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> GatewayNotified | IgnoredNotification:
        """Razorpay signs no time, so `now` is nothing to it: the same notification may come again for a day."""
        told = {name.lower(): value for name, value in headers.items()}
        self._verify(told.get("x-razorpay-signature", ""), body)
        try:
            event = _decoder.decode(body)
        except (ValueError, RecursionError):
            raise Unreadable("a notification of Razorpay's that is none") from None
        event_id = _event_id(told.get("x-razorpay-event-id", ""), body)
        payment = event.payload.payment.entity if event.payload.payment else None
        attempt_id = _attempt_id(payment)
        is_about_it = event.event.startswith("payment.") or event.event == "refund.failed"
        if payment is None or attempt_id is None or not is_about_it:
            return IgnoredNotification(kind=event.event, event_id=event_id)
        return _proven(
            GatewayNotified(
                gateway=self._gateway,
                event_id=event_id,
                kind=event.event,
                attempt_id=attempt_id,
                told="look",
                gateway_reference=payment.id,
                amount_minor=payment.amount,
                currency=payment.currency,
                happened_at=None
                if event.created_at is None
                else datetime.fromtimestamp(event.created_at, UTC),
            ),
            payment,
        )

    def _verify(self, signature: str, body: bytes) -> None:
        """In a time that does not tell how near it came."""
        given = signature.encode(errors="surrogatepass")
        expected = [hmac.new(secret, body, hashlib.sha256).hexdigest().encode() for secret in self._secrets]
        if not any(hmac.compare_digest(given, one) for one in expected):
            raise BadSignature("a notification is not signed by Razorpay")


def _proven(notified: GatewayNotified, payment: Payment) -> GatewayNotified:
    """An event is a snapshot, and they come in any order: it proves only what its payment says as well."""
    match (notified.kind, payment.status):
        case ("payment.captured", "captured"):
            return replace(notified, told="succeeded")
        case ("payment.failed", "failed"):
            decline = decline_of(payment)
            return notified if decline is None else replace(notified, told="declined", decline=decline)
        case _:
            return notified


def _attempt_id(payment: Payment | None) -> AttemptId | None:
    if payment is None or not isinstance(payment.notes, dict):
        return None
    ours = payment.notes.get("attempt_id")
    return AttemptId(ours) if isinstance(ours, str) and is_attempt_id(ours) else None


def _event_id(given: str, body: bytes) -> str:
    """Razorpay does not sign its event id: with the body's digest behind it, one cannot stand for another's body."""
    digest = hashlib.sha256(body).hexdigest()
    return f"{given}.{digest[:16]}" if _EVENT_ID.fullmatch(given) else f"sha256_{digest[:57]}"
