"""Routes for those who operate the system: nothing is read of a request, and nothing told, without a key for it.

Each key has a name and scopes, and there may be several, also of one name while it is rotated. The INTERNAL_API_KEY has
no name and every scope. Digests are compared, each of them and in constant time: how long it takes tells nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from hmac import compare_digest

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope as RequestScope

from api.body import invalid
from api.errors import Fault, Rejected
from schemas.access import SCOPES, SIGNED, AdminKey, Scope, digest
from schemas.http import FieldError

Endpoint = Callable[[Request], Awaitable[Response]]

UNNAMED_OPERATOR = "operator"
"""What bodies say that leave out by whom it is done."""
_UNNAMED = "internal-api-key"
_HEADER = b"x-internal-api-key"
_CHALLENGE = {"WWW-Authenticate": 'ApiKey header="X-Internal-Api-Key"'}


class Admin:
    def __init__(self, internal_api_key: str, keys: Sequence[AdminKey] = ()) -> None:
        self._internal = digest(internal_api_key.encode())
        self._keys = keys

    def know(self, keys: Sequence[AdminKey]) -> None:
        """These instead of those before, from the next request on."""
        self._keys = keys

    def only(self, endpoint: Endpoint, scope: Scope) -> Endpoint:
        async def guarded(request: Request) -> Response:
            self.require(request, scope)
            return await endpoint(request)

        return guarded

    def read_or(self, endpoint: Endpoint, scope: Scope) -> Endpoint:
        """Shows to whoever may read, and changes for whoever has the scope."""

        async def guarded(request: Request) -> Response:
            self.require(request, "read" if request.method in ("GET", "HEAD") else scope)
            return await endpoint(request)

        return guarded

    def require(self, request: Request, scope: Scope) -> None:
        """Raises Rejected, unless the request has one key that is known, and the key has the scope."""
        name, scopes = self._holder(request.scope)
        if scope not in scopes:
            raise Rejected(Fault.FORBIDDEN, f"This key is not for that: it lacks the scope {scope}.")
        request.state.key_name = name

    def may_read(self, request: Request) -> bool:
        """Whether more is shown to whoever asks than to everybody. Raises Rejected for a key that nobody knows."""
        return self.is_sent_to(request) and "read" in self._holder(request.scope)[1]

    def is_sent_to(self, request: Request) -> bool:
        """Whether somebody claims to operate."""
        return any(name == _HEADER for name, _ in request.scope["headers"])

    def counted_as(self, scope: RequestScope) -> str | None:
        """What the requests of a valid key are counted by: by its name, not by its digest. None without such a key."""
        if (holder := self._found(scope)) is None:
            return None
        name, _ = holder
        return _UNNAMED if name is None else f"{SIGNED}{name}"

    def _holder(self, scope: RequestScope) -> tuple[str | None, Sequence[Scope]]:
        """Raises Rejected."""
        if (found := self._found(scope)) is None:
            raise Rejected(
                Fault.UNAUTHORIZED, "Send one X-Internal-Api-Key that is valid.", headers=_CHALLENGE
            )
        return found

    def _found(self, scope: RequestScope) -> tuple[str | None, Sequence[Scope]] | None:
        given = [value for name, value in scope["headers"] if name == _HEADER]
        found: tuple[str | None, Sequence[Scope]] | None = None
        if len(given) == 1:
            sent = digest(given[0])
            for key in self._keys:
                if compare_digest(sent, key.sha256):
                    found = key.name, key.scopes
            if compare_digest(sent, self._internal):
                found = None, SCOPES
        return found


def signed(request: Request, by: str, field: str = "by") -> str:
    """By whom it is done, as it is written on the log: the name of the key first, which nobody can claim without it.

    With the INTERNAL_API_KEY, which many may have, it is what they say of themselves.
    """
    if by.startswith(SIGNED):
        raise invalid(FieldError(pointer=f"/{field}", detail=f"must not begin with {SIGNED}"))
    name: str | None = request.state.key_name
    if name is None:
        return by
    return f"{SIGNED}{name}" if by in (name, UNNAMED_OPERATOR) else f"{SIGNED}{name} for {by}"
