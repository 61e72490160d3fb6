"""What Stripe's callers send, and how they are refused."""

import re
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct, field

from infra.gateways.simulator.profile import Decline
from infra.gateways.simulator.wire import Refused

B = TypeVar("B")

Amount = Annotated[int, Meta(gt=0, le=10**12)]
Currency = Annotated[str, Meta(pattern=r"^[a-z]{3}$")]
Metadata = Annotated[dict[str, Annotated[str, Meta(max_length=500)]], Meta(max_length=50)]

_METADATA = re.compile(r"metadata\[([A-Za-z0-9_-]{1,40})\]")
_SEARCH = re.compile(r"metadata\['attempt_id'\]:'([A-Za-z0-9_-]{1,64})'")


class IntentRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    amount: Amount
    currency: Currency
    confirm: bool = False
    capture_method: Literal["automatic"] = "automatic"
    payment_method: str | None = None
    type: str | None = field(default=None, name="payment_method_types[0]")
    given_type: str | None = field(default=None, name="payment_method_data[type]")
    return_url: str | None = None
    metadata: Metadata = {}

    @property
    def is_payable(self) -> bool:
        if self.type == "card":
            return self.payment_method is not None
        return self.type is not None and self.type == self.given_type and self.return_url is not None


class RefundRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    payment_intent: str
    metadata: Metadata = {}


class Nothing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Rejected(Refused):
    """A refusal in Stripe's words."""

    def __init__(self, status: int, type_: str, code: str | None = None, **other: Any) -> None:
        super().__init__(status, code or type_, type_)
        self.problem = problem(type_, code, **other)


def problem(type_: str, code: str | None = None, **other: Any) -> dict[str, Any]:
    return {"error": {"type": type_, "code": code, "message": f"{code or type_}".replace("_", " ")} | other}


def in_stripes_words(refused: Refused) -> Refused:
    """What the parts that all wires share have refused."""
    match refused.status:
        case _ if isinstance(refused, Rejected):
            return refused
        case 409 | 422:
            return Rejected(400, "idempotency_error")
        case 429:
            return Rejected(429, "invalid_request_error", "rate_limit")
        case status if status >= 500:
            return Rejected(status, "api_error")
        case status:
            return Rejected(status, "invalid_request_error")


DECLINES: dict[str, tuple[str, str | None]] = {
    "insufficient_funds": ("card_declined", "insufficient_funds"),
    "payment_cancelled": ("payment_method_customer_decline", None),
    "incorrect_pin": ("card_declined", "incorrect_pin"),
    "payment_risk_check_failed": ("card_declined", "fraudulent"),
    "bank_technical_error": ("card_declined", "try_again_later"),
    "bank_not_available": ("card_declined", "issuer_not_available"),
    "gateway_technical_error": ("processing_error", "processing_error"),
    "payment_declined_due_to_high_traffic": ("processing_error", "processing_error"),
}
"""The code and decline code by the reason of a profile, which speaks like Razorpay."""


def card_error(decline: Decline) -> dict[str, Any]:
    code, decline_code = DECLINES.get(decline.reason, ("card_declined", "generic_decline"))
    error: dict[str, Any] = problem("card_error", code, decline_code=decline_code)["error"]
    return error


def decoded(shape: type[B], body: bytes) -> B:
    fields: dict[str, Any] = {"metadata": {}}
    for name, value in parse_qsl(body.decode("latin-1"), keep_blank_values=True):
        if found := _METADATA.fullmatch(name):
            fields["metadata"][found[1]] = value
        else:
            fields[name] = value
    if not fields["metadata"]:
        del fields["metadata"]
    try:
        return msgspec.convert(fields, shape, strict=False)
    except msgspec.ValidationError:
        raise Rejected(400, "invalid_request_error", "parameter_invalid") from None


def searched_attempt(query: dict[str, str]) -> str:
    found = _SEARCH.fullmatch(query.get("query", ""))
    if found is None:
        raise Rejected(400, "invalid_request_error", "parameter_invalid")
    return found[1]
