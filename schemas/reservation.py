"""The ownership row of an idempotency key: who may write a payment's events, and until when."""

from schemas.base import Value
from schemas.envelope import Window
from schemas.ids import CustomerToken, PaymentId


class Reservation(Value, frozen=True, kw_only=True):
    """A wish to own a key for `window_ms` from the moment the store notes it, by the store's own clock."""

    merchant_id: str
    key_hash: str
    fingerprint: str
    payment_id: PaymentId
    window_ms: int
    customer_id: str
    """The merchant's own: the vault keeps it with the token."""
    customer: CustomerToken
    """His token, if nobody has met him before."""


class Reserved(Value, frozen=True, kw_only=True):
    """The key was free and is ours, in epoch 1."""

    window: Window
    customer: CustomerToken
    """The customer's token from now on, until he is forgotten."""


class Held(Value, frozen=True, kw_only=True):
    """The key belongs to a payment already. `is_owned`: its owner's window has not ended yet."""

    payment_id: PaymentId
    fingerprint: str
    epoch: int
    is_owned: bool


class Claimed(Value, frozen=True, kw_only=True):
    """A take-over: the next epoch, under a claim id, with a window that begins where the old one certainly ended."""

    epoch: int
    claim_id: str
    window: Window
    customer: CustomerToken | None = None
    """The customer's token, where the payment may be started afresh; a verifier never does that."""
