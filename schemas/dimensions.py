"""By what a gateway's figures are kept, and where an outcome belongs in them.

An outcome's event carries this, so that statistics need no memory of the attempt it ends: they are sums over events,
in whatever order these arrive.
"""

from datetime import datetime
from typing import Literal

from schemas.base import Value
from schemas.instrument import (
    CardMasked,
    MaskedInstrument,
    NetbankingMasked,
    PaymentMethod,
    UpiMasked,
    WalletMasked,
)
from schemas.money import EXPONENTS
from schemas.outcome import AwaitingCustomer, Blame, Declined, InDoubt, NotSent, Outcome, Succeeded

BIN_DIGITS = 6


class Dimensions(Value, frozen=True, kw_only=True):
    payment_method: PaymentMethod
    amount_band: str
    """`1e3`: from 1,000 to 9,999 units of the currency."""
    issuer: str | None = None
    """The bank or wallet behind the instrument: a UPI handle, a card's BIN, a bank code or a wallet."""
    network: str | None = None
    segment: str | None = None
    """Of the bandit policy that the payment was routed under; None for its method as a whole."""


class Earlier(Value, frozen=True, kw_only=True):
    """What the log said of the attempt before."""

    kind: Literal["succeeded", "declined", "not_sent", "awaiting_customer", "in_doubt"]
    code: str | None = None
    """A decline's unified code, or the reason of what was not sent or is in doubt."""
    blame: Blame | None = None


class Account(Value, frozen=True, kw_only=True):
    """Where an outcome is counted: under these dimensions, at the moment at which its attempt started."""

    dimensions: Dimensions
    started_at: datetime
    instead_of: Earlier | None = None
    """The outcome that this one corrects: it is taken back, not counted beside it."""
    probe: str | None = None
    """The lease under which the attempt tested a gateway whose circuit was half open."""


def dimensions_of(
    *,
    payment_method: PaymentMethod,
    amount_minor: int,
    currency: str,
    instrument: MaskedInstrument,
    segment: str | None = None,
) -> Dimensions:
    return Dimensions(
        payment_method=payment_method,
        amount_band=amount_band(amount_minor, currency),
        issuer=issuer(instrument),
        network=network(instrument),
        segment=segment,
    )


def amount_band(amount_minor: int, currency: str) -> str:
    """The power of ten of the amount in units of its currency, from `1e0` (less than 10) on."""
    major = amount_minor // 10 ** EXPONENTS.get(currency, 2)
    return f"1e{max(len(str(major)) - 1, 0)}"


def issuer(instrument: MaskedInstrument) -> str | None:
    match instrument:
        case UpiMasked():
            return instrument.handle
        case CardMasked():
            return instrument.bin[:BIN_DIGITS]
        case NetbankingMasked():
            return instrument.bank_code.lower()
        case WalletMasked():
            return instrument.wallet.lower()


def network(instrument: MaskedInstrument) -> str | None:
    known = instrument.network if isinstance(instrument, CardMasked) else None
    return known.lower() if known else None


def earlier(outcome: Outcome | None) -> Earlier | None:
    match outcome:
        case None:
            return None
        case Succeeded():
            return Earlier(kind="succeeded")
        case Declined(decline=decline):
            return Earlier(kind="declined", code=decline.code, blame=decline.blame)
        case NotSent(reason=reason):
            return Earlier(kind="not_sent", code=reason)
        case AwaitingCustomer():
            return Earlier(kind="awaiting_customer")
        case InDoubt(reason=reason):
            return Earlier(kind="in_doubt", code=reason)
