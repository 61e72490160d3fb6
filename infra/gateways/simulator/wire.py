"""The bodies that gateways take and give, and the one way to send them."""

import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from infra.gateways.simulator.profile import Decline

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ChargeStatus = Literal["captured", "declined", "pending", "authorized", "voided", "refunded"]
Reference = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

LARGEST_BODY_BYTES = 64 * 1024
JSON = b"application/json"
HTML = b"text/html"


class ChargeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reference: Reference
    amount_minor: Annotated[int, Meta(gt=0, le=10**12)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    method: Annotated[str, Meta(pattern=r"^[A-Z_]{1,32}$")]
    instrument: dict[str, Any]


class NextAction(Struct, frozen=True, kw_only=True):
    type: Literal["upi_intent", "redirect"]
    url: str


class ChargeAnswer(Struct, frozen=True, kw_only=True):
    id: str
    reference: str
    status: ChargeStatus
    amount_minor: int
    currency: str
    decline: Decline | None
    next_action: NextAction | None


class Problem(Struct, frozen=True, kw_only=True):
    code: str
    description: str


class ProblemAnswer(Struct, frozen=True, kw_only=True):
    error: Problem


class Refused(Exception):
    """What the caller did not get, and the HTTP status that says so."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.problem: object = ProblemAnswer(error=Problem(code=code, description=description))


_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_charge_request = msgspec.json.Decoder(ChargeRequest)


def decode_charge_request(body: bytes) -> ChargeRequest:
    try:
        return _charge_request.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(400, "bad_request", str(error)) from error


def fingerprint(request: ChargeRequest) -> bytes:
    """Equal for equal bodies, whatever the order of their keys; the instrument itself is never kept."""
    return hashlib.blake2b(_sorted_encoder.encode(request), digest_size=16).digest()


async def read_body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "bad_request", "the client left before its body had arrived")
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY_BYTES:
            raise Refused(413, "body_too_large", f"a body may have {LARGEST_BODY_BYTES} bytes")
        if not message.get("more_body", False):
            return body


def header(scope: Scope, name: str) -> str | None:
    wanted = name.encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == wanted), None)


def encode(content: object) -> bytes:
    body: bytes = _encoder.encode(content)
    return body


async def answer(send: Send, status: int, content: object) -> None:
    await answer_bytes(send, status, encode(content))


async def answer_bytes(send: Send, status: int, body: bytes, content_type: bytes = JSON) -> None:
    await start_answer(send, status, len(body), content_type)
    await send({"type": "http.response.body", "body": body})


async def start_answer(send: Send, status: int, length: int, content_type: bytes = JSON) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
