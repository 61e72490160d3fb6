"""Keys of merchants, where they are asked for: whoever has one makes and sees that merchant's payments only.

`Authorization: Bearer` and the key. An operator who may read sees every payment.

A key is looked up by its digest, however many there are. How long that takes may tell a stranger something of digests
that are known, which is no help: he can neither choose the digest of what he sends, nor find 32 random bytes from it.
"""

from collections.abc import Mapping, Sequence

from starlette.requests import Request

from api import headers
from api.admin import Admin
from api.errors import Fault, Rejected
from schemas.access import MerchantKey, digest

LONGEST_KEY = 256
"""Ours are a sixth of it. What is longer is no key, and is not hashed."""


class MerchantKeys:
    """`keys` is None where none are asked for."""

    def __init__(self, admin: Admin, keys: Sequence[MerchantKey] | None) -> None:
        self._admin = admin
        self._merchants: Mapping[str, str] | None = None
        if keys is not None:
            self.know(keys)

    def know(self, keys: Sequence[MerchantKey]) -> None:
        """These instead of those before, from the next request on."""
        self._merchants = {key.sha256: key.merchant_id for key in keys}

    def admit(self, request: Request) -> str | None:
        """The merchant whose payments may be made with the request; None for any. Raises Rejected."""
        return None if self._merchants is None else _merchant(request, self._merchants)

    def admit_reader(self, request: Request) -> str | None:
        """The merchant whose payments may be read; None for any. Raises Rejected."""
        if self._merchants is None:
            return None
        if self._admin.is_sent_to(request):
            self._admin.require(request, "read")
            return None
        return _merchant(request, self._merchants)

    def admit_onlooker(self, request: Request) -> None:
        """To what concerns several merchants: anybody, or where merchants have keys an operator who may read.
        Raises Rejected."""
        if self._merchants is not None:
            self._admin.require(request, "read")


def _merchant(request: Request, merchants: Mapping[str, str]) -> str:
    given = headers.values(request.scope, b"authorization")
    scheme, _, sent = (given[0] if len(given) == 1 else "").partition(" ")
    key = sent.strip()
    found = merchants.get(digest(key.encode())) if len(key) <= LONGEST_KEY else None
    if found is None or scheme.lower() != "bearer":
        raise Rejected(
            Fault.UNAUTHORIZED, "Send your merchant's key.", headers={"WWW-Authenticate": "Bearer"}
        )
    return found


def require_own(merchant: str | None, merchant_id: str) -> None:
    """Raises Rejected for a payment to another merchant than the key's."""
    if merchant not in (None, merchant_id):
        raise Rejected(Fault.FORBIDDEN, "This key is for payments of another merchant.")
