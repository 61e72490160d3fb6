"""Given a payment's events, what verification has found out so far."""

from datetime import timedelta

from projections.verifications import verification_status
from schemas.base import Event
from schemas.payment import (
    ChargeCompensated,
    LateSuccessDetected,
    PaymentEvent,
    ReviewRequested,
    ReviewSettled,
    VerificationPerformed,
)
from schemas.verification import Check
from schemas.views import AttemptVerification, VerificationView
from tests.projections.story import (
    ALPHA,
    BEGIN,
    BETA,
    FIRST,
    SECOND,
    declined,
    failed,
    in_doubt,
    paid,
    recorded,
    requested,
    started,
    succeeded,
)

IN_A_MINUTE = BEGIN + timedelta(minutes=1)


def given(*events: Event) -> VerificationView:
    view = verification_status([recorded(event, offset) for offset, event in enumerate(events)])  # type: ignore[misc]
    assert view is not None
    return view


def checked(attempt: str = FIRST, number: int = 1, **told: object) -> VerificationPerformed:
    facts = {"verdict": "still_pending", "next_check_at": IN_A_MINUTE} | told
    return VerificationPerformed(attempt_id=attempt, check=number, **facts)  # type: ignore[arg-type]


def the(view: VerificationView, attempt: str) -> AttemptVerification:
    return next(one for one in view.attempts if one.attempt_id == attempt)


def test_checks_stand_with_their_attempt_in_the_order_they_were_made() -> None:
    view = given(
        requested(),
        started(),
        in_doubt(),
        started(SECOND, BETA, 20),
        checked(FIRST, 1),
        checked(SECOND, 1, source="notification"),
        checked(FIRST, 2, verdict="unreachable"),
    )
    assert [(one.check, one.verdict) for one in the(view, FIRST).checks] == [
        (1, "still_pending"),
        (2, "unreachable"),
    ]
    assert the(view, SECOND).checks == (
        Check(
            attempt_id=SECOND,
            check=1,
            verdict="still_pending",
            source="notification",
            at=BEGIN + timedelta(milliseconds=50),
            next_check_at=IN_A_MINUTE,
            is_final=False,
        ),
    )


def test_the_next_check_is_the_earliest_of_its_attempts() -> None:
    later = IN_A_MINUTE + timedelta(minutes=5)
    view = given(
        requested(),
        started(),
        in_doubt(),
        started(SECOND, BETA, 20),
        checked(FIRST, next_check_at=later),
        checked(SECOND),
    )
    assert (the(view, FIRST).next_check_at, the(view, SECOND).next_check_at) == (later, IN_A_MINUTE)
    assert view.next_check_at == IN_A_MINUTE


def test_a_payment_that_is_paid_has_nothing_left_to_check() -> None:
    view = given(requested(), started(), succeeded(), paid())
    assert (view.status, view.next_check_at, the(view, FIRST).next_check_at) == ("SUCCESS", None, None)


def test_a_review_and_its_end_are_told() -> None:
    story = [requested(), started(), in_doubt(), checked(), ReviewRequested(unsettled=(FIRST,))]
    assert (given(*story).status, the(given(*story), FIRST).in_review) == ("NEEDS_REVIEW", True)
    settled = ReviewSettled(attempt_id=FIRST, verdict="declined", settled_by="asha", note="seen")
    view = given(*story, settled, declined(), failed())
    assert (view.status, the(view, FIRST).in_review, the(view, FIRST).status) == (
        "FAILURE",
        False,
        "DECLINED",
    )


def test_a_late_success_is_told_until_it_is_given_back() -> None:
    late = LateSuccessDetected(attempt_id=FIRST, gateway=ALPHA, gateway_reference="late", kept=False)
    story: list[PaymentEvent] = [requested(), started(), declined(), failed(), late]
    assert the(given(*story), FIRST).late == "give_back"
    assert given(*story).next_check_at is not None
    back = ChargeCompensated(attempt_id=FIRST, gateway=ALPHA, gateway_reference="late", by="refund")
    view = given(*story, back)
    assert (the(view, FIRST).compensated_by, view.next_check_at) == ("refund", None)


def test_a_payment_of_which_no_record_counts_is_none() -> None:
    assert verification_status([]) is None
