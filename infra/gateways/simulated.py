"""The adapter that speaks the simulator's wire: one JSON exchange per charge, by our own reference."""

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from infra.gateways.classification import classification
from infra.gateways.http import Answer, GatewayHttp
from schemas.base import Value
from schemas.charge import (
    Burned,
    Burning,
    Capture,
    Captured,
    Charge,
    Found,
    GivenBack,
    GivingBack,
    InUse,
    LookUp,
    NotFound,
    Reference,
    Unreachable,
)
from schemas.ids import AttemptId
from schemas.outcome import (
    AwaitingCustomer,
    Decline,
    Declined,
    InDoubt,
    NextAction,
    NotSent,
    Outcome,
    Succeeded,
)

T = TypeVar("T")

LOOK_UP_TIMEOUT_MS = 2_000

_classify = classification("razorpay")
"""Whose words this wire borrows for its declines; what it calls declined is."""


# What a gateway says goes on the log for ever: it is short, printable, and has no room for a card number.
_Reference = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]
_Word = Annotated[str, Meta(pattern=r"^[A-Za-z_]{1,64}$(?!\n)")]
_Url = Annotated[str, Meta(pattern=r"^[!-~]{1,2048}$(?!\n)")]


class _Decline(Value, frozen=True, kw_only=True):
    code: _Word
    source: _Word
    reason: _Word


class _NextAction(Value, frozen=True, kw_only=True):
    type: Literal["upi_intent", "redirect"]
    url: _Url


class _Charge(Value, frozen=True, kw_only=True):
    id: _Reference
    reference: _Reference
    status: Literal["captured", "declined", "pending", "voided", "refunded"]
    amount_minor: int
    currency: str
    decline: _Decline | None = None
    next_action: _NextAction | None = None


class _GivenBack(Value, frozen=True, kw_only=True):
    status: Literal["voided", "refunded"]


class _Fault(Value, frozen=True, kw_only=True):
    code: str


class _Problem(Value, frozen=True, kw_only=True):
    error: _Fault


_charge_decoder = msgspec.json.Decoder(_Charge)
_given_back_decoder = msgspec.json.Decoder(_GivenBack)
_problem_decoder = msgspec.json.Decoder(_Problem)
_encoder = msgspec.json.Encoder()

_REJECTED = Decline(code="rejected_by_gateway", blame="caller", retryable=False)
_BUSY = Decline(code="gateway_busy", blame="gateway", retryable=True)


class SimulatedGateway:
    def __init__(self, http: GatewayHttp) -> None:
        self._http = http

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        body = _encoder.encode(
            {
                "reference": charge.attempt_id,
                "amount_minor": charge.amount_minor,
                "currency": charge.currency,
                "method": charge.payment_method,
                "instrument": charge.instrument,
            }
        )
        answer = await self._http.call(
            "POST", "/charges", body=body, timeout_ms=charge.timeout_ms, may_send=may_send
        )
        return _outcome(answer, charge) if isinstance(answer, Answer) else answer

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        answer = await self._http.call("GET", f"/charges/{reference}", timeout_ms=LOOK_UP_TIMEOUT_MS)
        if not isinstance(answer, Answer):
            return Unreachable(reason=answer.reason)
        if answer.status == 404:
            return NotFound()
        charge = _read(_charge_decoder, answer)
        if charge is None or charge.reference != reference:
            return Unreachable(reason="unreadable_answer")
        return Found(outcome=_found(charge), amount_minor=charge.amount_minor, currency=charge.currency)

    async def burn(self, reference: Reference) -> Burning:
        answer = await self._post(reference.attempt_id, "burn")
        if not isinstance(answer, Answer):
            return Unreachable(reason=answer.reason)
        match answer.status:
            case 200:
                return Burned()
            case 409:
                return InUse()
            case status:
                return Unreachable(reason=f"status {status}")

    async def capture(self, reference: AttemptId, known: str | None = None) -> Capture:
        """On this wire a charge is captured at once, or never."""
        found = await self.look_up(reference)
        if isinstance(found, Unreachable):
            return found
        is_captured = isinstance(found, Found) and isinstance(found.outcome, Succeeded)
        return Captured() if is_captured else Unreachable(reason="not captured")

    async def give_back(self, reference: AttemptId, known: str | None = None) -> GivingBack:
        answer = await self._post(reference, "give-back")
        if not isinstance(answer, Answer):
            return Unreachable(reason=answer.reason)
        given_back = _read(_given_back_decoder, answer) if answer.status == 200 else None
        if given_back is None:
            return Unreachable(reason=f"status {answer.status}")
        return GivenBack(by="refund" if given_back.status == "refunded" else "void")

    async def _post(self, reference: AttemptId, how: str) -> Answer | NotSent | InDoubt:
        """Both are idempotent at the gateway, so that an answer that was lost may be asked for again."""
        return await self._http.call(
            "POST", f"/charges/{reference}/{how}", body=b"{}", timeout_ms=LOOK_UP_TIMEOUT_MS
        )


def _outcome(answer: Answer, charge: Charge) -> Outcome:
    if answer.status == 429:
        return Declined(decline=_BUSY)  # on this wire always before any effect
    if answer.status == 409 and _is_burned(answer):
        return NotSent(reason="burned")
    if answer.status in (400, 401, 403, 404, 422):
        return Declined(decline=_REJECTED)
    if answer.status != 200:
        return InDoubt(reason="server_error", http_status=answer.status)
    found = _read(_charge_decoder, answer)
    if found is None:
        return InDoubt(reason="unreadable_answer", http_status=answer.status)
    said = (found.reference, found.amount_minor, found.currency)
    if said != (charge.attempt_id, charge.amount_minor, charge.currency):
        return InDoubt(reason="mismatched_answer", gateway_reference=found.id)
    return _found(found)


def _found(charge: _Charge) -> Outcome:
    match charge.status:
        case "captured":
            return Succeeded(gateway_reference=charge.id)
        case "declined" if charge.decline is not None:
            return Declined(decline=_decline(charge.decline), gateway_reference=charge.id)
        case "pending":
            action = charge.next_action
            next_action = (
                NextAction(type=action.type, url=action.url) if action else NextAction(type="upi_collect")
            )
            return AwaitingCustomer(gateway_reference=charge.id, next_action=next_action)
        case "voided" | "refunded":
            return NotSent(reason="burned")
        case _:
            return InDoubt(reason="unreadable_answer", gateway_reference=charge.id)


def _decline(decline: _Decline) -> Decline:
    meaning = _classify(reason=decline.reason, source=decline.source)
    return meaning.decline(gateway_code=decline.code, gateway_reason=decline.reason)


def _is_burned(answer: Answer) -> bool:
    problem = _read(_problem_decoder, answer)
    return problem is not None and problem.error.code == "reference_burned"


def _read(decoder: msgspec.json.Decoder[T], answer: Answer) -> T | None:
    """None for anything that is not what the decoder is for: a status alone proves nothing."""
    try:
        return decoder.decode(answer.body)
    except (ValueError, RecursionError):  # msgspec's errors and those of UTF-8 are ValueErrors
        return None
