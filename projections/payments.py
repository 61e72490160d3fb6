"""The read model of a payment, folded from its events in offset order.

Any subset of a decision's events may be what is on the log, so each event is read by itself: an outcome makes the
attempt it belongs to, a success settles the payment whose request never arrived. No rules are here; all was decided.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from schemas.base import Event
from schemas.envelope import Envelope, Recorded
from schemas.ids import AttemptId, GatewayId, PaymentId, minted_at
from schemas.outcome import Decline
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
from schemas.views import (
    AttemptStatus,
    AttemptView,
    PaymentHistory,
    PaymentStatus,
    PaymentView,
    RoutingDecisionView,
)

_UNSETTLED = ("PENDING_VERIFICATION", "AWAITING_CUSTOMER")
_TERMINAL = ("SUCCEEDED", "DECLINED", "NOT_SENT")
_REVIEW_VERDICTS: dict[str, AttemptStatus] = {
    "succeeded": "SUCCEEDED",
    "declined": "DECLINED",
    "not_sent": "NOT_SENT",
}


def evolve(history: PaymentHistory | None, recorded: Recorded[Event]) -> PaymentHistory:
    """The history with one more record. A payment with sequence 0 has only void records: it does not exist."""
    return fold(history, (recorded,))


def fold(history: PaymentHistory | None, run: Sequence[Recorded[Event]]) -> PaymentHistory:
    """The history with these of its records, in offset order: what `evolve` makes of one after the other."""
    draft = _Draft(PaymentId(run[0].envelope.aggregate_id), history)
    for recorded in run:
        _take(draft, recorded)
    return draft.finished()


class _Draft:
    """A history while records are told: the new one is made once, when all that they change is known."""

    __slots__ = (
        "_before", "_created_at", "attempts", "changes", "decisions", "epoch", "is_requested", "offsets",
        "payment_id", "sequence", "status",
    )  # fmt: skip

    def __init__(self, payment_id: PaymentId, history: PaymentHistory | None) -> None:
        self.payment_id = payment_id
        self.changes: dict[str, Any] = {}
        """Of those fields of the payment that are not below."""
        self._before: PaymentView | None = None
        self._created_at: datetime | None = None
        self.status: PaymentStatus = "PENDING_VERIFICATION"
        self.sequence = self.epoch = 0
        self.is_requested = False
        self.offsets: list[int] = []
        self.attempts: tuple[AttemptView, ...] = ()
        self.decisions: tuple[RoutingDecisionView, ...] = ()
        if history is not None:
            self._before = payment = history.payment
            self._created_at = payment.created_at
            self.status = payment.status
            self.sequence, self.epoch = payment.sequence, payment.epoch
            self.is_requested = payment.order is not None
            self.offsets += payment.offsets
            self.attempts, self.decisions = history.attempts, history.decisions

    @property
    def created_at(self) -> datetime:
        """When its id was minted, as long as no request says when it came."""
        if self._created_at is None:
            self._created_at = minted_at(self.payment_id)
        return self._created_at

    @created_at.setter
    def created_at(self, at: datetime) -> None:
        self._created_at = at

    @property
    def gateway(self) -> GatewayId | None:
        gateway: GatewayId | None = self.changes.get("gateway", self._before and self._before.gateway)
        return gateway

    def finished(self) -> PaymentHistory:
        changes = self.changes
        changes["status"] = self.status
        changes["sequence"] = self.sequence
        changes["epoch"] = self.epoch
        changes["created_at"] = self.created_at
        changes["attempts"] = len(self.attempts)
        changes["offsets"] = tuple(self.offsets)
        if self._before is not None:
            payment = replace(self._before, **changes)
        else:
            changes.setdefault("updated_at", self.created_at)
            payment = PaymentView(payment_id=self.payment_id, **changes)
        return PaymentHistory(payment=payment, attempts=self.attempts, decisions=self.decisions)


def _take(draft: _Draft, recorded: Recorded[Event]) -> None:
    draft.offsets.append(recorded.position.offset)
    if recorded.is_void:
        return
    envelope, event, changes = recorded.envelope, recorded.event, draft.changes
    _tell(draft, event, envelope)
    changes["updated_at"] = envelope.at
    if envelope.sequence > draft.sequence:
        draft.sequence = envelope.sequence
    if envelope.epoch > draft.epoch:
        draft.epoch = envelope.epoch
        changes["owned_until_ms"] = envelope.window.valid_until_ms
        changes["handed_over"] = False
    if type(event) is PaymentHandedOver and envelope.epoch == draft.epoch:
        changes["owned_until_ms"] = recorded.stamp_ms
        changes["handed_over"] = True


def _tell(draft: _Draft, event: Event, envelope: Envelope) -> None:
    """What the event says, whoever wrote it and whenever."""
    match event:
        case AttemptStarted():
            _started(draft, event)
        case AttemptSucceeded():
            _outcome(
                draft,
                envelope,
                event.attempt_id,
                event.gateway,
                "SUCCEEDED",
                gateway_reference=event.gateway_reference,
                latency_ms=event.latency_ms,
                verified=event.verified,
            )
        case PaymentRequested():
            if not draft.is_requested:
                draft.is_requested = True
                draft.created_at = event.requested_at
                draft.changes.update(
                    order=event.order, key_hash=event.key_hash, fingerprint=event.fingerprint
                )
        case PaymentRouted():
            _routed(draft, event, envelope)
        case PaymentSucceeded():
            _certain(draft, envelope, event)
            _succeeded(draft, event, envelope)
        case AttemptDeclined():
            _outcome(
                draft,
                envelope,
                event.attempt_id,
                event.gateway,
                "DECLINED",
                decline=event.decline,
                gateway_reference=event.gateway_reference,
                latency_ms=event.latency_ms,
                verified=event.verified,
            )
        case PaymentFailed():
            if draft.status not in ("SUCCESS", "FAILURE"):
                draft.status = "FAILURE"
                draft.changes.update(
                    failure=event.failure,
                    next_action=None,
                    latency_ms=_since_request(draft, envelope),
                )
        case ExperimentAssigned():
            draft.changes.update(experiment_id=event.experiment_id, variant=event.variant)
        case AttemptNotSent():
            _outcome(
                draft,
                envelope,
                event.attempt_id,
                event.gateway,
                "NOT_SENT",
                detail=event.reason,
                latency_ms=event.latency_ms,
                verified=event.verified,
            )
        case AttemptAwaitingCustomer():
            _outcome(
                draft,
                envelope,
                event.attempt_id,
                event.gateway,
                "AWAITING_CUSTOMER",
                gateway_reference=event.gateway_reference,
                latency_ms=event.latency_ms,
            )
            if draft.status == "AWAITING_CUSTOMER":
                draft.changes["next_action"] = event.next_action
        case AttemptInDoubt():
            _outcome(
                draft,
                envelope,
                event.attempt_id,
                event.gateway,
                "IN_DOUBT",
                detail=event.reason,
                gateway_reference=event.gateway_reference,
                latency_ms=event.latency_ms,
            )
        case ReviewRequested():
            _in_review(draft, event.unsettled)
            if draft.status not in ("SUCCESS", "FAILURE"):
                draft.status = "NEEDS_REVIEW"
                draft.changes["next_action"] = None
        case VerificationPerformed():
            _checked(draft, event, envelope)
        case ReviewSettled():
            _outcome(
                draft,
                envelope,
                event.attempt_id,
                None,
                _REVIEW_VERDICTS[event.verdict],
                detail=f"settled in review by {event.settled_by}",
                gateway_reference=event.gateway_reference,
                verified=True,
            )
        case LateSuccessDetected():
            _certain(draft, envelope, event)
            attempt = _attempt(draft, event.attempt_id)
            late = replace(
                attempt,
                late="keep" if event.kept else "give_back",
                next_check_at=None if event.kept or attempt.compensated_by else envelope.at,
            )
            _put(draft, late)
        case ChargeCompensated():
            _certain(draft, envelope, event)
            attempt = _attempt(draft, event.attempt_id)
            _put(draft, replace(attempt, compensated_by=event.by, next_check_at=None))
        case _:  # hand-overs and take-overs are told by their envelope
            pass


# The payment


def _routed(draft: _Draft, event: PaymentRouted, envelope: Envelope) -> None:
    draft.changes.update(strategy=event.strategy, routing_reason=event.reason)
    if any(decision.sequence == envelope.sequence for decision in draft.decisions):
        return
    decision = RoutingDecisionView(
        payment_id=draft.payment_id,
        sequence=envelope.sequence,
        strategy=event.strategy,
        reason=event.reason,
        candidates=event.candidates,
        excluded=event.excluded,
        policy=event.policy,
        decided_at=envelope.at,
    )
    others = draft.decisions
    draft.decisions = tuple(sorted([*others, decision], key=_by_sequence)) if others else (decision,)


def _succeeded(draft: _Draft, event: PaymentSucceeded, envelope: Envelope) -> None:
    if draft.status == "SUCCESS":
        return
    draft.status = "SUCCESS"
    draft.changes.update(
        paid_by=event.attempt_id,
        gateway=event.gateway,
        gateway_reference=event.gateway_reference,
        failure=None,
        next_action=None,
        latency_ms=_since_request(draft, envelope),
    )


def _since_request(draft: _Draft, envelope: Envelope) -> int:
    return max(0, round((envelope.at - draft.created_at).total_seconds() * 1000))


# Its attempts


def _started(draft: _Draft, event: AttemptStarted) -> None:
    known = _find(draft, event.attempt_id)
    if known is not None:
        attempt = replace(
            known,
            gateway=event.gateway,
            reason=event.reason,
            timeout_ms=event.timeout_ms,
            started_at=event.started_at,
            final_check_at=event.final_check_at,
        )
    else:
        attempt = AttemptView(
            attempt_id=event.attempt_id,
            payment_id=draft.payment_id,
            number=event.number,
            gateway=event.gateway,
            status="STARTED",
            reason=event.reason,
            timeout_ms=event.timeout_ms,
            started_at=event.started_at,
            next_check_at=event.first_check_at or event.started_at,
            final_check_at=event.final_check_at,
        )
    _put(draft, attempt)


def _outcome(
    draft: _Draft,
    envelope: Envelope,
    attempt_id: AttemptId,
    gateway: GatewayId | None,
    status: AttemptStatus,
    *,
    verified: bool = False,
    decline: Decline | None = None,
    detail: str | None = None,
    gateway_reference: str | None = None,
    latency_ms: int | None = None,
) -> None:
    """The first terminal outcome stands, unless a later verified success overrides it."""
    known = _find(draft, attempt_id) or _unseen(draft, attempt_id, gateway, envelope)
    if known.status == status and status in _TERMINAL:
        _put(draft, replace(known, verified=known.verified or verified))
    elif known.status not in _TERMINAL or (
        status == "SUCCEEDED" and verified and known.status != "SUCCEEDED"
    ):
        attempt = replace(
            known,
            status=status,
            verified=verified,
            next_check_at=_next_after(known, status),
            in_review=False,
            decline=decline,
            detail=detail,
            gateway_reference=known.gateway_reference if gateway_reference is None else gateway_reference,
            latency_ms=known.latency_ms if latency_ms is None else latency_ms,
        )
        _put(draft, attempt)


def _next_after(attempt: AttemptView, status: AttemptStatus) -> datetime | None:
    """What failed is looked at once more at the end of the horizon; what succeeded is certain."""
    match status:
        case "DECLINED" | "NOT_SENT":
            return attempt.final_check_at
        case "SUCCEEDED":
            return None
        case _:
            return attempt.next_check_at


def _checked(draft: _Draft, event: VerificationPerformed, envelope: Envelope) -> None:
    """A verdict whose outcome did not reach the log proves nothing: the attempt is due again at once."""
    known = _find(draft, event.attempt_id)
    if known is None:
        return
    is_lost = known.status not in _TERMINAL and event.verdict in ("succeeded", "declined", "not_sent")
    is_lost |= known.status in _TERMINAL and event.verdict == "mismatched" and known.late is None
    attempt = replace(
        known,
        checks=max(known.checks, event.check),
        next_check_at=envelope.at if is_lost else event.next_check_at,
    )
    _put(draft, attempt)


def _in_review(draft: _Draft, unsettled: tuple[AttemptId, ...]) -> None:
    for attempt_id in unsettled:
        known = _find(draft, attempt_id)
        if known is not None and known.status not in _TERMINAL:
            _put(draft, replace(known, in_review=True, next_check_at=None))


def _certain(
    draft: _Draft,
    envelope: Envelope,
    event: PaymentSucceeded | LateSuccessDetected | ChargeCompensated,
) -> None:
    """Somebody has decided that this attempt took money, whether or not its own outcome arrived."""
    known = _find(draft, event.attempt_id)
    if known is not None and known.status == "SUCCEEDED":
        return
    _outcome(
        draft,
        envelope,
        event.attempt_id,
        event.gateway,
        "SUCCEEDED",
        gateway_reference=event.gateway_reference,
        verified=True,
    )


def _unseen(
    draft: _Draft, attempt_id: AttemptId, gateway: GatewayId | None, envelope: Envelope
) -> AttemptView:
    """An attempt whose start is not on the log; its number is the last part of its id."""
    number = attempt_id.rpartition("_")[2]
    return AttemptView(
        attempt_id=attempt_id,
        payment_id=draft.payment_id,
        number=int(number) if number.isdecimal() else 0,
        gateway=gateway or draft.gateway or GatewayId(""),
        status="STARTED",
        started_at=envelope.at,
    )


def _find(draft: _Draft, attempt_id: AttemptId) -> AttemptView | None:
    for attempt in draft.attempts:
        if attempt.attempt_id == attempt_id:
            return attempt
    return None


def _attempt(draft: _Draft, attempt_id: AttemptId) -> AttemptView:
    attempt = _find(draft, attempt_id)
    assert attempt is not None, attempt_id
    return attempt


def _placed(attempts: tuple[AttemptView, ...], attempt: AttemptView) -> tuple[AttemptView, ...]:
    """All of them with this one, which takes the place of what it was."""
    others = [other for other in attempts if other.attempt_id != attempt.attempt_id] if attempts else []
    return tuple(sorted([*others, attempt], key=_by_start)) if others else (attempt,)


def _unsettled(attempts: tuple[AttemptView, ...]) -> PaymentStatus:
    for attempt in attempts:
        if attempt.status == "AWAITING_CUSTOMER":
            return "AWAITING_CUSTOMER"
    return "PENDING_VERIFICATION"


def _put(draft: _Draft, attempt: AttemptView) -> None:
    """Put the attempt in its place, and let the payment show what its attempts make of it while it is unsettled."""
    draft.attempts = attempts = _placed(draft.attempts, attempt)
    changes = draft.changes
    if draft.status in _UNSETTLED:
        draft.status = _unsettled(attempts)
        if draft.status == "PENDING_VERIFICATION":
            changes["next_action"] = None
    if draft.status != "SUCCESS" and attempt is attempts[-1]:
        changes["gateway"] = attempt.gateway
        changes["gateway_reference"] = attempt.gateway_reference


# Rows have an order of their own, so that a history is the same whether it was folded at once or read back in between.


def _by_start(attempt: AttemptView) -> tuple[datetime, AttemptId]:
    return attempt.started_at, attempt.attempt_id


def _by_sequence(decision: RoutingDecisionView) -> int:
    return decision.sequence
