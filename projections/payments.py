"""The read model of a payment, folded from its events in offset order.

Any subset of a decision's events may be what is on the log, so each event is read by itself: an outcome makes the
attempt it belongs to, a success settles the payment whose request never arrived. No rules are here; all was decided.
"""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from schemas.base import Event
from schemas.envelope import Envelope, Recorded
from schemas.ids import AttemptId, GatewayId, PaymentId, minted_at
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptStarted,
    AttemptSucceeded,
    ChargeCompensated,
    ExperimentAssigned,
    LateSuccessDetected,
    PaymentFailed,
    PaymentHandedOver,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
    ReviewRequested,
    ReviewSettled,
    VerificationPerformed,
)
from schemas.views import AttemptStatus, AttemptView, PaymentHistory, PaymentView, RoutingDecisionView

_TERMINAL = ("SUCCEEDED", "DECLINED", "NOT_SENT")
_REVIEW_VERDICTS: dict[str, AttemptStatus] = {
    "succeeded": "SUCCEEDED",
    "declined": "DECLINED",
    "not_sent": "NOT_SENT",
}


def evolve(history: PaymentHistory | None, recorded: Recorded[Event]) -> PaymentHistory:
    """The history with one more record. A payment with sequence 0 has only void records: it does not exist."""
    envelope = recorded.envelope
    if history is None:
        history = _nothing_yet(PaymentId(envelope.aggregate_id))
    offsets = (*history.payment.offsets, recorded.position.offset)
    if recorded.is_void:
        return _with(history, offsets=offsets)
    history = _told(history, recorded)
    payment = history.payment
    changes: dict[str, Any] = {"offsets": offsets, "updated_at": envelope.at}
    if envelope.sequence > payment.sequence:
        changes["sequence"] = envelope.sequence
    if envelope.epoch > payment.epoch:
        changes["epoch"] = envelope.epoch
        changes["owned_until_ms"] = envelope.window.valid_until_ms
        changes["handed_over"] = False
    if envelope.epoch >= payment.epoch and isinstance(recorded.event, PaymentHandedOver):
        changes["owned_until_ms"] = recorded.stamp_ms
        changes["handed_over"] = True
    return _with(history, **changes)


def _told(history: PaymentHistory, recorded: Recorded[Event]) -> PaymentHistory:
    """What the event says, whoever wrote it and whenever."""
    payment, envelope = history.payment, recorded.envelope
    match recorded.event:
        case PaymentRequested() as event if payment.order is None:
            return _with(
                history,
                order=event.order,
                key_hash=event.key_hash,
                fingerprint=event.fingerprint,
                created_at=event.requested_at,
            )
        case ExperimentAssigned() as event:
            return _with(history, experiment_id=event.experiment_id, variant=event.variant)
        case PaymentRouted() as event:
            return _routed(history, event, envelope)
        case AttemptStarted() as event:
            return _started(history, event)
        case AttemptSucceeded() as event:
            return _outcome(
                history,
                envelope,
                event.attempt_id,
                event.gateway,
                "SUCCEEDED",
                gateway_reference=event.gateway_reference,
                latency_ms=event.latency_ms,
                verified=event.verified,
            )
        case AttemptDeclined() as event:
            return _outcome(
                history,
                envelope,
                event.attempt_id,
                event.gateway,
                "DECLINED",
                decline=event.decline,
                gateway_reference=event.gateway_reference,
                latency_ms=event.latency_ms,
                verified=event.verified,
            )
        case AttemptNotSent() as event:
            return _outcome(
                history,
                envelope,
                event.attempt_id,
                event.gateway,
                "NOT_SENT",
                detail=event.reason,
                latency_ms=event.latency_ms,
                verified=event.verified,
            )
        case AttemptAwaitingCustomer() as event:
            history = _outcome(
                history,
                envelope,
                event.attempt_id,
                event.gateway,
                "AWAITING_CUSTOMER",
                gateway_reference=event.gateway_reference,
                latency_ms=event.latency_ms,
            )
            awaits = history.payment.status == "AWAITING_CUSTOMER"
            return _with(history, next_action=event.next_action) if awaits else history
        case AttemptInDoubt() as event:
            return _outcome(
                history,
                envelope,
                event.attempt_id,
                event.gateway,
                "IN_DOUBT",
                detail=event.reason,
                gateway_reference=event.gateway_reference,
                latency_ms=event.latency_ms,
            )
        case PaymentSucceeded() as event:
            return _succeeded(_certain(history, envelope, event), event, envelope)
        case PaymentFailed() as event if payment.status not in ("SUCCESS", "FAILURE"):
            return _with(
                history,
                status="FAILURE",
                failure=event.failure,
                next_action=None,
                latency_ms=_since_request(payment, envelope),
            )
        case ReviewRequested() as event:
            history = _in_review(history, event.unsettled)
            is_open = payment.status not in ("SUCCESS", "FAILURE")
            return _with(history, status="NEEDS_REVIEW", next_action=None) if is_open else history
        case VerificationPerformed() as event:
            return _checked(history, event, envelope)
        case ReviewSettled() as event:
            status = _REVIEW_VERDICTS[event.verdict]
            return _outcome(
                history,
                envelope,
                event.attempt_id,
                None,
                status,
                detail=f"settled in review by {event.settled_by}",
                gateway_reference=event.gateway_reference,
                verified=True,
            )
        case LateSuccessDetected() as event:
            history = _certain(history, envelope, event)
            attempt = _attempt(history, event.attempt_id)
            late = replace(
                attempt,
                late="keep" if event.kept else "give_back",
                next_check_at=None if event.kept or attempt.compensated_by else envelope.at,
            )
            return _with_attempt(history, late)
        case ChargeCompensated() as event:
            history = _certain(history, envelope, event)
            attempt = replace(
                _attempt(history, event.attempt_id), compensated_by=event.by, next_check_at=None
            )
            return _with_attempt(history, attempt)
        case _:  # hand-overs and take-overs are told by their envelope
            return history


