"""Keys of merchants, where they are asked for: whoever has one makes and sees that merchant's payments only.

`Authorization: Bearer` and the key. An operator who may read sees every payment.
"""

from collections.abc import Sequence
from hmac import compare_digest

from starlette.requests import Request

from api import headers
from api.admin import Admin
from api.errors import Fault, Rejected
from schemas.access import MerchantKey, digest


class MerchantKeys:
    """`keys` is None where none are asked for."""

    def __init__(self, admin: Admin, keys: Sequence[MerchantKey] | None) -> None:
        self._admin = admin
        self._keys = keys

    def admit(self, request: Request) -> str | None:
        """The merchant whose payments may be made with the request; None for any. Raises Rejected."""
        return None if self._keys is None else self._merchant(request, self._keys)

    def admit_reader(self, request: Request) -> str | None:
        """The merchant whose payments may be read; None for any. Raises Rejected."""
        if self._keys is None:
            return None
        if self._admin.is_sent_to(request):
            self._admin.require(request, "read")
            return None
        return self._merchant(request, self._keys)

    def _merchant(self, request: Request, keys: Sequence[MerchantKey]) -> str:
        given = headers.values(request.scope, b"authorization")
        scheme, _, sent = (given[0] if len(given) == 1 else "").partition(" ")
        found = None
        for key in keys:
            if compare_digest(digest(sent.strip().encode()), key.sha256):
                found = key.merchant_id
        if found is None or scheme.lower() != "bearer":
            raise Rejected(
                Fault.UNAUTHORIZED, "Send your merchant's key.", headers={"WWW-Authenticate": "Bearer"}
            )
        return found


def require_own(merchant: str | None, merchant_id: str) -> None:
    """Raises Rejected for a payment to another merchant than the key's."""
    if merchant not in (None, merchant_id):
        raise Rejected(Fault.FORBIDDEN, "This key is for payments of another merchant.")
