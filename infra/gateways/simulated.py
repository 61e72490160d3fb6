"""The adapter that speaks the simulator's wire: one JSON exchange per charge, by our own reference."""

from collections.abc import Callable
from typing import Literal

import msgspec

from infra.gateways.http import Answer, GatewayHttp
from schemas.base import Value
from schemas.charge import Cancelled, Charge, Compensation, Found, LookUp, NotFound, Refunded, Unreachable
from schemas.ids import AttemptId
from schemas.outcome import (
    AwaitingCustomer,
    Blame,
    Decline,
    Declined,
    InDoubt,
    NextAction,
    NotSent,
    Outcome,
    Succeeded,
)

LOOK_UP_TIMEOUT_MS = 2_000

BLAME_BY_SOURCE: dict[str, Blame] = {
    "customer": "customer",
    "customer_psp": "customer",
    "business": "caller",
    "internal": "gateway",
    "gateway": "gateway",
    "network": "gateway",
    "issuer_bank": "issuer",
}
BLAME_BY_REASON: dict[str, Blame] = {"payment_risk_check_failed": "risk", "compliance_violation": "risk"}


class _Decline(Value, frozen=True, kw_only=True):
    code: str
    source: str
    reason: str


class _Charge(Value, frozen=True, kw_only=True):
    id: str
    reference: str
    status: Literal["captured", "declined", "pending", "voided", "refunded"]
    amount_minor: int
    currency: str
    decline: _Decline | None = None
    next_action: NextAction | None = None


class _Status(Value, frozen=True, kw_only=True):
    status: str


_charge_decoder = msgspec.json.Decoder(_Charge)
_status_decoder = msgspec.json.Decoder(_Status)
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

    async def look_up(self, reference: AttemptId) -> LookUp:
        answer = await self._http.call("GET", f"/charges/{reference}", timeout_ms=LOOK_UP_TIMEOUT_MS)
        if not isinstance(answer, Answer):
            return Unreachable(reason=answer.reason)
        if answer.status == 404:
            return NotFound()
        charge = _decoded(answer)
        if charge is None or charge.reference != reference:
            return Unreachable(reason="unreadable_answer")
        return Found(outcome=_found(charge), amount_minor=charge.amount_minor, currency=charge.currency)

    async def cancel(self, reference: AttemptId) -> Compensation:
        status = await self._settle(reference, "cancel")
        return status if isinstance(status, Unreachable) else Cancelled(was_charged=status == "voided")

    async def refund(self, reference: AttemptId) -> Compensation:
        status = await self._settle(reference, "refund")
        return status if isinstance(status, Unreachable) else Refunded()

    async def _settle(self, reference: AttemptId, how: str) -> str | Unreachable:
        """Both are idempotent at the gateway, so that an answer that was lost may be asked for again."""
        answer = await self._http.call(
            "POST", f"/charges/{reference}/{how}", body=b"{}", timeout_ms=LOOK_UP_TIMEOUT_MS
        )
        if not isinstance(answer, Answer):
            return Unreachable(reason=answer.reason)
        if answer.status != 200:
            return Unreachable(reason=f"status {answer.status}")
        try:
            return _status_decoder.decode(answer.body).status
        except msgspec.DecodeError:
            return Unreachable(reason="unreadable_answer")


def _outcome(answer: Answer, charge: Charge) -> Outcome:
    if answer.status == 429:
        return Declined(decline=_BUSY)  # on this wire always before any effect
    if answer.status in (400, 401, 403, 404, 422):
        return Declined(decline=_REJECTED)
    if answer.status != 200:
        return InDoubt(reason="server_error", http_status=answer.status)
    found = _decoded(answer)
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
            action = charge.next_action or NextAction(type="upi_collect")
            return AwaitingCustomer(gateway_reference=charge.id, next_action=action)
        case "voided" | "refunded":
            return NotSent(reason="burned")
        case _:
            return InDoubt(reason="unreadable_answer", gateway_reference=charge.id)


def _decline(decline: _Decline) -> Decline:
    blame = BLAME_BY_REASON.get(decline.reason) or BLAME_BY_SOURCE.get(decline.source, "gateway")
    return Decline(
        code=decline.reason,
        blame=blame,
        retryable=blame in ("gateway", "issuer"),
        gateway_code=decline.code,
        gateway_reason=decline.reason,
    )


def _decoded(answer: Answer) -> _Charge | None:
    """None for anything but a charge with an id: a 200 alone proves nothing."""
    try:
        charge = _charge_decoder.decode(answer.body)
    except msgspec.DecodeError:
        return None
    return charge if charge.id else None
