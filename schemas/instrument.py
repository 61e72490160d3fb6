"""What a customer pays with: as the client sends it, and masked as it may be written down."""

from typing import Annotated, Literal, get_args

from msgspec import Meta

from schemas.base import Body, Value

PaymentMethod = Literal["UPI", "CARD", "NETBANKING", "WALLET"]
PAYMENT_METHODS: tuple[PaymentMethod, ...] = get_args(PaymentMethod)

Vpa = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{2,256}@[A-Za-z][A-Za-z0-9-]{1,63}$(?!\n)", max_length=320)
]
"""Its handle has no dot: what has one is an e-mail address, whose domain may be a person's."""
Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{6,128}$(?!\n)")]
Bin = Annotated[str, Meta(pattern=r"^[0-9]{6,8}$(?!\n)")]
LastFour = Annotated[str, Meta(pattern=r"^[0-9]{4}$(?!\n)")]
Slug = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{2,32}$(?!\n)")]


class Upi(Body, frozen=True, kw_only=True, tag_field="type", tag="UPI"):
    """UPI collect where a VPA is given, UPI intent where it is not."""

    vpa: Vpa | None = None


class Card(Body, frozen=True, kw_only=True, tag_field="type", tag="CARD"):
    """A card by the token of a gateway or a vault. There is no field for its number or its CVV, on purpose."""

    token: Token
    bin: Bin
    last4: LastFour
    network: Slug | None = None


class Netbanking(Body, frozen=True, kw_only=True, tag_field="type", tag="NETBANKING"):
    bank_code: Slug


class Wallet(Body, frozen=True, kw_only=True, tag_field="type", tag="WALLET"):
    wallet: Slug


Instrument = Upi | Card | Netbanking | Wallet


class UpiMasked(Value, frozen=True, kw_only=True, tag_field="type", tag="UPI"):
    """`***@okhdfcbank` and its handle; the handle is None for an intent, which has no VPA yet."""

    vpa_masked: str | None = None
    handle: str | None = None


class CardMasked(Value, frozen=True, kw_only=True, tag_field="type", tag="CARD"):
    """The token stays with the gateway call: what is written down identifies the issuer, not the card."""

    bin: str
    last4: str = ""
    """Of the oldest events: the last four digits say nothing of the issuer."""
    network: str | None = None


class NetbankingMasked(Value, frozen=True, kw_only=True, tag_field="type", tag="NETBANKING"):
    bank_code: str


class WalletMasked(Value, frozen=True, kw_only=True, tag_field="type", tag="WALLET"):
    wallet: str


MaskedInstrument = UpiMasked | CardMasked | NetbankingMasked | WalletMasked


def method_of(instrument: Instrument) -> PaymentMethod:
    match instrument:
        case Upi():
            return "UPI"
        case Card():
            return "CARD"
        case Netbanking():
            return "NETBANKING"
        case Wallet():
            return "WALLET"


def masked(instrument: Instrument) -> MaskedInstrument:
    match instrument:
        case Upi(vpa=None):
            return UpiMasked()
        case Upi(vpa=str(vpa)):
            handle = vpa.rpartition("@")[2]
            return UpiMasked(vpa_masked=f"***@{handle}", handle=handle.lower())
        case Card():
            return CardMasked(bin=instrument.bin, network=instrument.network)
        case Netbanking():
            return NetbankingMasked(bank_code=instrument.bank_code)
        case Wallet():
            return WalletMasked(wallet=instrument.wallet)
    raise AssertionError(instrument)
