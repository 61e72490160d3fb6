"""The bodies of the HTTP interface: what a client may send, and the one shape it is answered in."""

import re
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from schemas.base import Body, Value
from schemas.ids import GatewayId, PaymentId
from schemas.instrument import Instrument, PaymentMethod, method_of
from schemas.money import EXPONENTS, largest_amount_minor
from schemas.outcome import NextAction
from schemas.payment import Failure
from schemas.routing import Strategy
from schemas.views import PaymentStatus

PartyId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}$(?!\n)")]
_PARTY = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class PaymentBody(Body, frozen=True, kw_only=True):
    """`POST /payments`."""

    amount_minor: Annotated[int, Meta(gt=0, le=2**53)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")]
    payment_method: PaymentMethod
    merchant_id: PartyId
    customer_id: PartyId
    instrument: Instrument


class FieldError(Value, frozen=True, kw_only=True):
    """One thing wrong with a body; `pointer` is an RFC 6901 JSON pointer to it."""

    pointer: str
    detail: str


def faults_in(body: PaymentBody) -> list[FieldError]:
    """What is wrong with a body whose every field is well formed by itself."""
    faults = []
    if body.currency not in EXPONENTS:
        faults.append(FieldError(pointer="/currency", detail="is not an ISO 4217 code of a currency in use"))
    elif body.amount_minor > largest_amount_minor(body.currency):
        faults.append(
            FieldError(pointer="/amount_minor", detail=f"is more than {largest_amount_minor(body.currency)}")
        )
    if method_of(body.instrument) != body.payment_method:
        faults.append(FieldError(pointer="/instrument/type", detail="does not agree with payment_method"))
    faults.extend(
        FieldError(pointer=f"/{field}", detail="must not be a card number")
        for field in ("merchant_id", "customer_id")
        if holds_a_card_number(getattr(body, field))
    )
    faults.extend(
        FieldError(pointer=f"/instrument/{field}", detail="must not be a card number")
        for field in ("token", "network", "bank_code", "wallet")
        if holds_a_card_number(getattr(body.instrument, field, None) or "")
    )
    return faults


def is_party(text: str) -> bool:
    """Whether a payment may be of a merchant, or a customer, of this id."""
    return _PARTY.fullmatch(text) is not None and not holds_a_card_number(text)


def faults_of_text(field: str, text: str) -> list[FieldError]:
    """Of what a person wrote, and what is on the log for ever."""
    faults = []
    if not text.isprintable():
        faults.append(FieldError(pointer=f"/{field}", detail="must be printable"))
    if holds_a_card_number(text):
        faults.append(FieldError(pointer=f"/{field}", detail="must not be a card number"))
    return faults


def holds_a_card_number(text: str) -> bool:
    """Card numbers begin with 2 to 6 (ISO/IEC 7812); times in milliseconds, which look alike, begin with 1."""
    return any(looks_like_a_card_number(match[0]) for match in _CARD_NUMBER.finditer(text))


_CARD_NUMBER = re.compile(r"(?<![0-9A-Za-z])[2-6](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z])")


def looks_like_a_card_number(text: str) -> bool:
    """13 to 19 digits, perhaps grouped, whose Luhn sum is a multiple of ten (ISO/IEC 7812-1)."""
    digits = [int(character) for character in text if character.isdecimal()]
    if not 13 <= len(digits) <= 19 or any(character.isalpha() for character in text):
        return False
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


class RoutingAnswer(Value, frozen=True, kw_only=True):
    strategy: Strategy | None
    reason: str | None
    experiment: str | None
    variant: str | None


class PaymentAnswer(Value, frozen=True, kw_only=True):
    """The answer to a POST and the body of `GET /payments/{id}`, the same for every gateway."""

    payment_id: PaymentId
    status: PaymentStatus
    amount_minor: int | None
    currency: str | None
    payment_method: PaymentMethod | None
    merchant_id: str | None
    customer_id: str | None
    gateway: GatewayId | None
    gateway_reference: str | None
    attempts: int
    failure: Failure | None
    next_action: NextAction | None
    routing: RoutingAnswer
    latency_ms: int | None
    created_at: datetime
    updated_at: datetime


class Problem(Value, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457. `type` is stable: clients switch on it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: tuple[FieldError, ...] = ()
