"""Stripe's answers, as far as we need them. Source: docs.stripe.com/api: payment_intents, refunds, errors.

Every text that may reach the log is held to a pattern: short, printable, and with no room for a card number.
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from infra.gateways.http import Answer
from schemas.base import Value

IntentStatus = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "canceled",
    "succeeded",
]
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,128}$(?!\n)")]
Url = Annotated[str, Meta(pattern=r"^[!-~]{1,2048}$(?!\n)")]

T = TypeVar("T")


class Redirect(Value, frozen=True, kw_only=True):
    url: Url


class UpiInstructions(Value, frozen=True, kw_only=True):
    hosted_instructions_url: Url


class NextStep(Value, frozen=True, kw_only=True):
    redirect_to_url: Redirect | None = None
    upi_handle_redirect_or_display_qr_code: UpiInstructions | None = None

    @property
    def url(self) -> str | None:
        if self.redirect_to_url is not None:
            return self.redirect_to_url.url
        upi = self.upi_handle_redirect_or_display_qr_code
        return None if upi is None else upi.hosted_instructions_url


class LatestCharge(Value, frozen=True, kw_only=True):
    refunded: bool = False


class PaymentError(Value, frozen=True, kw_only=True):
    """Why a request was refused, or why the last try to pay an intent failed."""

    type: str
    code: str | None = None
    decline_code: str | None = None
    payment_intent: "Intent | None" = None
    """As it stands now, where the request was about one."""


class Intent(Value, frozen=True, kw_only=True):
    id: Id
    status: IntentStatus
    amount: int
    currency: str
    amount_received: int | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    next_action: NextStep | None = None
    last_payment_error: PaymentError | None = None
    latest_charge: str | LatestCharge | None = None

    @property
    def attempt_id(self) -> str | None:
        return self.metadata.get("attempt_id")

    @property
    def is_refunded(self) -> bool:
        """An intent stays `succeeded` when its money goes back; its charge says so, where it was asked for."""
        return isinstance(self.latest_charge, LatestCharge) and self.latest_charge.refunded

    @property
    def taken_minor(self) -> int:
        if self.status == "succeeded" and self.amount_received is not None:
            return self.amount_received
        return self.amount


class IntentId(Value, frozen=True, kw_only=True):
    id: Id


class Page(Value, frozen=True, kw_only=True):
    data: list[IntentId]


class Refund(Value, frozen=True, kw_only=True):
    amount: int
    status: Literal["pending", "requires_action", "succeeded", "failed", "canceled"]


class Refunds(Value, frozen=True, kw_only=True):
    data: list[Refund]


class Refusal(Value, frozen=True, kw_only=True):
    error: PaymentError


intent_decoder = msgspec.json.Decoder(Intent)
page_decoder = msgspec.json.Decoder(Page)
refund_decoder = msgspec.json.Decoder(Refund)
refunds_decoder = msgspec.json.Decoder(Refunds)
_refusal_decoder = msgspec.json.Decoder(Refusal)


def read(decoder: msgspec.json.Decoder[T], answer: object) -> T | None:
    """None for anything but an answer of 200 that is what the decoder is for: a status alone proves nothing."""
    if not isinstance(answer, Answer) or answer.status != 200:
        return None
    return decoded(decoder, answer.body)


def refusal(answer: object) -> PaymentError | None:
    """Why Stripe says it refused; None for any other answer, and for a refusal in another's words."""
    if not isinstance(answer, Answer) or not 400 <= answer.status < 500:
        return None
    found = decoded(_refusal_decoder, answer.body)
    return None if found is None else found.error


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError):  # msgspec's errors and those of UTF-8 are ValueErrors
        return None
