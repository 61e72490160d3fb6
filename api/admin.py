"""Routes for those who operate the system: nothing is read of a request, and nothing told, without their key."""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from hmac import compare_digest

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from api.errors import Fault, Rejected

Endpoint = Callable[[Request], Awaitable[Response]]

_HEADER = b"x-internal-api-key"
_CHALLENGE = {"WWW-Authenticate": 'ApiKey header="X-Internal-Api-Key"'}


class Admin:
    """Keeps and compares digests: their length, and so the time to compare them, tells nothing of the key."""

    def __init__(self, key: str) -> None:
        self._digest = sha256(key.encode()).digest()

    def only(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            if not self._is_known(request.scope):
                raise Rejected(Fault.UNAUTHORIZED, "Send the X-Internal-Api-Key.", headers=_CHALLENGE)
            return await endpoint(request)

        return guarded

    def _is_known(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == _HEADER]
        return len(given) == 1 and compare_digest(sha256(given[0]).digest(), self._digest)
