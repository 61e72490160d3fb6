"""Every failure as RFC 9457 `application/problem+json`, in one shape and from one table.

`type` is `/problems/<name>`: stable, relative to this service, and what clients switch on. `title` belongs to the
type; `detail` explains this occurrence and never quotes what the client sent nor what an inner part said.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler, Receive, Scope, Send

from schemas.errors import ReadTooFarBehind, Refusal, Refused, StoreUnavailable, Unavailable
from schemas.http import FieldError, Problem

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 1
"""Where the refusal does not name a time of its own."""


class Fault(StrEnum):
    """What can be wrong with a request before it is a command, or with us."""

    MALFORMED_REQUEST = "malformed-request"
    MALFORMED_HEADER = "malformed-header"
    MALFORMED_QUERY = "malformed-query"
    VERSION_MISSING = "version-missing"
    MALFORMED_BODY = "malformed-body"
    INVALID_BODY = "invalid-body"
    BODY_TOO_LARGE = "body-too-large"
    BODY_TOO_SLOW = "body-too-slow"
    HEADERS_TOO_LARGE = "headers-too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate-limited"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    BAD_SIGNATURE = "bad-signature"
    UNREADABLE_NOTIFICATION = "unreadable-notification"
    GATEWAY_NOT_FOUND = "gateway-not-found"
    NO_SUCH_GATEWAY = "no-such-gateway"
    NO_SUCH_MERCHANT = "no-such-merchant"
    NO_SUCH_CUSTOMER = "no-such-customer"
    CIRCUIT_NOT_FOUND = "circuit-not-found"
    CIRCUIT_NOT_CONFIRMED = "circuit-not-confirmed"
    PATH_NOT_FOUND = "path-not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    READ_TOO_FAR_BEHIND = "read-too-far-behind"
    INTERNAL_ERROR = "internal-error"


KINDS: dict[Refusal | Fault, tuple[int, str]] = {
    Refusal.KEY_MISSING: (400, "The Idempotency-Key header is missing"),
    Refusal.KEY_INVALID: (400, "The Idempotency-Key header is not usable"),
    Refusal.KEY_REUSED: (422, "This Idempotency-Key was used with another body"),
    Refusal.PAYMENT_IN_PROGRESS: (409, "A payment with this Idempotency-Key is being made"),
    Refusal.NO_ELIGIBLE_GATEWAY: (503, "No gateway can take this payment now"),
    Refusal.UNSUPPORTED_PAYMENT: (422, "No gateway takes payments like this one"),
    Refusal.METHOD_SWITCHED_OFF: (503, "Payments by this method are switched off"),
    Refusal.MERCHANT_SWITCHED_OFF: (503, "Payments of this merchant are switched off"),
    Refusal.TOO_BUSY: (503, "Too many payments at once"),
    Refusal.NOT_ADMITTING: (503, "This process takes no new payments now"),
    Refusal.LOG_UNAVAILABLE: (503, "The event log does not answer"),
    Refusal.STORE_UNAVAILABLE: (503, "The store does not answer"),
    Refusal.PAYMENT_NOT_FOUND: (404, "There is no such payment"),
    Refusal.NOT_IN_REVIEW: (409, "This attempt is not in review"),
    Refusal.REFERENCE_MISSING: (422, "A success names the gateway's reference"),
    Refusal.STALE_VERSION: (412, "It was set again since you looked"),
    Refusal.UNCONFIRMED: (503, "It is not known yet whether this is in force"),
    Refusal.NO_GATEWAY_LEFT: (409, "It would leave payments without any gateway"),
    Refusal.SEGMENT_NOT_FOUND: (404, "There is no such segment"),
    Refusal.EXPERIMENT_NOT_FOUND: (404, "There is no such experiment"),
    Refusal.EXPERIMENT_CONFLICT: (409, "The experiment's state does not allow it"),
    Refusal.SUBSCRIPTION_NOT_FOUND: (404, "There is no such subscription"),
    Refusal.SUBSCRIPTION_CONFLICT: (409, "The subscriptions that there are do not allow it"),
    Refusal.DELIVERY_NOT_FOUND: (404, "There is no such delivery"),
    Fault.MALFORMED_REQUEST: (400, "The request is not HTTP as we understand it"),
    Fault.MALFORMED_HEADER: (400, "A header is malformed"),
    Fault.MALFORMED_QUERY: (400, "A parameter of the query is malformed"),
    Fault.VERSION_MISSING: (428, "The If-Match header is missing"),
    Fault.MALFORMED_BODY: (400, "The body is not JSON in UTF-8"),
    Fault.INVALID_BODY: (422, "The body is not what this path takes"),
    Fault.BODY_TOO_LARGE: (413, "The body is too large"),
    Fault.BODY_TOO_SLOW: (408, "The body did not arrive in time"),
    Fault.HEADERS_TOO_LARGE: (431, "The headers are too large"),
    Fault.UNSUPPORTED_MEDIA_TYPE: (415, "The body must be application/json"),
    Fault.UNAUTHORIZED: (401, "This path is for those who have a key"),
    Fault.FORBIDDEN: (403, "The key is not for this"),
    Fault.RATE_LIMITED: (429, "Too many requests"),
    Fault.TOO_MANY_CONNECTIONS: (429, "Too many connections of one client"),
    Fault.BAD_SIGNATURE: (401, "The notification is not signed by its gateway"),
    Fault.UNREADABLE_NOTIFICATION: (400, "The notification cannot be read"),
    Fault.GATEWAY_NOT_FOUND: (404, "No gateway of this name sends notifications"),
    Fault.NO_SUCH_GATEWAY: (404, "There is no such gateway"),
    Fault.NO_SUCH_MERCHANT: (404, "There can be no such merchant"),
    Fault.NO_SUCH_CUSTOMER: (404, "There can be no such customer"),
    Fault.CIRCUIT_NOT_FOUND: (404, "There is no such circuit"),
    Fault.CIRCUIT_NOT_CONFIRMED: (503, "The command is recorded, and not seen to have taken effect"),
    Fault.PATH_NOT_FOUND: (404, "There is nothing at this path"),
    Fault.METHOD_NOT_ALLOWED: (405, "This path does not take this method"),
    Fault.READ_TOO_FAR_BEHIND: (503, "The read model is too far behind"),
    Fault.INTERNAL_ERROR: (500, "Something went wrong on our side"),
}
_OF_STATUS = {404: Fault.PATH_NOT_FOUND, 405: Fault.METHOD_NOT_ALLOWED}

_encode = msgspec.json.Encoder().encode


class Rejected(Exception):
    """A request that never became a command."""

    def __init__(
        self,
        fault: Fault,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail
        self.errors = errors
        self.headers = headers


class ProblemResponse(Response):
    """Leaves its type in the request's state, for whoever counts answers."""

    def __init__(
        self, kind: Refusal | Fault, content: bytes, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(content, status, headers, PROBLEM_JSON)
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["problem"] = self._kind.value
        await super().__call__(scope, receive, send)


def problem(
    kind: Refusal | Fault,
    detail: str,
    *,
    errors: tuple[FieldError, ...] = (),
    headers: Mapping[str, str] | None = None,
    retry_after_s: int | None = None,
) -> Response:
    status, _ = KINDS[kind]
    all_headers = dict(headers or {})
    if status == 503 or kind is Refusal.PAYMENT_IN_PROGRESS:
        all_headers["Retry-After"] = str(retry_after_s or RETRY_AFTER_S)
    return ProblemResponse(kind, encoded(kind, detail, errors), status, all_headers)


def encoded(kind: Refusal | Fault, detail: str, errors: tuple[FieldError, ...] = ()) -> bytes:
    status, title = KINDS[kind]
    return _encode(
        Problem(type=f"/problems/{kind}", title=title, status=status, detail=detail, errors=errors)
    )


def internal_error() -> Response:
    return problem(Fault.INTERNAL_ERROR, "The failure is in our log under this answer's X-Request-Id.")


def going_away() -> Response:
    """Also to a payment in flight: its started attempt is on the log, and the same key will tell what became of it."""
    return problem(
        Refusal.NOT_ADMITTING, "This process is going away; ask again with the same Idempotency-Key."
    )


async def _rejected(_: Request, error: Rejected) -> Response:
    return problem(error.fault, error.detail, errors=error.errors, headers=error.headers)


async def _refused(_: Request, error: Refused) -> Response:
    return problem(error.reason, error.detail, retry_after_s=error.retry_after_s)


async def _unavailable(_: Request, error: Unavailable) -> Response:
    match error:
        case StoreUnavailable():
            return problem(Refusal.STORE_UNAVAILABLE, "Nothing can be said about this just now; ask again.")
        case ReadTooFarBehind():
            return problem(Fault.READ_TOO_FAR_BEHIND, "What you wrote cannot be shown yet; ask again.")
        case _:
            return problem(Refusal.LOG_UNAVAILABLE, "Nothing can be said about this just now; ask again.")


async def _http_error(_: Request, error: HTTPException) -> Response:
    fault = _OF_STATUS.get(error.status_code, Fault.MALFORMED_REQUEST)
    return problem(fault, f"{KINDS[fault][1]}.", headers=error.headers)


async def _client_gone(_: Request, __: ClientDisconnect) -> None:
    """Nobody is there to be answered."""


HANDLERS: dict[type[Exception], ExceptionHandler] = {
    Rejected: _rejected,  # type: ignore[dict-item]  # each takes the very exception it is registered for
    Refused: _refused,  # type: ignore[dict-item]
    Unavailable: _unavailable,  # type: ignore[dict-item]
    HTTPException: _http_error,  # type: ignore[dict-item]
    ClientDisconnect: _client_gone,  # type: ignore[dict-item]
}
