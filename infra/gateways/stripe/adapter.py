"""The adapter for Stripe: an intent per attempt, created and confirmed in one call, under our reference as its key.

Stripe has no way to fetch an intent by the key it was created under. One whose id is known is fetched by it; another
is searched for by its metadata, and the search may be a minute behind: `lookup_lag_ms` of the configuration must say
so. Merchants in India have no search: an intent of theirs is found once an answer or a notification has named it.
All else may be asked again: by its key, or because it is so already.
"""

from collections.abc import Callable
from typing import Literal

from infra.gateways.http import Answer, GatewayHttp
from infra.gateways.stripe.answers import Intent, intent_decoder, read, refusal
from infra.gateways.stripe.api import StripeApi, unreachable
from infra.gateways.stripe.requests import burn_form, charge_form
from infra.gateways.stripe.verdict import NOT_ELIGIBLE, charged, verdict
from schemas.charge import (
    Burned,
    Burning,
    Capture,
    Captured,
    Charge,
    GivenBack,
    GivingBack,
    InUse,
    LookUp,
    Reference,
    Unreachable,
)
from schemas.ids import AttemptId
from schemas.outcome import Declined, Outcome


class StripeGateway:
    def __init__(self, http: GatewayHttp, *, secret_key: str, return_url: str) -> None:
        self._api = StripeApi(http, secret_key)
        self._return_url = return_url

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        fields = charge_form(charge, self._return_url)
        if fields is None:
            return Declined(decline=NOT_ELIGIBLE)
        answer = await self._api.create(fields, charge.attempt_id, charge.timeout_ms, may_send)
        return charged(answer, charge) if isinstance(answer, Answer) else answer

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        intents = await self._api.intents(reference, known)
        return intents if isinstance(intents, Unreachable) else verdict(intents)

    async def burn(self, reference: Reference) -> Burning:
        """Stripe compares what comes under a key with what came first, so whoever was first has it for good: a charge,
        or an intent that nobody can pay. It forgets a key after 24 h; a sender's window ends long before."""
        answer = await self._api.create(burn_form(reference), reference.attempt_id)
        error = refusal(answer)
        if error is not None and error.type == "idempotency_error":
            return InUse()
        unpayable = read(intent_decoder, answer)
        if unpayable is None:
            return unreachable(answer)
        cancelled = await self._api.cancel(unpayable.id)
        if isinstance(cancelled, Unreachable):
            return cancelled
        return Burned() if cancelled.status == "canceled" else Unreachable(reason=cancelled.status)

    async def capture(self, reference: AttemptId, known: str | None = None) -> Capture:
        intents = await self._api.intents(reference, known)
        if isinstance(intents, Unreachable):
            return intents
        for intent in intents:
            if intent.status == "succeeded" and not intent.is_refunded:
                return Captured()
            if intent.status == "requires_capture":
                return await self._capture(intent)
        return Unreachable(reason="nothing to capture")

    async def _capture(self, intent: Intent) -> Capture:
        captured = await self._api.capture(intent.id)
        if isinstance(captured, Unreachable):
            return captured
        return Captured() if captured.status == "succeeded" else Unreachable(reason=captured.status)

    async def give_back(self, reference: AttemptId, known: str | None = None) -> GivingBack:
        intents = await self._api.intents(reference, known)
        if isinstance(intents, Unreachable):
            return intents
        by: Literal["void", "refund"] | None = None
        for intent in intents:
            if intent.status == "requires_payment_method":
                continue
            given_back = await self._give_back(intent, reference)
            if isinstance(given_back, Unreachable):
                return given_back
            by = "refund" if "refund" in (by, given_back.by) else "void"
        return Unreachable(reason="nothing to give back") if by is None else GivenBack(by=by)

    async def _give_back(self, intent: Intent, reference: AttemptId) -> GivingBack:
        if intent.status not in ("succeeded", "canceled"):
            cancelled = await self._api.cancel(intent.id)
            if isinstance(cancelled, Unreachable):
                return cancelled
            intent = cancelled
        match intent.status:
            case "canceled":
                return GivenBack(by="void")
            case "succeeded" if intent.is_refunded:
                return await self._api.refunded(intent)
            case "succeeded":
                return await self._api.refund(intent, reference)
            case status:
                return Unreachable(reason=status)
