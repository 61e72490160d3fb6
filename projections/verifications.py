"""What verification has to do for a payment, and when: folded from its history, so that it is never forgotten.

Any subset of a decision's events may be on the log, so whatever is half done is due at once.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from projections.payments import evolve
from schemas.envelope import Recorded
from schemas.ids import GatewayId
from schemas.payment import PaymentEvent, VerificationPerformed
from schemas.verification import CLOSE_AFTER, NO_GATEWAY, Check, VerificationWork
from schemas.views import AttemptVerification, AttemptView, PaymentHistory, VerificationView

_SETTLED = ("SUCCEEDED", "DECLINED", "NOT_SENT")
_FAILED = ("DECLINED", "NOT_SENT")


class Thing(NamedTuple):
    """Something to be done for a payment; things sort by their time."""

    at: datetime
    gateway: GatewayId
    urgent: bool = True


def work(history: PaymentHistory, closed_after: timedelta = CLOSE_AFTER) -> VerificationWork:
    """The earliest thing to be done; `due_at` is None where nothing is.

    A last look that comes before something urgent is as urgent, and counts to its gateway: the payment is due once, and
    must not wait among last looks, or for their gateway, while the urgent thing becomes due.
    """
    payment, things = history.payment, _things(history, closed_after)
    urgent = [thing for thing in things if thing.urgent]
    return VerificationWork(
        payment_id=payment.payment_id,
        merchant_id=payment.order.merchant_id if payment.order else "",
        key_hash=(payment.key_hash or "") if payment.order else payment.payment_id,
        gateway=min(urgent or things).gateway if things else NO_GATEWAY,
        due_at=min(things).at if things else None,
        urgent=bool(urgent),
    )


def _things(history: PaymentHistory, closed_after: timedelta) -> list[Thing]:
    things = [
        Thing(at, attempt.gateway, urgent=attempt.status not in _FAILED)
        for attempt in history.attempts
        if (at := _due(history, attempt)) is not None
    ]
    if (at := _half_done(history, closed_after)) is not None:
        things.append(Thing(at, NO_GATEWAY))
    return things


def _due(history: PaymentHistory, attempt: AttemptView) -> datetime | None:
    payment = history.payment
    is_started = attempt.timeout_ms is not None
    if not is_started or attempt.in_review or attempt.compensated_by is not None:
        return None
    if attempt.status not in _SETTLED:
        return attempt.next_check_at or payment.updated_at
    if attempt.status == "SUCCEEDED" and attempt.attempt_id != payment.paid_by:
        return attempt.next_check_at or payment.updated_at
    return attempt.next_check_at


def _half_done(history: PaymentHistory, closed_after: timedelta) -> datetime | None:
    """A payment may lack its end although nothing of it is in doubt."""
    payment = history.payment
    if payment.sequence == 0 or payment.status in ("SUCCESS", "FAILURE"):
        return None
    if not history.attempts:
        return payment.created_at + closed_after if payment.order is not None else None
    return payment.updated_at if all(one.status in _SETTLED for one in history.attempts) else None


def verification_status(records: Iterable[Recorded[PaymentEvent]]) -> VerificationView | None:
    """What verification has found out so far, from a payment's records; None if none of them counts."""
    history: PaymentHistory | None = None
    checks: list[Check] = []
    for record in records:
        if record.is_void:
            continue
        history = evolve(history, record)
        if isinstance(record.event, VerificationPerformed):
            checks.append(_check(record.event, record.envelope.at))
    if history is None:
        return None
    return VerificationView(
        payment_id=history.payment.payment_id,
        status=history.payment.status,
        attempts=tuple(
            AttemptVerification(
                attempt_id=attempt.attempt_id,
                gateway=attempt.gateway,
                status=attempt.status,
                checks=tuple(check for check in checks if check.attempt_id == attempt.attempt_id),
                next_check_at=_due(history, attempt),
                in_review=attempt.in_review,
                late=attempt.late,
                compensated_by=attempt.compensated_by,
            )
            for attempt in history.attempts
        ),
        next_check_at=work(history).due_at,
    )


def _check(event: VerificationPerformed, at: datetime) -> Check:
    return Check(
        attempt_id=event.attempt_id,
        check=event.check,
        verdict=event.verdict,
        source=event.source,
        at=at,
        next_check_at=event.next_check_at,
        is_final=event.is_final,
    )
