"""Identifiers: a prefix and the 26 base32 characters of a UUIDv7, so that they sort by the time they were minted."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import NewType
from uuid import UUID

PaymentId = NewType("PaymentId", str)
AttemptId = NewType("AttemptId", str)
GatewayId = NewType("GatewayId", str)
ExperimentId = NewType("ExperimentId", str)
CustomerToken = NewType("CustomerToken", str)

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32 in lower case: digits sort before letters, and no letter looks like a digit."""

_AS_DIGITS = bytes.maketrans(ALPHABET.encode(), b"0123456789abcdefghijklmnopqrstuv")
"""As `int` reads numbers of base 32."""
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_BODY_LENGTH = 26
_IS_PAYMENT_ID = re.compile(f"pay_[{ALPHABET}]{{{_BODY_LENGTH}}}")


def base32(number: int) -> str:
    """The 26 characters of a 128-bit number, most significant first."""
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


_YEAR_10000 = base32(253_402_300_800_000 << 80)
"""Ids from there on, in milliseconds, name no time that a datetime can hold; no clock of ours will mint one."""


def payment_id(minted: UUID) -> PaymentId:
    return PaymentId("pay_" + base32(minted.int))


def attempt_id(payment: PaymentId, epoch: int, number: int) -> AttemptId:
    """At most 40 characters, so that it fits a gateway's receipt; never reused, since an epoch has one owner."""
    attempt = f"att_{payment[4:]}_{epoch}_{number}"
    assert len(attempt) <= 40, attempt
    return AttemptId(attempt)


def experiment_id(minted: UUID) -> ExperimentId:
    return ExperimentId("exp_" + base32(minted.int))


def customer_token(first: PaymentId) -> CustomerToken:
    """For a customer whom nobody has met before this payment. It tells nothing of him, and is no merchant's id: those
    have no tilde."""
    return CustomerToken("cus~" + first.removeprefix("pay_"))


def is_customer_token(text: str) -> bool:
    """Whether it stands for a customer; what stood in events before there were tokens was the merchant's own id."""
    return text.startswith("cus~")


def payment_of(attempt: AttemptId) -> PaymentId:
    return PaymentId("pay_" + attempt[4 : 4 + _BODY_LENGTH])


@lru_cache(maxsize=1024)  # records of a payment lie together
def is_payment_id(text: str) -> bool:
    """Whether the text has the form of a payment id; says nothing about its existence."""
    return _IS_PAYMENT_ID.fullmatch(text) is not None and text[4:] < _YEAR_10000


def is_attempt_id(text: str) -> bool:
    """Whether the text has the form of an attempt id: whatever comes back to us from outside may be anybody's."""
    head, _, tail = text.partition("_")
    body, *numbers = tail.split("_")
    return (
        len(text) <= 40
        and head == "att"
        and is_payment_id(f"pay_{body}")
        and len(numbers) == 2
        and all(n.isascii() and n.isdigit() and not n.startswith("0") for n in numbers)
    )


def minted_ms(payment: PaymentId) -> int:
    """The millisecond in which the id was minted: the first 48 bits of its UUIDv7, and so its first ten characters."""
    return int(payment[4:14].encode().translate(_AS_DIGITS), 32)


def minted_at(payment: PaymentId) -> datetime:
    return datetime.fromtimestamp(minted_ms(payment) / 1000, UTC)


def first_minted(at_ms: int) -> PaymentId:
    """No id that was minted then or later sorts before it, and every one that was minted earlier does."""
    return PaymentId("pay_" + base32(at_ms << 80))
