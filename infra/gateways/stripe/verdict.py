"""What Stripe's answers mean. https://docs.stripe.com/api/errors, https://docs.stripe.com/payments/intents

Only an answer in Stripe's own shape proves anything. It refuses with a 4xx before any effect, except that 409, and a
429 that speaks of a lock, come from another request with the same key or intent, which may be charging just now.
"""

import re
from collections.abc import Sequence

from infra.gateways.classification import Meaning, classification
from infra.gateways.http import Answer
from infra.gateways.stripe.answers import (
    Intent,
    IntentStatus,
    PaymentError,
    Refund,
    intent_decoder,
    read,
    refusal,
)
from schemas.charge import Charge, Found, GivenBack, GivingBack, LookUp, NotFound, Unreachable
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

NOT_ELIGIBLE = Decline(code="method_not_eligible", blame="caller", retryable=True)
_NO_ACCESS = Decline(code="configuration_error", blame="caller", retryable=False)
_BUSY = Decline(code="gateway_busy", blame="gateway", retryable=True)

_NEARNESS: dict[IntentStatus, int] = {
    "requires_payment_method": 0,
    "requires_confirmation": 0,
    "canceled": 1,
    "requires_action": 2,
    "processing": 2,
    "requires_capture": 3,
    "succeeded": 4,
}
_WITHOUT_MONEY = ("requires_payment_method", "requires_confirmation", "canceled")

_classify = classification("stripe")
_WORD = re.compile(r"[a-z_]{1,64}")


def charged(answer: Answer, charge: Charge) -> Outcome:
    """The outcome of creating and confirming the intent."""
    if answer.status == 409 or answer.status >= 500:
        return InDoubt(reason="server_error", http_status=answer.status)
    if answer.status != 200:
        return _refused(answer)
    intent = read(intent_decoder, answer)
    if intent is None:
        return InDoubt(reason="unreadable_answer", http_status=answer.status)
    said = (intent.attempt_id, intent.amount, intent.taken_minor, intent.currency.upper())
    if said != (charge.attempt_id, charge.amount_minor, charge.amount_minor, charge.currency):
        return InDoubt(reason="mismatched_answer", gateway_reference=intent.id)
    if intent.status == "requires_capture":
        # We asked for the money, and this is only a hold on it: verification captures it.
        return InDoubt(reason="processing", gateway_reference=intent.id)
    return outcome_of(intent)


def verdict(intents: Sequence[Intent]) -> LookUp:
    """What the intents of one attempt come to. The one nearest to our having the money says it."""
    if not intents:
        return NotFound()
    intent = max(intents, key=lambda one: (not one.is_refunded, _NEARNESS[one.status]))
    return Found(
        outcome=outcome_of(intent),
        amount_minor=intent.taken_minor,
        currency=intent.currency.upper(),
        needs_capture=intent.status == "requires_capture",
    )


def outcome_of(intent: Intent) -> Outcome:
    match intent.status:
        case "succeeded" if intent.is_refunded:
            return NotSent(reason="burned")
        case "succeeded" | "requires_capture":
            return Succeeded(gateway_reference=intent.id)
        case "requires_action":
            url = None if intent.next_action is None else intent.next_action.url
            action = NextAction(type="redirect", url=url)
            return AwaitingCustomer(gateway_reference=intent.id, next_action=action)
        case "processing":
            return InDoubt(reason="processing", gateway_reference=intent.id)
        case "requires_payment_method" if intent.last_payment_error is not None:
            decline = decline_of(intent.last_payment_error)
            return Declined(decline=decline, gateway_reference=intent.id)
        case "canceled":
            return NotSent(reason="burned")
        case "requires_payment_method" | "requires_confirmation":
            return InDoubt(reason="unreadable_answer", gateway_reference=intent.id)


def given_back(intent: Intent, refunds: Sequence[Refund]) -> GivingBack:
    """Of an intent that succeeded, once all of it is back."""
    if any(refund.status in ("pending", "requires_action") for refund in refunds):
        return Unreachable(reason="refund_pending")
    back = sum(refund.amount for refund in refunds if refund.status == "succeeded")
    return GivenBack(by="refund") if back >= intent.taken_minor else Unreachable(reason="refund_failed")


def _refused(answer: Answer) -> Outcome:
    error = refusal(answer)
    if error is None:
        return InDoubt(reason="unreadable_answer", http_status=answer.status)
    if error.type == "idempotency_error":
        return NotSent(reason="burned")  # we use a key again for nothing but burning it
    intent = error.payment_intent
    reference = None if intent is None else intent.id
    if intent is not None and intent.status not in _WITHOUT_MONEY:
        return InDoubt(reason="mismatched_answer", gateway_reference=reference)
    match answer.status:
        case 401 | 403:
            return Declined(decline=_NO_ACCESS)
        case 429 if error.code == "lock_timeout":
            return InDoubt(reason="rate_limited", gateway_reference=reference)
        case 429:
            return Declined(decline=_BUSY)
        case _ if not _proves_nothing_was_taken(error):
            return InDoubt(reason="server_error", gateway_reference=reference, http_status=answer.status)
        case _:
            return Declined(decline=decline_of(error), gateway_reference=reference)


def decline_of(error: PaymentError) -> Decline:
    return _meaning(error).decline(gateway_code=_word(error.code), gateway_reason=_word(error.decline_code))


def _proves_nothing_was_taken(error: PaymentError) -> bool:
    intent = error.payment_intent
    has_failed = intent is not None and intent.status == "requires_payment_method"
    return _meaning(error).certain == "yes" or (_meaning(error).certain == "once_failed" and has_failed)


def _meaning(error: PaymentError) -> Meaning:
    return _classify(decline_code=error.decline_code, error_code=error.code, type=error.type)


def _word(text: str | None) -> str | None:
    """What goes on the log for ever is a word of Stripe's, or nothing."""
    return text if text is not None and _WORD.fullmatch(text) else None
