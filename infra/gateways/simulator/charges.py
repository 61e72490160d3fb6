"""What a gateway does when it is asked for a charge: waits, takes effect, answers; or fails as told."""

import asyncio
from collections import Counter

from msgspec.structs import replace

from infra.gateways.simulator import faults
from infra.gateways.simulator.ledger import Charge, Ledger
from infra.gateways.simulator.outcome import charge_fault, latent, lookup_fails
from infra.gateways.simulator.profile import FaultKind, Profile
from infra.gateways.simulator.wire import (
    HTML,
    ChargeAnswer,
    NextAction,
    Receive,
    Refused,
    Scope,
    Send,
    answer,
    answer_bytes,
    decode_charge_request,
    encode,
    read_body,
)

GARBAGE = b"<!doctype html><title>Welcome</title><h1>It works!</h1>"
BROKEN = Refused(500, "server_error", "the gateway is broken")


class Charges:
    """The charges of every gateway over one ledger. `in_flight` counts those being worked on, by gateway."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.in_flight: Counter[str] = Counter()

    async def create(self, profile: Profile, scope: Scope, receive: Receive, send: Send) -> None:
        if profile.capacity is not None and self.in_flight[profile.gateway] >= profile.capacity:
            raise Refused(429, "too_many_requests", f"{profile.capacity} charges are in flight")
        self.in_flight[profile.gateway] += 1
        try:
            await self._create(profile, scope, receive, send)
        finally:
            self.in_flight[profile.gateway] -= 1

    async def _create(self, profile: Profile, scope: Scope, receive: Receive, send: Send) -> None:
        body = decode_charge_request(await read_body(receive))
        request = self.ledger.receive(profile.gateway, body)
        fault = charge_fault(profile, body.reference)
        _refuse_at_once(fault)
        fate = latent(profile, body.reference)
        await asyncio.sleep(fate.latency_ms / 1000)
        # From here on nothing awaits until the effect is in the ledger: a client that left changes nothing.
        match fault:
            case "error_500_before_effect":
                raise BROKEN
            case "timeout_before_effect":
                await faults.stay_silent(scope, receive)
            case "reset_before_effect":
                await faults.reset(scope, receive)
            case _:
                charge = self.ledger.charge(request, profile, fate)
                await _answer(fault, charge, scope, receive, send)

    async def look_up(self, profile: Profile, reference: str, send: Send) -> None:
        if lookup_fails(profile, reference):
            raise BROKEN
        charge = self.ledger.find(profile.gateway, reference)
        if charge is None or charge.age_ms() < profile.lookup_lag_ms:
            raise Refused(404, "charge_not_found", "nothing is known of this reference")
        await answer(send, 200, charge_answer(charge))

    async def burn(self, profile: Profile, reference: str, send: Send) -> None:
        await answer(send, 200, {"status": self.ledger.burn(profile.gateway, reference)})

    async def give_back(self, profile: Profile, reference: str, send: Send) -> None:
        await answer(send, 200, {"status": self.ledger.give_back(profile.gateway, reference)})


def charge_answer(charge: Charge) -> ChargeAnswer:
    request = charge.request
    return ChargeAnswer(
        id=charge.id,
        reference=request.reference,
        status=charge.status,
        amount_minor=request.amount_minor,
        currency=request.currency,
        decline=charge.decline,
        next_action=_next_action(charge) if charge.status == "pending" else None,
    )


def _refuse_at_once(fault: FaultKind | None) -> None:
    if fault == "rate_limited_429":
        raise Refused(429, "too_many_requests", "the gateway limits its callers")
    if fault == "unavailable_503_before_effect":
        raise Refused(503, "unavailable", "the gateway is away")


async def _answer(
    fault: FaultKind | None, charge: Charge, scope: Scope, receive: Receive, send: Send
) -> None:
    content = charge_answer(charge)
    match fault:
        case "effect_then_500":
            raise BROKEN
        case "effect_then_timeout":
            await faults.stay_silent(scope, receive)
        case "effect_then_reset":
            await faults.reset(scope, receive)
        case "slow_drip":
            await faults.drip(scope, receive, send, encode(content))
        case "truncated_body":
            await faults.truncate(scope, receive, send, encode(content))
        case "garbage_body":
            await answer_bytes(send, 200, GARBAGE, HTML)
        case "empty_200":
            await answer(send, 200, {"status": "failed", "id": None})
        case "wrong_amount":
            await answer(send, 200, replace(content, amount_minor=content.amount_minor + 100))
        case _:
            await answer(send, 200, content)


def _next_action(charge: Charge) -> NextAction:
    if charge.request.method == "UPI":
        return NextAction(type="upi_intent", url=f"upi://pay?pa=merchant@simulator&tr={charge.id}")
    return NextAction(type="redirect", url=f"https://bank.example/authenticate/{charge.id}")
