"""What a gateway does when it is asked for a charge: waits, takes effect, answers; or fails as told."""

import asyncio

from msgspec.structs import replace

from infra.gateways.simulator.answering import BROKEN, InFlight, give, refuse_at_once, replaces_the_effect
from infra.gateways.simulator.ledger import Charge, Ledger
from infra.gateways.simulator.outcome import charge_fault, latent, lookup_fails
from infra.gateways.simulator.profile import Profile
from infra.gateways.simulator.wire import (
    ChargeAnswer,
    NextAction,
    Receive,
    Refused,
    Scope,
    Send,
    answer,
    decode_charge_request,
    read_body,
)


class Charges:
    """The simulator's own wire, the charges of every gateway over one ledger."""

    def __init__(self, ledger: Ledger, in_flight: InFlight) -> None:
        self.ledger = ledger
        self._in_flight = in_flight

    async def serve(
        self, profile: Profile, path: list[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """`path` is what follows the name of the gateway."""
        match (scope["method"], *path):
            case ("POST", "charges"):
                with self._in_flight.one_more(profile):
                    await self._create(profile, scope, receive, send)
            case ("GET", "charges", reference):
                await self._look_up(profile, reference, send)
            case ("POST", "charges", reference, "burn"):
                await answer(send, 200, {"status": self.ledger.burn(profile.gateway, reference)})
            case ("POST", "charges", reference, "give-back"):
                await answer(send, 200, {"status": self.ledger.give_back(profile.gateway, reference)})
            case _:
                raise Refused(404, "not_found", "a gateway has no such resource")

    async def _create(self, profile: Profile, scope: Scope, receive: Receive, send: Send) -> None:
        body = decode_charge_request(await read_body(receive))
        request = self.ledger.receive(profile.gateway, body)
        fault = charge_fault(profile, body.reference)
        refuse_at_once(fault)
        fate = latent(profile, body.reference)
        await asyncio.sleep(fate.latency_ms / 1000)
        # From here on nothing awaits until the effect is in the ledger: a client that left changes nothing.
        if await replaces_the_effect(fault, scope, receive):
            return
        content = charge_answer(self.ledger.charge(request, profile, fate))
        wrong = replace(content, amount_minor=content.amount_minor + 100)
        await give(fault, content, scope, receive, send, with_wrong_amount=wrong)

    async def _look_up(self, profile: Profile, reference: str, send: Send) -> None:
        if lookup_fails(profile, reference):
            raise BROKEN
        charge = self.ledger.find(profile.gateway, reference)
        if charge is None or charge.age_ms() < profile.lookup_lag_ms:
            raise Refused(404, "charge_not_found", "nothing is known of this reference")
        await answer(send, 200, charge_answer(charge))


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


def _next_action(charge: Charge) -> NextAction:
    if charge.request.method == "UPI":
        return NextAction(type="upi_intent", url=f"upi://pay?pa=merchant@simulator&tr={charge.id}")
    return NextAction(type="redirect", url=f"https://bank.example/authenticate/{charge.id}")
