"""What Razorpay's answers mean: pure, and the same for a call, a question and a notification."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from infra.gateways.classification import ANYTHING, Meaning, classification
from infra.gateways.http import Answer
from infra.gateways.razorpay.answers import (
    Created,
    Error,
    Metadata,
    Order,
    Payment,
    PaymentStatus,
    Refund,
    decoded,
    problem_decoder,
)
from schemas.charge import Found, NotFound, Unreachable
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

_Word = Annotated[str, Meta(pattern=r"^[A-Za-z_]{1,64}$(?!\n)")]
_classify = classification("razorpay")
_REASONS = frozenset(row.said[0] for row in _classify.rows) - {ANYTHING, "na"}
"""Those that we have heard of: NA is none."""

MISCONFIGURED = Decline(code="configuration_error", blame="caller", retryable=False)
REJECTED = Decline(code="invalid_request", blame="caller", retryable=False)
BUSY = Decline(code="gateway_busy", blame="gateway", retryable=True)
BROKEN = Decline(code="gateway_error", blame="gateway", retryable=True)


def next_action(created: Created) -> NextAction | None:
    """What the customer has to do; None where nothing is left to be done."""
    urls = {step.action: step.url for step in created.next or ()}
    for action, kind in (("intent", "upi_intent"), ("redirect", "redirect")):
        if urls.get(action) is not None:
            return msgspec.convert({"type": kind, "url": urls[action]}, NextAction)
    return NextAction(type="upi_collect") if "poll" in urls else None


def refused(answer: Answer) -> Outcome:
    """Of a payment that was asked for and not created, or so it seems."""
    problem = decoded(problem_decoder, answer.body)
    error = problem.error if problem is not None else None
    payment_id = error.metadata.payment_id if error and isinstance(error.metadata, Metadata) else None
    if answer.status == 429 and payment_id is not None:
        return InDoubt(reason="rate_limited", gateway_reference=payment_id, http_status=429)
    if answer.status == 429:
        return Declined(decline=BUSY)
    if answer.status not in (400, 401, 403, 404, 422):
        return InDoubt(reason="server_error", gateway_reference=payment_id, http_status=answer.status)
    if problem is None or (error is None and problem.message is None):
        return InDoubt(reason="unreadable_answer", http_status=answer.status)
    if payment_id is not None and not _is_heard_of(error):
        return InDoubt(reason="server_error", gateway_reference=payment_id, http_status=answer.status)
    if answer.status in (401, 403):
        return Declined(decline=MISCONFIGURED)
    if error is None or not (error.reason or error.source):
        return Declined(decline=REJECTED)
    meaning = meaning_of(error.reason, error.source, error.step)
    if meaning.certain != "yes":
        return InDoubt(reason="server_error", gateway_reference=payment_id, http_status=answer.status)
    return Declined(
        decline=meaning.decline(gateway_code=_word(error.code), gateway_reason=_word(error.reason)),
        gateway_reference=payment_id,
    )


def _is_heard_of(error: Error | None) -> bool:
    """A payment that there is was not refused at the door, so only a reason that is known says what became of it."""
    return error is not None and (error.reason or "").lower() in _REASONS


def meaning_of(reason: str | None, source: str | None, step: str | None) -> Meaning:
    """Where Razorpay has no word it says NA, nothing, or an empty one."""
    reason, source, step = (word.lower() if word else None for word in (reason, source, step))
    return _classify(reason=reason, source=source, step=step)


def outcome_of(payment: Payment) -> Outcome:
    """As it stands. A failed one has failed for now: the bank may still turn out to have paid."""
    match payment.status:
        case "captured" | "authorized":
            return Succeeded(gateway_reference=payment.id)
        case "created":
            return AwaitingCustomer(gateway_reference=payment.id, next_action=_awaited(payment))
        case "refunded":
            return NotSent(reason="burned")
        case "failed":
            decline = decline_of(payment)
            if decline is None:
                return InDoubt(reason="server_error", gateway_reference=payment.id)
            return Declined(decline=decline, gateway_reference=payment.id)


def decline_of(payment: Payment) -> Decline | None:
    """Why a failed payment failed; None where its reason says that it may not have."""
    meaning = meaning_of(payment.error_reason, payment.error_source, payment.error_step)
    if meaning.certain == "no":
        return None
    return meaning.decline(gateway_code=_word(payment.error_code), gateway_reason=_word(payment.error_reason))


_WEIGHT: dict[PaymentStatus, int] = {"captured": 4, "authorized": 3, "created": 2, "refunded": 1, "failed": 0}


def verdict(orders: Sequence[Order], payments: Sequence[Payment]) -> Found | NotFound:
    """An order may hold several payments: one that was or may be paid counts more than all that were not."""
    if payments:
        decisive = max(payments, key=lambda payment: _WEIGHT[payment.status])
        return Found(
            outcome=outcome_of(decisive),
            amount_minor=decisive.amount,
            currency=decisive.currency,
            needs_capture=decisive.status == "authorized",
        )
    for order in orders:
        if order.is_burned:
            burned = NotSent(reason="burned")
            return Found(outcome=burned, amount_minor=order.amount, currency=order.currency)
    return NotFound()


def missing_of(payment: Payment, refunds: Sequence[Refund]) -> Unreachable | None:
    """Why not all of a payment is back; None where it is."""
    if any(refund.status == "pending" for refund in refunds):
        return Unreachable(reason="refund_pending")
    back = sum(refund.amount for refund in refunds if refund.status == "processed")
    return None if back >= payment.amount else Unreachable(reason="refund_failed")


def _awaited(payment: Payment) -> NextAction:
    """Razorpay tells the address only once, in its answer to the call."""
    if payment.method != "upi":
        return NextAction(type="redirect")
    collects = payment.upi is not None and payment.upi.flow == "collect"
    return NextAction(type="upi_collect" if collects else "upi_intent")


def _word(text: str | None) -> str | None:
    """Only what can be nothing but a name is written down."""
    try:
        return msgspec.convert(text or None, _Word | None)
    except msgspec.ValidationError:
        return None