# The payment


def _nothing_yet(payment_id: PaymentId) -> PaymentHistory:
    minted = minted_at(payment_id)
    return PaymentHistory(
        payment=PaymentView(
            payment_id=payment_id,
            status="PENDING_VERIFICATION",
            sequence=0,
            epoch=0,
            created_at=minted,
            updated_at=minted,
        )
    )


def _routed(history: PaymentHistory, event: PaymentRouted, envelope: Envelope) -> PaymentHistory:
    history = _with(history, strategy=event.strategy, routing_reason=event.reason)
    if any(decision.sequence == envelope.sequence for decision in history.decisions):
        return history
    decision = RoutingDecisionView(
        payment_id=history.payment.payment_id,
        sequence=envelope.sequence,
        strategy=event.strategy,
        reason=event.reason,
        candidates=event.candidates,
        excluded=event.excluded,
        policy=event.policy,
        decided_at=envelope.at,
    )
    return replace(history, decisions=tuple(sorted([*history.decisions, decision], key=_by_sequence)))


def _succeeded(history: PaymentHistory, event: PaymentSucceeded, envelope: Envelope) -> PaymentHistory:
    if history.payment.status == "SUCCESS":
        return history
    return _with(
        history,
        status="SUCCESS",
        paid_by=event.attempt_id,
        gateway=event.gateway,
        gateway_reference=event.gateway_reference,
        failure=None,
        next_action=None,
        latency_ms=_since_request(history.payment, envelope),
    )


def _since_request(payment: PaymentView, envelope: Envelope) -> int:
    return max(0, round((envelope.at - payment.created_at).total_seconds() * 1000))


def _with(history: PaymentHistory, **changes: Any) -> PaymentHistory:
    payment = replace(history.payment, **changes)
    return PaymentHistory(payment=payment, attempts=history.attempts, decisions=history.decisions)


# Its attempts


def _started(history: PaymentHistory, event: AttemptStarted) -> PaymentHistory:
    known = _find(history, event.attempt_id)
    attempt = AttemptView(
        attempt_id=event.attempt_id,
        payment_id=history.payment.payment_id,
        number=event.number,
        gateway=event.gateway,
        status="STARTED",
        reason=event.reason,
        timeout_ms=event.timeout_ms,
        started_at=event.started_at,
        next_check_at=event.first_check_at or event.started_at,
        final_check_at=event.final_check_at,
    )
    if known is not None:
        attempt = replace(
            known,
            gateway=event.gateway,
            reason=event.reason,
            timeout_ms=event.timeout_ms,
            started_at=event.started_at,
            final_check_at=event.final_check_at,
        )
    return _with_attempt(history, attempt)


def _outcome(
    history: PaymentHistory,
    envelope: Envelope,
    attempt_id: AttemptId,
    gateway: GatewayId | None,
    status: AttemptStatus,
    *,
    verified: bool = False,
    **facts: Any,
) -> PaymentHistory:
    """The first terminal outcome stands, unless a later verified success overrides it."""
    known = _find(history, attempt_id) or _unseen(history.payment, attempt_id, gateway, envelope)
    if known.status == status and status in _TERMINAL:
        attempt = replace(known, verified=known.verified or verified)
    elif known.status not in _TERMINAL or (
        status == "SUCCEEDED" and verified and known.status != "SUCCEEDED"
    ):
        cleared = {"decline": None, "detail": None}
        facts = {name: fact for name, fact in facts.items() if fact is not None}
        attempt = replace(
            known,
            status=status,
            verified=verified,
            next_check_at=_next_after(known, status),
            in_review=False,
            **{**cleared, **facts},
        )
    else:
        return history
    return _with_attempt(history, attempt)


