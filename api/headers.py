"""What a request's headers mean, and what is refused of them. Details never quote a value."""

import re
from collections.abc import Iterator

from starlette.requests import Request
from starlette.types import Scope

from api.errors import Fault, Rejected
from infra.kafka.partition import PAYMENT_PARTITIONS
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Position
from schemas.errors import Refusal, Refused
from schemas.http import holds_a_card_number

MAX_ATTRIBUTES = 16
MAX_ATTRIBUTE_NAME = 64
MAX_ATTRIBUTE_VALUE = 256
DEFAULT_WAIT_S = 0.25
LONGEST_WAIT_S = 10

_CONTEXT = b"x-context-"
_BARE_KEY = re.compile(r'[^"\\,;\x00-\x20\x7f-\xff]{1,255}')
_QUOTED_KEY = re.compile(r'"((?:[^"\\\x00-\x20\x7f-\xff]|\\["\\]){1,255})"')
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_VERSION = re.compile(r'"([0-9]{1,18})"', re.ASCII)
_TOKEN = re.compile(rf"{re.escape(PAYMENTS_TOPIC)}-([0-9]{{1,3}}):([0-9]{{1,18}})", re.ASCII)


def values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


def idempotency_key(scope: Scope) -> str:
    """RFC 8941's string with its quotes, or leniently without: the same key either way; 1 to 255 visible ASCII."""
    given = values(scope, b"idempotency-key")
    if not given or given in ([""], ['""']):
        raise Refused(Refusal.KEY_MISSING, "Send one Idempotency-Key, new for every payment.")
    if len(given) > 1:
        raise Refused(Refusal.KEY_INVALID, "Send exactly one Idempotency-Key.")
    if _BARE_KEY.fullmatch(given[0]):
        return given[0]
    if quoted := _QUOTED_KEY.fullmatch(given[0]):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    raise Refused(
        Refusal.KEY_INVALID, "An Idempotency-Key is 1 to 255 visible ASCII characters, best in quotes."
    )


def attributes(scope: Scope) -> dict[str, str]:
    """The `X-Context-*` headers by the rest of their lower-case names."""
    found = dict(_context(scope))
    if len(found) != sum(name.startswith(_CONTEXT) for name, _ in scope["headers"]):
        raise Rejected(Fault.MALFORMED_HEADER, "An X-Context-* header may be given once.")
    if len(found) > MAX_ATTRIBUTES:
        raise Rejected(Fault.MALFORMED_HEADER, f"At most {MAX_ATTRIBUTES} X-Context-* headers are taken.")
    return found


def _context(scope: Scope) -> Iterator[tuple[str, str]]:
    for key, raw in scope["headers"]:
        if not key.startswith(_CONTEXT):
            continue
        name = key[len(_CONTEXT) :].decode("latin-1")
        if not 1 <= len(name) <= MAX_ATTRIBUTE_NAME:
            raise Rejected(
                Fault.MALFORMED_HEADER, f"The name after X-Context- is 1 to {MAX_ATTRIBUTE_NAME} characters."
            )
        yield name, _attribute(raw)


def _attribute(raw: bytes) -> str:
    """Attributes are written on the log for ever, so a card number among them is refused."""
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        raise Rejected(Fault.MALFORMED_HEADER, "The value of an X-Context-* header is UTF-8.") from None
    if len(value) > MAX_ATTRIBUTE_VALUE or not value.isprintable():
        raise Rejected(
            Fault.MALFORMED_HEADER,
            f"The value of an X-Context-* header is at most {MAX_ATTRIBUTE_VALUE} printable characters.",
        )
    if holds_a_card_number(value):
        raise Rejected(Fault.MALFORMED_HEADER, "An X-Context-* header must not hold a card number.")
    return value


def request_id(scope: Scope) -> str | None:
    """The client's own X-Request-Id if it is fit to be echoed, logged and written on the log."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            text: str = value.decode("ascii")
            return None if holds_a_card_number(text) else text
    return None


def consistency_token(position: Position) -> str:
    return f"{position.topic}-{position.partition}:{position.offset}"


def at_least(request: Request) -> Position | None:
    """What the client has seen already, from the Consistency-Token that it was given."""
    given = values(request.scope, b"consistency-token")
    if not given:
        return None
    match = _TOKEN.fullmatch(given[0]) if len(given) == 1 else None
    if match is None or int(match[1]) >= PAYMENT_PARTITIONS:
        raise Rejected(
            Fault.MALFORMED_HEADER, "Consistency-Token is one token as an answer of ours carried it."
        )
    return Position(topic=PAYMENTS_TOPIC, partition=int(match[1]), offset=int(match[2]))


def wait_s(request: Request) -> int | None:
    """RFC 7240's `Prefer: wait=<seconds>`, cut at LONGEST_WAIT_S; other preferences are none of ours."""
    for field in values(request.scope, b"prefer"):
        for preference in field.split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            if name.strip().lower() != "wait":
                continue
            seconds = value.strip().strip('"')
            if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 9):
                raise Rejected(Fault.MALFORMED_HEADER, "Prefer: wait takes whole seconds.")
            return min(int(seconds), LONGEST_WAIT_S)
    return None


def if_match(request: Request, otherwise: int | None = None) -> int:
    """The version that the client has seen, from the entity tag that it was given (RFC 9110 §13.1.1)."""
    given = values(request.scope, b"if-match")
    if not given and otherwise is not None:
        return otherwise
    if not given:
        raise Rejected(Fault.VERSION_MISSING, "Send, in If-Match, the ETag of what you have looked at.")
    match = _VERSION.fullmatch(given[0]) if len(given) == 1 else None
    if match is None:
        raise Rejected(Fault.MALFORMED_HEADER, "If-Match is one ETag as an answer of ours carried it.")
    return int(match[1])


def is_known(request: Request, etag: str) -> bool:
    """Whether If-None-Match names the entity tag (RFC 9110 §13.1.2: weak comparison)."""
    known = ",".join(values(request.scope, b"if-none-match")).split(",")
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known)
