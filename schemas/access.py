"""Keys of operators and of merchants, as they are written down: never the key, only its digest.

A key is 32 random bytes, so nobody can try them all, however fast SHA-256 is. A slow hash protects what people think
up, and would let anybody keep us busy by sending wrong keys.
"""

from hashlib import sha256
from typing import Annotated, Literal, get_args

from msgspec import Meta

from schemas.base import Body
from schemas.http import PartyId

Scope = Literal["read", "configuration", "experiments", "circuits", "reviews", "webhooks", "data"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
KeyName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$(?!\n)")]
SIGNED = "key:"
"""Before the name of the key by which something was done; nobody can write it who did not have the key."""


class AdminKey(Body, frozen=True, kw_only=True):
    """One of an operator's. While it is rotated there are two of the same name."""

    name: KeyName
    sha256: Digest
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]


class MerchantKey(Body, frozen=True, kw_only=True):
    """One of a merchant's: for payments of that merchant and of no other."""

    merchant_id: PartyId
    sha256: Digest


def digest(key: bytes) -> str:
    return sha256(key).hexdigest()