def _next_after(attempt: AttemptView, status: AttemptStatus) -> datetime | None:
    """What failed is looked at once more at the end of the horizon; what succeeded is certain."""
    match status:
        case "DECLINED" | "NOT_SENT":
            return attempt.final_check_at
        case "SUCCEEDED":
            return None
        case _:
            return attempt.next_check_at


def _checked(history: PaymentHistory, event: VerificationPerformed, envelope: Envelope) -> PaymentHistory:
    """A verdict whose outcome did not reach the log proves nothing: the attempt is due again at once."""
    known = _find(history, event.attempt_id)
    if known is None:
        return history
    is_lost = known.status not in _TERMINAL and event.verdict in ("succeeded", "declined", "not_sent")
    is_lost |= known.status in _TERMINAL and event.verdict == "mismatched" and known.late is None
    attempt = replace(
        known,
        checks=max(known.checks, event.check),
        next_check_at=envelope.at if is_lost else event.next_check_at,
    )
    return _with_attempt(history, attempt)


def _in_review(history: PaymentHistory, unsettled: tuple[AttemptId, ...]) -> PaymentHistory:
    for attempt_id in unsettled:
        known = _find(history, attempt_id)
        if known is not None and known.status not in _TERMINAL:
            history = _with_attempt(history, replace(known, in_review=True, next_check_at=None))
    return history


def _certain(
    history: PaymentHistory,
    envelope: Envelope,
    event: PaymentSucceeded | LateSuccessDetected | ChargeCompensated,
) -> PaymentHistory:
    """Somebody has decided that this attempt took money, whether or not its own outcome arrived."""
    known = _find(history, event.attempt_id)
    if known is not None and known.status == "SUCCEEDED":
        return history
    return _outcome(
        history,
        envelope,
        event.attempt_id,
        event.gateway,
        "SUCCEEDED",
        gateway_reference=event.gateway_reference,
        verified=True,
    )


def _unseen(
    payment: PaymentView, attempt_id: AttemptId, gateway: GatewayId | None, envelope: Envelope
) -> AttemptView:
    """An attempt whose start is not on the log; its number is the last part of its id."""
    number = attempt_id.rpartition("_")[2]
    return AttemptView(
        attempt_id=attempt_id,
        payment_id=payment.payment_id,
        number=int(number) if number.isdecimal() else 0,
        gateway=gateway or payment.gateway or GatewayId(""),
        status="STARTED",
        started_at=envelope.at,
    )


def _find(history: PaymentHistory, attempt_id: AttemptId) -> AttemptView | None:
    for attempt in history.attempts:
        if attempt.attempt_id == attempt_id:
            return attempt
    return None


def _attempt(history: PaymentHistory, attempt_id: AttemptId) -> AttemptView:
    attempt = _find(history, attempt_id)
    assert attempt is not None, attempt_id
    return attempt


def _with_attempt(history: PaymentHistory, attempt: AttemptView) -> PaymentHistory:
    """Put the attempt in its place, and let the payment show what its attempts make of it while it is unsettled."""
    others = [other for other in history.attempts if other.attempt_id != attempt.attempt_id]
    attempts = tuple(sorted([*others, attempt], key=_by_start)) if others else (attempt,)
    payment, changes = history.payment, dict[str, Any](attempts=len(attempts))
    if payment.status in ("PENDING_VERIFICATION", "AWAITING_CUSTOMER"):
        awaits = any(one.status == "AWAITING_CUSTOMER" for one in attempts)
        changes["status"] = "AWAITING_CUSTOMER" if awaits else "PENDING_VERIFICATION"
        changes["next_action"] = payment.next_action if awaits else None
    if payment.status != "SUCCESS" and attempt is attempts[-1]:
        changes["gateway"] = attempt.gateway
        changes["gateway_reference"] = attempt.gateway_reference
    return PaymentHistory(payment=replace(payment, **changes), attempts=attempts, decisions=history.decisions)


# Rows have an order of their own, so that a history is the same whether it was folded at once or read back in between.


def _by_start(attempt: AttemptView) -> tuple[datetime, AttemptId]:
    return attempt.started_at, attempt.attempt_id


def _by_sequence(decision: RoutingDecisionView) -> int:
    return decision.sequence
