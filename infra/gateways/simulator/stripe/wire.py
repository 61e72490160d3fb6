"""Stripe's paths under `/<gateway>/v1`."""

import asyncio
import hashlib
import re
from typing import Any
from urllib.parse import parse_qsl

from msgspec.structs import replace

from infra.gateways.simulator.answering import BROKEN, InFlight, give, refuse_at_once, replaces_the_effect
from infra.gateways.simulator.ledger import Charge, Ledger
from infra.gateways.simulator.outcome import Latent, charge_fault, latent, lookup_fails
from infra.gateways.simulator.profile import Profile
from infra.gateways.simulator.stripe.bodies import (
    IntentRequest,
    Nothing,
    RefundRequest,
    Rejected,
    card_error,
    decoded,
    in_stripes_words,
    searched_attempt,
)
from infra.gateways.simulator.stripe.entities import (
    Unconfirmed,
    intent_entity,
    refund_entity,
    unconfirmed_entity,
)
from infra.gateways.simulator.stripe.replays import Replays, Stored
from infra.gateways.simulator.wire import (
    ChargeRequest,
    Receive,
    Refused,
    Scope,
    Send,
    answer,
    header,
    read_body,
)

KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
CANCELLABLE = ("pending", "authorized", "declined")


class StripeWire:
    def __init__(self, ledger: Ledger, in_flight: InFlight) -> None:
        self._ledger = ledger
        self._in_flight = in_flight
        self._replays = Replays()
        self._charges: dict[tuple[str, str], Charge] = {}
        self._unconfirmed: dict[tuple[str, str], Unconfirmed] = {}

    def clear(self) -> None:
        self._replays.clear()
        self._charges.clear()
        self._unconfirmed.clear()

    async def serve(
        self, profile: Profile, path: list[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """`path` is what follows the name of the gateway."""
        try:
            _authenticate(profile, scope)
            await self._serve(profile, path, scope, receive, send)
        except Refused as refused:
            raise in_stripes_words(refused) from None

    async def _serve(
        self, profile: Profile, path: list[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        gateway = profile.gateway
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        match (scope["method"], *path):
            case ("POST", "v1", "payment_intents"):
                with self._in_flight.one_more(profile):
                    await self._create(profile, scope, receive, send)
            case ("GET", "v1", "payment_intents", "search"):
                await answer(send, 200, self._search(profile, searched_attempt(query)))
            case ("GET", "v1", "payment_intents", intent_id):
                is_expanded = query.get("expand[0]") == "latest_charge"
                await answer(send, 200, self._retrieve(gateway, intent_id, is_expanded=is_expanded))
            case ("POST", "v1", "payment_intents", intent_id, "cancel"):
                decoded(Nothing, await read_body(receive))
                await answer(send, 200, self._cancel(gateway, intent_id))
            case ("POST", "v1", "payment_intents", intent_id, "capture"):
                decoded(Nothing, body := await read_body(receive))
                with self._replays.holding(gateway, _key(scope), body + intent_id.encode()) as stored:
                    content = stored.once(lambda: self._capture(gateway, intent_id))
                await answer(send, 200, content)
            case ("POST", "v1", "refunds"):
                request = decoded(RefundRequest, body := await read_body(receive))
                with self._replays.holding(gateway, _key(scope), body) as stored:
                    content = stored.once(lambda: self._refund(profile, request))
                await answer(send, 200, content)
            case ("GET", "v1", "refunds"):
                await answer(send, 200, self._refunds(profile, query.get("payment_intent", "")))
            case _:
                raise Rejected(404, "invalid_request_error")

    async def _create(self, profile: Profile, scope: Scope, receive: Receive, send: Send) -> None:
        request = decoded(IntentRequest, body := await read_body(receive))
        key = _key(scope)
        with self._replays.holding(profile.gateway, key, body) as stored:
            if request.confirm:
                await self._confirm(profile, key, request, stored, scope, receive, send)
                return
            content = stored.once(lambda: self._burn(profile.gateway, key, request))
        await answer(send, 200, content)

    async def _confirm(
        self,
        profile: Profile,
        key: str,
        request: IntentRequest,
        stored: Stored,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        if not request.is_payable or request.metadata != {"attempt_id": key}:
            raise Rejected(400, "invalid_request_error", "parameter_missing")
        asked = self._ledger.receive(profile.gateway, _as_charge(key, request))
        fault = charge_fault(profile, key)
        refuse_at_once(fault)
        fate = _fate(profile, key, request)
        await asyncio.sleep(fate.latency_ms / 1000)
        # From here on nothing awaits until the effect is in the ledger: a client that left changes nothing.
        if await replaces_the_effect(fault, scope, receive):
            return
        charge = self._ledger.charge(asked, profile, fate)
        if stored.content is None:
            self._charges[profile.gateway, charge.id] = charge
            stored.keep(*_created(charge))
        wrong = intent_entity(charge)
        wrong["amount"] += 100
        await give(fault, stored.content, scope, receive, send, with_wrong_amount=wrong, status=stored.status)

    def _burn(self, gateway: str, key: str, request: IntentRequest) -> dict[str, Any]:
        """Under the key of an intent that was not confirmed nothing can be charged any more."""
        self._ledger.burn(gateway, key)
        digest = hashlib.blake2b(f"{gateway}/{key}".encode(), digest_size=12).hexdigest()
        intent = Unconfirmed(id=f"pi_{digest}", request=request)
        self._unconfirmed[gateway, intent.id] = intent
        return unconfirmed_entity(intent)

    def _search(self, profile: Profile, attempt: str) -> dict[str, Any]:
        if lookup_fails(profile, attempt):
            raise BROKEN
        charge = self._ledger.find(profile.gateway, attempt)
        is_known = charge is not None and charge.age_ms() >= profile.lookup_lag_ms
        data = [intent_entity(charge)] if charge is not None and is_known else []
        return {"object": "search_result", "data": data, "has_more": False}

    def _retrieve(self, gateway: str, intent_id: str, *, is_expanded: bool = False) -> dict[str, Any]:
        unconfirmed = self._unconfirmed.get((gateway, intent_id))
        if unconfirmed is not None:
            return unconfirmed_entity(unconfirmed)
        return intent_entity(self._charge(gateway, intent_id), is_expanded=is_expanded)

    def _cancel(self, gateway: str, intent_id: str) -> dict[str, Any]:
        unconfirmed = self._unconfirmed.get((gateway, intent_id))
        if unconfirmed is not None and not unconfirmed.is_cancelled:
            unconfirmed.is_cancelled = True
        elif unconfirmed is None and self._charge(gateway, intent_id).status in CANCELLABLE:
            self._ledger.settle(self._charge(gateway, intent_id), "voided")
        else:
            raise self._unexpected_state(gateway, intent_id)
        return self._retrieve(gateway, intent_id)

    def _capture(self, gateway: str, intent_id: str) -> dict[str, Any]:
        charge = self._charge(gateway, intent_id)
        if charge.status != "authorized":
            raise self._unexpected_state(gateway, intent_id)
        self._ledger.settle(charge, "captured")
        return intent_entity(charge)

    def _refund(self, profile: Profile, request: RefundRequest) -> dict[str, Any]:
        charge = self._charge(profile.gateway, request.payment_intent)
        if charge.status == "refunded":
            raise Rejected(400, "invalid_request_error", "charge_already_refunded")
        if charge.status != "captured":
            raise Rejected(400, "invalid_request_error")
        self._ledger.settle(charge, "refunded")
        return refund_entity(charge, profile.refund_pending_ms)

    def _refunds(self, profile: Profile, intent_id: str) -> dict[str, Any]:
        charge = self._charge(profile.gateway, intent_id)
        refunds = [refund_entity(charge, profile.refund_pending_ms)] if charge.status == "refunded" else []
        return {"object": "list", "data": refunds, "has_more": False}

    def _charge(self, gateway: str, intent_id: str) -> Charge:
        charge = self._charges.get((gateway, intent_id))
        if charge is None:
            raise Rejected(404, "invalid_request_error", "resource_missing")
        return self._ledger.refreshed(charge)

    def _unexpected_state(self, gateway: str, intent_id: str) -> Rejected:
        intent = self._retrieve(gateway, intent_id)
        return Rejected(
            400, "invalid_request_error", "payment_intent_unexpected_state", payment_intent=intent
        )


def _authenticate(profile: Profile, scope: Scope) -> None:
    if profile.credentials not in (None, (header(scope, "authorization") or "").removeprefix("Bearer ")):
        raise Rejected(401, "invalid_request_error")


def _key(scope: Scope) -> str:
    """Stripe can do without; here it is the reference that the ledger knows a charge by."""
    key = header(scope, "idempotency-key")
    if key is None or KEY.fullmatch(key) is None:
        raise Rejected(400, "invalid_request_error", "parameter_invalid")
    return key


def _fate(profile: Profile, key: str, request: IntentRequest) -> Latent:
    """All but a card asks the customer."""
    fate = latent(profile, key)
    return replace(
        fate,
        charge_id=f"pi_{fate.charge_id.removeprefix('ch_')[:24]}",
        awaits_customer=request.type != "card" or fate.awaits_customer,
    )


def _as_charge(key: str, request: IntentRequest) -> ChargeRequest:
    return ChargeRequest(
        reference=key,
        amount_minor=request.amount,
        currency=request.currency.upper(),
        method=(request.type or "").upper(),
        instrument={"payment_method": request.payment_method, "return_url": request.return_url},
    )


def _created(charge: Charge) -> tuple[int, dict[str, Any]]:
    intent = intent_entity(charge)
    if charge.status == "declined" and charge.decline is not None:
        return 402, {"error": card_error(charge.decline) | {"payment_intent": intent}}
    return 200, intent
