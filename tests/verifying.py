"""What tests of verification are made of: verdicts about a payment's attempts, and the events that follow from them."""

from datetime import datetime, timedelta
from typing import Literal

from schemas.charge import Found, GivenBack, GivingBack, Unreachable
from schemas.dimensions import Earlier
from schemas.ids import GatewayId
from schemas.outcome import Declined, NotSentReason, Outcome
from schemas.payment import (
    AttemptDeclined,
    AttemptNotSent,
    AttemptSucceeded,
    ChargeCompensated,
    CloseUnattempted,
    Failure,
    LateSuccessDetected,
    PaymentFailed,
    PaymentSucceeded,
    RecordGivingBack,
    RecordVerification,
    ReviewRequested,
    ReviewSettled,
    SettleReview,
    VerificationPerformed,
)
from schemas.verification import Source, Verdict
from tests.builders import AT, HORIZON_S, SCHEDULE, account, attempt

Settlement = Literal["succeeded", "declined", "not_sent"]

LOOKED_AFTER_S = 100.0
"""Since the attempt's start: within the schedule, so that the next look is its second moment."""
NEXT_S = SCHEDULE.after_s[1]
IN_DOUBT_BEFORE = Earlier(kind="in_doubt", code="read_timeout")
DECLINED_BEFORE = Earlier(kind="declined", code="insufficient_funds", blame="customer")
UNREACHABLE = Unreachable(reason="read_timeout")


def after(seconds: float) -> datetime:
    """Since the attempts' start."""
    return AT + timedelta(seconds=seconds)


HORIZON = after(HORIZON_S)

# Commands


def seen(
    verdict: Verdict,
    outcome: Outcome | None = None,
    *,
    of: int = 1,
    after_s: float = LOOKED_AFTER_S,
    source: Source = "look_up",
) -> RecordVerification:
    """What a look at attempt number `of` proves."""
    return RecordVerification(
        attempt_id=attempt(of),
        verdict=verdict,
        outcome=outcome,
        source=source,
        schedule=SCHEDULE,
        at=after(after_s),
    )


def the_review(verdict: Settlement, *, of: int = 1, reference: str | None = None) -> SettleReview:
    return SettleReview(
        attempt_id=attempt(of),
        verdict=verdict,
        settled_by="asha",
        note="seen in the statement",
        gateway_reference=reference,
        schedule=SCHEDULE,
        at=after(LOOKED_AFTER_S),
    )


def giving_back(answer: GivingBack, *, of: int = 1) -> RecordGivingBack:
    return RecordGivingBack(attempt_id=attempt(of), answer=answer, at=after(LOOKED_AFTER_S))


def closing(after_s: float, *, limit_s: float = 900) -> CloseUnattempted:
    return CloseUnattempted(after=timedelta(seconds=limit_s), at=after(after_s))


# Events


def performed(
    verdict: Verdict,
    *,
    of: int = 1,
    check: int = 1,
    next_at: datetime | None = None,
    source: Source = "look_up",
    is_final: bool = False,
    retry: int = 0,
) -> VerificationPerformed:
    return VerificationPerformed(
        attempt_id=attempt(of),
        check=check,
        verdict=verdict,
        next_check_at=next_at,
        source=source,
        is_final=is_final,
        retry=retry,
    )


def verified_success(
    of: int = 1,
    gateway: str = "alpha",
    *,
    reference: str = "txn_1",
    after_s: float = LOOKED_AFTER_S,
    instead_of: Earlier | None = IN_DOUBT_BEFORE,
) -> AttemptSucceeded:
    return AttemptSucceeded(
        attempt_id=attempt(of),
        gateway=GatewayId(gateway),
        gateway_reference=reference,
        latency_ms=round(after_s * 1000),
        verified=True,
        account=account(instead_of),
    )


def verified_decline(
    outcome: Declined,
    of: int = 1,
    gateway: str = "alpha",
    *,
    after_s: float = LOOKED_AFTER_S,
    instead_of: Earlier | None = IN_DOUBT_BEFORE,
) -> AttemptDeclined:
    return AttemptDeclined(
        attempt_id=attempt(of),
        gateway=GatewayId(gateway),
        decline=outcome.decline,
        gateway_reference=outcome.gateway_reference,
        latency_ms=round(after_s * 1000),
        verified=True,
        account=account(instead_of),
    )


def verified_not_sent(
    of: int = 1,
    gateway: str = "alpha",
    *,
    reason: NotSentReason = "burned",
    after_s: float = LOOKED_AFTER_S,
    instead_of: Earlier | None = IN_DOUBT_BEFORE,
) -> AttemptNotSent:
    return AttemptNotSent(
        attempt_id=attempt(of),
        gateway=GatewayId(gateway),
        reason=reason,
        latency_ms=round(after_s * 1000),
        verified=True,
        account=account(instead_of),
    )


def late(of: int = 1, gateway: str = "alpha", *, kept: bool = False) -> LateSuccessDetected:
    return LateSuccessDetected(
        attempt_id=attempt(of), gateway=GatewayId(gateway), gateway_reference="txn_1", kept=kept
    )


def compensated(
    of: int = 1, gateway: str = "alpha", by: Literal["void", "refund"] = "refund"
) -> ChargeCompensated:
    return ChargeCompensated(
        attempt_id=attempt(of), gateway=GatewayId(gateway), gateway_reference="txn_1", by=by
    )


def paid_by(of: int = 1, gateway: str = "alpha", *, reference: str = "txn_1") -> PaymentSucceeded:
    return PaymentSucceeded(attempt_id=attempt(of), gateway=GatewayId(gateway), gateway_reference=reference)


def in_review(*of: int) -> ReviewRequested:
    return ReviewRequested(unsettled=tuple(attempt(number) for number in of or (1,)))


def reviewed(verdict: Settlement, *, reference: str | None = None) -> ReviewSettled:
    return ReviewSettled(
        attempt_id=attempt(),
        verdict=verdict,
        settled_by="asha",
        note="seen in the statement",
        gateway_reference=reference,
    )


NO_FUNDS = PaymentFailed(
    failure=Failure(code="insufficient_funds", blame="customer", customer_may_retry=True)
)
NOBODY_REACHED = PaymentFailed(
    failure=Failure(code="no_gateway_reached", blame="gateway", customer_may_retry=True)
)
NOT_ATTEMPTED = PaymentFailed(failure=Failure(code="not_attempted", blame="gateway", customer_may_retry=True))

# What a gateway answers


def found(
    outcome: Outcome, *, amount_minor: int = 129_900, currency: str = "INR", needs_capture: bool = False
) -> Found:
    return Found(outcome=outcome, amount_minor=amount_minor, currency=currency, needs_capture=needs_capture)


GIVEN_BACK = GivenBack(by="refund")
