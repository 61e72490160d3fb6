"""Razorpay's bodies, as far as we need them. Source: razorpay.com/docs/api, orders, payments and errors."""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from infra.gateways.http import Answer
from schemas.base import Value

T = TypeVar("T")

# What a gateway says goes on the log for ever: it is short, printable, and has no room for a card number.
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,64}$(?!\n)")]
_Url = Annotated[str, Meta(pattern=r"^[!-~]{1,2048}$(?!\n)")]
Notes = dict[str, Any] | list[Any]
"""An empty list where there are none."""

PaymentStatus = Literal["created", "authorized", "captured", "refunded", "failed"]


class Order(Value, frozen=True, kw_only=True):
    id: Id
    amount: int
    currency: str
    receipt: str | None = None
    notes: Notes = msgspec.field(default_factory=dict)

    @property
    def is_burned(self) -> bool:
        return isinstance(self.notes, dict) and self.notes.get("burned") == "true"


class _UpiFlow(Value, frozen=True, kw_only=True):
    flow: str | None = None


class Payment(Value, frozen=True, kw_only=True):
    id: Id
    amount: int
    currency: str
    status: PaymentStatus
    order_id: Id | None = None
    method: str | None = None
    notes: Notes = msgspec.field(default_factory=dict)
    upi: _UpiFlow | None = None
    error_code: str | None = None
    error_source: str | None = None
    error_step: str | None = None
    error_reason: str | None = None


class _Next(Value, frozen=True, kw_only=True):
    action: str
    url: _Url | None = None


class Created(Value, frozen=True, kw_only=True):
    razorpay_payment_id: Id
    next: tuple[_Next, ...] | None = None


class Refund(Value, frozen=True, kw_only=True):
    payment_id: Id
    amount: int
    status: Literal["pending", "processed", "failed"]


class Metadata(Value, frozen=True, kw_only=True):
    payment_id: Id | None = None


class Error(Value, frozen=True, kw_only=True):
    code: str | None = None
    source: str | None = None
    step: str | None = None
    reason: str | None = None
    metadata: Metadata | list[Any] | None = None


class Problem(Value, frozen=True, kw_only=True):
    """Some paths say only `message`."""

    error: Error | None = None
    message: str | None = None


class Orders(Value, frozen=True, kw_only=True):
    items: tuple[Order, ...]


class Payments(Value, frozen=True, kw_only=True):
    items: tuple[Payment, ...]


class Refunds(Value, frozen=True, kw_only=True):
    items: tuple[Refund, ...]


order_decoder = msgspec.json.Decoder(Order)
orders_decoder = msgspec.json.Decoder(Orders)
payment_decoder = msgspec.json.Decoder(Payment)
payments_decoder = msgspec.json.Decoder(Payments)
created_decoder = msgspec.json.Decoder(Created)
refund_decoder = msgspec.json.Decoder(Refund)
refunds_decoder = msgspec.json.Decoder(Refunds)
problem_decoder = msgspec.json.Decoder(Problem)


def read(decoder: msgspec.json.Decoder[T], answer: object) -> T | None:
    """None for anything but an answer of 200 that is what the decoder is for: a status alone proves nothing."""
    if not isinstance(answer, Answer) or answer.status != 200:
        return None
    return decoded(decoder, answer.body)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError):  # msgspec's errors and those of UTF-8 are ValueErrors
        return None
