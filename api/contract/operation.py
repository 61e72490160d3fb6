"""How a route is described. Whoever adds a route adds its Operation to the table of its area in this package.

Only what differs from route to route is said: `problems_of` adds what follows from a body, a key or a path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from api.errors import Fault
from api.rate_limits import FREE
from schemas.access import Scope
from schemas.errors import Refusal

Kind = Refusal | Fault
Method = Literal["GET", "PUT", "POST", "PATCH", "DELETE"]
Place = Literal["path", "query", "header"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """`example` is true of a product that was just started, where anything is."""

    name: str
    place: Place
    type: Any
    says: str
    required: bool = False
    example: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    name: str
    says: str
    always: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`type` is what is encoded as JSON; None where there is no body, or one of another media type."""

    says: str
    type: Any = None
    headers: tuple[Header, ...] = ()
    media_type: str | None = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A body that is not required stands for one whose every field has its default."""

    type: Any
    example: Mapping[str, Any]
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    id: str
    """For generators of clients; as stable as the path."""
    method: Method
    path: str
    tag: str
    says: str
    answers: Mapping[int, Answer]
    problems: tuple[Kind, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    scope: Scope | None = None
    """Of the operator's key that it needs."""
    shows_more_to: Scope | None = None
    """Of an operator's key that it does without, for what is shown to everybody."""
    is_merchants: bool = False
    """Whether it asks for a merchant's key, where merchants have keys."""


_OF_EVERY_ROUTE = (
    Fault.MALFORMED_REQUEST,
    Fault.HEADERS_TOO_LARGE,
    Fault.TOO_MANY_CONNECTIONS,
    Fault.INTERNAL_ERROR,
    Refusal.NOT_ADMITTING,
)
OF_READING_A_BODY = (Fault.BODY_TOO_LARGE, Fault.BODY_TOO_SLOW)
_OF_A_BODY = (
    Fault.UNSUPPORTED_MEDIA_TYPE,
    Fault.MALFORMED_BODY,
    Fault.INVALID_BODY,
    *OF_READING_A_BODY,
)


def problems_of(operation: Operation) -> Iterator[Kind]:
    """Every problem that it can be answered with, each once."""
    found = dict.fromkeys((*_OF_EVERY_ROUTE, *operation.problems))
    if operation.scope or operation.shows_more_to or operation.is_merchants:
        found |= dict.fromkeys((Fault.UNAUTHORIZED, Fault.FORBIDDEN))
    if operation.path not in FREE:
        found |= dict.fromkeys((Fault.RATE_LIMITED,))
    if any(parameter.place == "path" for parameter in operation.parameters):
        found |= dict.fromkeys((Fault.PATH_NOT_FOUND,))
    if operation.body is not None:
        found |= dict.fromkeys(_OF_A_BODY)
    yield from found
