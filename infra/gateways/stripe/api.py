"""Stripe's calls with our key, each of them bounded, and none of them tried twice."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from infra.gateways.http import Answer, GatewayHttp
from infra.gateways.stripe.answers import (
    Intent,
    intent_decoder,
    page_decoder,
    read,
    refund_decoder,
    refunds_decoder,
    refusal,
)
from infra.gateways.stripe.requests import refund_form, search_query
from infra.gateways.stripe.verdict import given_back
from schemas.charge import GivenBack, GivingBack, Unreachable
from schemas.ids import AttemptId
from schemas.outcome import InDoubt, NotSent

Reply = Answer | NotSent | InDoubt

VERSION = "2026-08-26.dahlia"
"""Stripe answers in the shapes of this version, whatever the account's own is."""
CALL_TIMEOUT_MS = 2_000
"""Of each call but the charge, which brings its own."""
INTENTS = "/v1/payment_intents"
REFUNDS = "/v1/refunds"
WITH_CHARGE: Mapping[str, str] = {"expand[0]": "latest_charge"}
NOTHING: Mapping[str, str] = {}

_INTENT_ID = re.compile(r"pi_[A-Za-z0-9]{1,64}")
"""What is known may be what a person wrote."""


class StripeApi:
    def __init__(self, http: GatewayHttp, secret_key: str) -> None:
        self._http = http
        self._headers = {
            "authorization": f"Bearer {secret_key}",
            "stripe-version": VERSION,
            "content-type": "application/x-www-form-urlencoded",
        }

    async def create(
        self,
        fields: Mapping[str, str],
        key: str,
        timeout_ms: int = CALL_TIMEOUT_MS,
        may_send: Callable[[], bool] = lambda: True,
    ) -> Reply:
        """An intent under our key: asked again with the same fields, Stripe says again what it said first."""
        return await self._post(INTENTS, fields, key, timeout_ms, may_send)

    async def intents(self, reference: AttemptId, known: str | None) -> list[Intent] | Unreachable:
        """Those of an attempt, as they are now: what a search shows may be a minute old."""
        if known is None or not _INTENT_ID.fullmatch(known):
            return await self._searched(reference)
        answer = await self._get(f"{INTENTS}/{known}", WITH_CHARGE)
        intent = read(intent_decoder, answer)
        if intent is not None and intent.attempt_id == reference:
            return [intent]
        is_not_it = intent is not None or (isinstance(answer, Answer) and answer.status == 404)
        return await self._searched(reference) if is_not_it else unreachable(answer)

    async def _searched(self, reference: AttemptId) -> list[Intent] | Unreachable:
        answer = await self._get(f"{INTENTS}/search", search_query(reference))
        page = read(page_decoder, answer)
        if page is None:
            return unreachable(answer)
        intents = []
        for found in page.data:
            intent = _intent(await self._get(f"{INTENTS}/{found.id}", WITH_CHARGE))
            if isinstance(intent, Unreachable):
                return intent
            if intent.attempt_id == reference:
                intents.append(intent)
        return intents

    async def cancel(self, intent_id: str) -> Intent | Unreachable:
        """The intent as it is then: the refusal holds it too, when it is paid or cancelled already."""
        answer = await self._post(f"{INTENTS}/{intent_id}/cancel", NOTHING)
        error = refusal(answer)
        if error is not None and error.payment_intent is not None:
            return error.payment_intent
        return _intent(answer)

    async def capture(self, intent_id: str) -> Intent | Unreachable:
        return _intent(
            await self._post(f"{INTENTS}/{intent_id}/capture", NOTHING, key=f"capture-{intent_id}")
        )

    async def refund(self, intent: Intent, reference: AttemptId) -> GivingBack:
        """Asked for again by its key, Stripe answers as it did at first: what became of it is in the list."""
        answer = await self._post(REFUNDS, refund_form(intent.id, reference), key=f"refund-{intent.id}")
        error = refusal(answer)
        is_there_already = error is not None and error.code == "charge_already_refunded"
        refund = read(refund_decoder, answer)
        if refund is not None and refund.status == "succeeded":
            return GivenBack(by="refund")
        return await self.refunded(intent) if refund or is_there_already else unreachable(answer)

    async def refunded(self, intent: Intent) -> GivingBack:
        """A charge counts as refunded while its refund is pending, which may still fail."""
        answer = await self._get(REFUNDS, {"payment_intent": intent.id, "limit": "100"})
        found = read(refunds_decoder, answer)
        return unreachable(answer) if found is None else given_back(intent, found.data)

    async def _get(self, path: str, query: Mapping[str, str]) -> Reply:
        return await self._http.call(
            "GET", f"{path}?{urlencode(query)}", headers=self._headers, timeout_ms=CALL_TIMEOUT_MS
        )

    async def _post(
        self,
        path: str,
        fields: Mapping[str, str],
        key: str | None = None,
        timeout_ms: int = CALL_TIMEOUT_MS,
        may_send: Callable[[], bool] = lambda: True,
    ) -> Reply:
        return await self._http.call(
            "POST",
            path,
            body=urlencode(fields).encode(),
            headers=self._headers if key is None else self._headers | {"idempotency-key": key},
            timeout_ms=timeout_ms,
            may_send=may_send,
        )


def unreachable(answer: Reply) -> Unreachable:
    if not isinstance(answer, Answer):
        return Unreachable(reason=answer.reason)
    return Unreachable(reason="unreadable_answer" if answer.status == 200 else f"status {answer.status}")


def _intent(answer: Reply) -> Intent | Unreachable:
    return read(intent_decoder, answer) or unreachable(answer)
