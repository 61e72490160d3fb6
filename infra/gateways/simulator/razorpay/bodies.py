"""What Razorpay's callers send, what they are answered, and how they are refused."""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from infra.gateways.simulator.profile import Decline
from infra.gateways.simulator.wire import Refused

B = TypeVar("B")

Amount = Annotated[int, Meta(gt=0, le=10**12)]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
Notes = Annotated[dict[str, Annotated[str, Meta(max_length=256)]], Meta(max_length=15)]


class OrderRequest(Struct, frozen=True, kw_only=True):
    amount: Amount
    currency: Currency
    receipt: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    notes: Notes = {}


class OrderChange(Struct, frozen=True, kw_only=True):
    notes: Notes


class Upi(Struct, frozen=True, kw_only=True):
    flow: Literal["collect", "intent"]
    vpa: str | None = None


class PaymentRequest(Struct, frozen=True, kw_only=True):
    amount: Amount
    currency: Currency
    order_id: str
    email: str
    contact: str
    method: Literal["upi", "card", "netbanking", "wallet"]
    upi: Upi | None = None
    token: str | None = None
    bank: str | None = None
    wallet: str | None = None
    notes: Notes = {}

    @property
    def is_complete(self) -> bool:
        match self.method:
            case "upi":
                return self.upi is not None and (self.upi.flow == "intent" or self.upi.vpa is not None)
            case "card":
                return self.token is not None
            case "netbanking":
                return self.bank is not None
            case "wallet":
                return self.wallet is not None


class CaptureRequest(Struct, frozen=True, kw_only=True):
    amount: Amount
    currency: Currency


class Rejected(Refused):
    """A refusal in Razorpay's words."""

    def __init__(self, reason: str, *, status: int = 400, step: str = "payment_initiation") -> None:
        super().__init__(status, "BAD_REQUEST_ERROR", reason)
        decline = Decline(code="BAD_REQUEST_ERROR", source="business", reason=reason)
        self.problem = problem(decline, {}, step=step)


def problem(decline: Decline, metadata: dict[str, str], *, step: str) -> dict[str, Any]:
    return {
        "error": {
            "code": decline.code,
            "description": decline.reason.replace("_", " "),
            "source": decline.source,
            "step": step,
            "reason": decline.reason,
            "metadata": metadata,
        }
    }


def decoded(shape: type[B], body: bytes) -> B:
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Rejected("input_validation_failed") from None
