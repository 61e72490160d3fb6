"""What Razorpay is asked for."""

from base64 import b64encode

from infra.gateways.razorpay.answers import Order
from schemas.base import Value
from schemas.charge import Charge, Reference
from schemas.ids import AttemptId
from schemas.instrument import Card, Instrument, Netbanking, Upi, Wallet

AUTOMATIC_CAPTURE_MINUTES = 12
"""The least that Razorpay takes: what is authorised later than that waits for our capture, or goes back by itself."""


class Account(Value, frozen=True, kw_only=True):
    """Whose account it is, and what is said of customers of whom we know nothing: Razorpay insists on both."""

    key_id: str
    key_secret: str
    email: str
    contact: str
    takes_upi_collect: bool = False

    def __repr__(self) -> str:
        return "Account(…)"

    @property
    def authorization(self) -> str:
        return "Basic " + b64encode(f"{self.key_id}:{self.key_secret}".encode()).decode()


def order_request(charge: Charge) -> dict[str, object]:
    return {
        "amount": charge.amount_minor,
        "currency": charge.currency,
        "receipt": charge.attempt_id,
        "notes": {"attempt_id": charge.attempt_id},
        "payment": {
            "capture": "automatic",
            "capture_options": {
                "automatic_expiry_period": AUTOMATIC_CAPTURE_MINUTES,
                "refund_speed": "normal",
            },
        },
    }


def payment_request(charge: Charge, order: Order, account: Account) -> dict[str, object]:
    known = {"ip": charge.client_ip, "user_agent": charge.user_agent}
    return {
        "amount": charge.amount_minor,
        "currency": charge.currency,
        "order_id": order.id,
        "email": account.email,
        "contact": account.contact,
        "notes": {"attempt_id": charge.attempt_id},
        **{name: value for name, value in known.items() if value is not None},
        **_instrument(charge.instrument, account),
    }


def burned_order(reference: Reference) -> dict[str, object]:
    return {
        "amount": reference.amount_minor,
        "currency": reference.currency,
        "receipt": reference.attempt_id,
        "notes": burned_notes(reference.attempt_id),
    }


def burned_notes(reference: AttemptId) -> dict[str, str]:
    return {"attempt_id": reference, "burned": "true"}


def _instrument(instrument: Instrument, account: Account) -> dict[str, object]:
    """Collect asks the customer at the VPA that was given; where it is not allowed any more, an intent asks on the
    device at hand, and the VPA stays with us."""
    match instrument:
        case Upi(vpa=str(vpa)) if account.takes_upi_collect:
            return {"method": "upi", "upi": {"flow": "collect", "vpa": vpa}}
        case Upi():
            return {"method": "upi", "upi": {"flow": "intent"}}
        case Card(token=token):
            return {"method": "card", "token": token}
        case Netbanking(bank_code=bank):
            return {"method": "netbanking", "bank": bank}
        case Wallet(wallet=wallet):
            return {"method": "wallet", "wallet": wallet}
