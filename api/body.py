"""A request's body: read within a size and a time, decoded once, and every fault of it named by a JSON pointer."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from api.errors import Fault, Rejected
from api.headers import values
from schemas.http import FieldError

T = TypeVar("T")

_CLOSE = {"Connection": "close"}
_FIELD = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|(\[\.\.\.\])")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    max_bytes: int = 65_536
    timeout_s: float = 10.0
    linger_bytes: int = 1_048_576
    """So much more is read and thrown away before a body is refused: closing on a client that is still sending resets
    the connection, and it would never see the answer."""
    linger_s: float = 1.0


async def json_body(request: Request, decoder: msgspec.json.Decoder[T], limits: BodyLimits) -> T:
    """Raises Rejected for anything but one JSON value of the decoder's type; ClientDisconnect."""
    _require_json(request)
    return decoded(await read(request, limits), decoder)


async def optional_json_body(
    request: Request, decoder: msgspec.json.Decoder[T], limits: BodyLimits, otherwise: T
) -> T:
    """Like `json_body`, or `otherwise` where nothing was sent."""
    text = await read(request, limits)
    if not text:
        return otherwise
    _require_json(request)
    return decoded(text, decoder)


def _require_json(request: Request) -> None:
    given = values(request.scope, b"content-type")
    if not _is_json(given[0] if len(given) == 1 else ""):
        raise Rejected(Fault.UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: application/json, in UTF-8.")
    if any(coding.lower() != "identity" for coding in values(request.scope, b"content-encoding")):
        raise Rejected(Fault.UNSUPPORTED_MEDIA_TYPE, "Send the body without a Content-Encoding.")


def _is_json(content_type: str) -> bool:
    media_type, _, parameters = content_type.lower().partition(";")
    charset = parameters.partition("charset=")[2].strip(' "')
    return media_type.strip() == "application/json" and charset in ("", "utf-8")


async def read(request: Request, limits: BodyLimits) -> bytes:
    """The limit counts what arrives; a Content-Length is only a reason to refuse sooner."""
    try:
        async with asyncio.timeout(limits.timeout_s):
            return await _read(request, limits)
    except TimeoutError:
        raise Rejected(
            Fault.BODY_TOO_SLOW, f"A body has {limits.timeout_s:g} s to arrive.", headers=_CLOSE
        ) from None


async def _read(request: Request, limits: BodyLimits) -> bytes:
    declared = values(request.scope, b"content-length")
    if declared and declared[0].isdigit() and int(declared[0]) > limits.max_bytes:
        await _refuse_size(request, limits, int(declared[0]))
    body: bytes = b""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message["body"]
        if len(body) > limits.max_bytes:
            await _refuse_size(request, limits, len(body))
        if not message.get("more_body", False):
            return body


async def _refuse_size(request: Request, limits: BodyLimits, size: int) -> None:
    """Raises Rejected, at once to a client that waits for `100 Continue` or means to send more than we throw away."""
    if size <= limits.linger_bytes and not values(request.scope, b"expect"):
        await _throw_away(request, limits)
    raise Rejected(Fault.BODY_TOO_LARGE, f"A body has at most {limits.max_bytes} bytes.", headers=_CLOSE)


async def _throw_away(request: Request, limits: BodyLimits) -> None:
    left = limits.linger_bytes
    try:
        async with asyncio.timeout(limits.linger_s):
            while left > 0:
                message = await request.receive()
                if not message.get("more_body", False):
                    return
                left -= len(message["body"])
    except TimeoutError:
        return


class _GivenTwice(Exception):
    """Readers differ in which of the two they take: what was checked in front would not be what is done here."""


def _each_once(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _GivenTwice


_PAIRS = json.JSONDecoder(object_pairs_hook=_each_once)


def decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        value = decoder.decode(body)
        _PAIRS.decode(body.decode())
        return value
    except _GivenTwice:
        raise Rejected(Fault.MALFORMED_BODY, "An object has a name twice.") from None
    except msgspec.ValidationError as error:
        raise invalid(field_error(str(error))) from None
    except RecursionError:
        raise Rejected(Fault.MALFORMED_BODY, "The body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Rejected(Fault.MALFORMED_BODY, "The body is not one JSON value in UTF-8.") from None


def invalid(*errors: FieldError) -> Rejected:
    return Rejected(Fault.INVALID_BODY, "See errors for what is wrong, and where.", errors=errors)


def field_error(message: str) -> FieldError:
    """msgspec's `Expected ... - at `$.a[0]`` as a JSON pointer and a detail without anything the client sent."""
    text, _, place = message.rpartition(" - at ") if " - at " in message else (message, "", "`$`")
    steps = list(_steps(place))
    if (named := _FIELD.fullmatch(text)) is None:
        return FieldError(pointer=_pointer(steps), detail=_detail(text))
    if named[1] == "missing required":
        return FieldError(pointer=_pointer([*steps, named[2]]), detail="is required")
    if _PLAIN_NAME.fullmatch(named[2]):
        return FieldError(pointer=_pointer([*steps, named[2]]), detail="is not a field of this object")
    return FieldError(pointer=_pointer(steps), detail="has a field that is not one of this object")


def _steps(place: str) -> Iterator[str]:
    """As far as they are exact: `[...]` stands for a key that msgspec does not tell."""
    path = re.search(r"`\$(.*)`", place)
    for name, index, unknown in _STEP.findall(path[1] if path else ""):
        if unknown:
            return
        yield name or index


def _pointer(steps: list[str]) -> str:
    """RFC 6901."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _detail(text: str) -> str:
    """What was expected comes from our own types; anything else could quote a value."""
    if not text.startswith("Expected "):
        return "is not one of the values it may have"
    expected = text.removeprefix("Expected ").replace("`", "")
    kind, has_form, _ = expected.partition(" matching regex")
    return f"must be {kind} of the documented form" if has_form else f"must be {kind}"
