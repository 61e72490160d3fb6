"""What we ask of Stripe. The same charge, and the same burn, is always the same bytes: Stripe compares them by key.

Methods as Stripe has them: a card by its PaymentMethod (`pm_…`); UPI as an intent of Stripe's, whose page shows a QR
code or opens the app (Stripe collects from no VPA); a wallet where Stripe knows it under our name and sends its
customer to a page; net banking not at all.
"""

from schemas.charge import Charge, Reference
from schemas.ids import AttemptId
from schemas.instrument import Card, Netbanking, Upi, Wallet

MOST_INTENTS = 10
"""An attempt has one intent. Were there ever more, as many are looked at."""

WALLETS = frozenset(
    {
        "alipay",
        "amazon_pay",
        "cashapp",
        "grabpay",
        "kakao_pay",
        "mobilepay",
        "naver_pay",
        "paypal",
        "revolut_pay",
        "twint",
    }
)


def charge_form(charge: Charge, return_url: str) -> dict[str, str] | None:
    """None where Stripe cannot take the instrument."""
    method = _method(charge)
    if method is None:
        return None
    return {
        "amount": str(charge.amount_minor),
        "currency": charge.currency.lower(),
        "capture_method": "automatic",
        "confirm": "true",
        "metadata[attempt_id]": charge.attempt_id,
        "return_url": return_url,
        **method,
    }


def _method(charge: Charge) -> dict[str, str] | None:
    match charge.instrument:
        case Card(token=token):
            return {"payment_method_types[0]": "card", "payment_method": token}
        case Upi():
            return _typed("upi")
        case Wallet(wallet=wallet) if wallet.lower() in WALLETS:
            return _typed(wallet.lower())
        case Netbanking() | Wallet():
            return None


def _typed(name: str) -> dict[str, str]:
    return {"payment_method_types[0]": name, "payment_method_data[type]": name}


def burn_form(reference: Reference) -> dict[str, str]:
    """An intent that nobody can pay. It does not carry `attempt_id`, so that no search takes it for the charge."""
    return {
        "amount": str(reference.amount_minor),
        "currency": reference.currency.lower(),
        "confirm": "false",
        "metadata[burned]": reference.attempt_id,
    }


def search_query(reference: AttemptId) -> dict[str, str]:
    return {"query": f"metadata['attempt_id']:'{reference}'", "limit": str(MOST_INTENTS)}


def refund_form(intent_id: str, reference: AttemptId) -> dict[str, str]:
    return {"payment_intent": intent_id, "metadata[attempt_id]": reference}
