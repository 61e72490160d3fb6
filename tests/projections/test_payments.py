"""Given a payment's events, what its view shows."""

from collections.abc import Sequence
from datetime import timedelta
from functools import reduce
from typing import get_args

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st
from msgspec.structs import replace

from projections.payments import evolve, fold
from schemas.base import Event
from schemas.envelope import Recorded, Window
from schemas.payment import (
    AttemptStarted,
    ChargeCompensated,
    ExperimentAssigned,
    LateSuccessDetected,
    PaymentEvent,
    PaymentTakenOver,
    ReviewRequested,
    ReviewSettled,
    VerificationPerformed,
)
from schemas.verification import Verdict
from schemas.views import PaymentHistory
from tests.projections.story import (
    ALPHA,
    BEGIN,
    BEGIN_MS,
    BETA,
    FIRST,
    PAYMENT,
    SECOND,
    WINDOW,
    awaiting,
    declined,
    failed,
    handed_over,
    in_doubt,
    not_sent,
    paid,
    recorded,
    requested,
    routed,
    started,
    succeeded,
)

TAKEN_OVER = PaymentTakenOver(claim_id="claim", by="payment_verifier")
LATE = LateSuccessDetected(attempt_id=FIRST, gateway=ALPHA, gateway_reference="ref_late", kept=False)


def given(*events: Event) -> PaymentHistory:
    return folded([recorded(event, offset) for offset, event in enumerate(events)])


def folded(records: Sequence[Recorded[Event]]) -> PaymentHistory:
    history = reduce(evolve, records, None)
    assert history is not None
    return history


def test_a_payment_that_succeeds_at_once() -> None:
    history = given(requested(), routed(), started(), succeeded(), paid())

    payment = history.payment
    assert (payment.status, payment.gateway, payment.gateway_reference) == ("SUCCESS", ALPHA, "ref_alpha")
    assert (payment.attempts, payment.sequence, payment.offsets) == (1, 5, (0, 1, 2, 3, 4))
    assert payment.latency_ms == 40
    assert payment.order == requested().order
    assert (payment.created_at, payment.updated_at) == (BEGIN, BEGIN + timedelta(milliseconds=40))
    assert [(attempt.status, attempt.latency_ms) for attempt in history.attempts] == [("SUCCEEDED", 120)]
    assert [decision.candidates for decision in history.decisions] == [routed().candidates]


def test_a_payment_is_pending_while_its_call_is_running() -> None:
    history = given(requested(), routed(), started())

    assert history.payment.status == "PENDING_VERIFICATION"
    assert history.payment.latency_ms is None
    assert history.attempts[0].status == "STARTED"


def test_a_declined_attempt_is_followed_by_another_gateway() -> None:
    history = given(
        requested(),
        started(),
        declined(),
        started(SECOND, BETA, after_ms=20),
        succeeded(SECOND, BETA),
        paid(SECOND, BETA),
    )

    assert [attempt.status for attempt in history.attempts] == ["DECLINED", "SUCCEEDED"]
    assert (history.payment.gateway, history.payment.attempts) == (BETA, 2)


def test_a_failure_says_why() -> None:
    payment = given(requested(), started(), declined(), failed()).payment

    assert (payment.status, payment.failure, payment.latency_ms) == ("FAILURE", failed().failure, 30)


def test_a_customer_who_has_to_act_is_told_how_until_the_outcome_is_known() -> None:
    waiting = given(requested(), started(), awaiting(), handed_over(FIRST)).payment
    assert (waiting.status, waiting.next_action) == ("AWAITING_CUSTOMER", awaiting().next_action)

    paid_now = given(requested(), started(), awaiting(), succeeded(verified=True), paid()).payment
    assert (paid_now.status, paid_now.next_action) == ("SUCCESS", None)

    refused = given(requested(), started(), awaiting(), declined(verified=True)).payment
    assert (refused.status, refused.next_action) == ("PENDING_VERIFICATION", None)


def test_a_doubtful_attempt_takes_the_verified_outcome() -> None:
    history = given(started(), in_doubt(), declined(verified=True), failed())

    assert history.attempts[0].status == "DECLINED"
    assert (history.attempts[0].detail, history.attempts[0].verified) == (None, True)


@pytest.mark.parametrize("first", [declined(), not_sent(), in_doubt()])
def test_a_later_verified_success_overrides_another_outcome(first: Event) -> None:
    attempt = given(started(), first, succeeded(verified=True)).attempts[0]

    assert (attempt.status, attempt.verified, attempt.decline, attempt.detail) == (
        "SUCCEEDED",
        True,
        None,
        None,
    )


@pytest.mark.parametrize("second", [declined(), not_sent(), in_doubt(), awaiting()])
def test_the_first_terminal_outcome_of_an_attempt_stands(second: Event) -> None:
    assert given(started(), succeeded(), second).attempts[0].status == "SUCCEEDED"


def test_a_decline_that_was_looked_at_again_is_verified() -> None:
    assert given(started(), declined(), declined(verified=True)).attempts[0].verified


def test_no_later_event_takes_a_success_back() -> None:
    later = [
        failed(),
        ReviewRequested(unsettled=(SECOND,)),
        in_doubt(SECOND, BETA),
        awaiting(SECOND, BETA),
        started(SECOND, BETA),
    ]
    payment = given(requested(), started(), succeeded(), paid(), *later).payment

    assert (payment.status, payment.gateway, payment.failure) == ("SUCCESS", ALPHA, None)


def test_a_late_success_is_compensated_and_the_failure_stays() -> None:
    compensated = ChargeCompensated(
        attempt_id=FIRST, gateway=ALPHA, gateway_reference="ref_late", by="refund"
    )
    history = given(requested(), started(), declined(), failed(), LATE, compensated)

    assert history.payment.status == "FAILURE"
    assert (history.attempts[0].status, history.attempts[0].compensated_by) == ("SUCCEEDED", "refund")


def test_a_late_success_that_is_kept_becomes_a_success_when_it_is_settled() -> None:
    kept = LateSuccessDetected(attempt_id=FIRST, gateway=ALPHA, gateway_reference="ref_alpha", kept=True)

    assert given(requested(), started(), declined(), failed(), kept).payment.status == "FAILURE"
    settled = given(requested(), started(), declined(), failed(), kept, paid()).payment
    assert (settled.status, settled.failure) == ("SUCCESS", None)


def test_a_person_decides_what_verification_could_not() -> None:
    review = ReviewRequested(unsettled=(FIRST,))
    verdict = ReviewSettled(attempt_id=FIRST, verdict="not_sent", settled_by="asha", note="")
    assert given(requested(), started(), in_doubt(), review).payment.status == "NEEDS_REVIEW"

    history = given(requested(), started(), in_doubt(), review, verdict, failed())
    assert (history.attempts[0].status, history.payment.status) == ("NOT_SENT", "FAILURE")


def looked(verdict: Verdict, check: int = 1, next_after_s: int | None = None) -> VerificationPerformed:
    next_at = None if next_after_s is None else BEGIN + timedelta(seconds=next_after_s)
    return VerificationPerformed(attempt_id=FIRST, check=check, verdict=verdict, next_check_at=next_at)


def scheduled() -> AttemptStarted:
    first_at, final_at = BEGIN + timedelta(seconds=90), BEGIN + timedelta(days=3)
    return replace(started(), first_check_at=first_at, final_check_at=final_at)


def test_an_attempt_shows_when_it_is_looked_at() -> None:
    (attempt,) = given(requested(), scheduled()).attempts
    assert (attempt.next_check_at, attempt.final_check_at) == (
        BEGIN + timedelta(seconds=90),
        BEGIN + timedelta(days=3),
    )


def test_an_attempt_of_before_there_were_schedules_is_due_since_its_start() -> None:
    (attempt,) = given(requested(), started()).attempts
    assert (attempt.next_check_at, attempt.final_check_at) == (attempt.started_at, None)


def test_every_look_is_counted_and_says_when_the_next_one_is() -> None:
    history = given(
        requested(), scheduled(), in_doubt(), looked("unreachable", 1, 600), looked("unreachable", 2)
    )
    assert (history.attempts[0].checks, history.attempts[0].next_check_at) == (2, None)


def test_a_verdict_without_its_outcome_proves_nothing_and_is_due_at_once() -> None:
    (attempt,) = given(requested(), scheduled(), in_doubt(), looked("declined", 1, 600)).attempts
    assert (attempt.status, attempt.next_check_at) == ("IN_DOUBT", BEGIN + timedelta(milliseconds=30))


@pytest.mark.parametrize("outcome", [declined(), not_sent()])
def test_what_has_failed_is_looked_at_once_more(outcome: Event) -> None:
    (attempt,) = given(requested(), scheduled(), outcome).attempts
    assert attempt.next_check_at == attempt.final_check_at == BEGIN + timedelta(days=3)


def test_what_has_succeeded_is_not_looked_at_again() -> None:
    assert given(requested(), scheduled(), succeeded(), paid()).attempts[0].next_check_at is None


def test_a_success_names_the_attempt_that_paid() -> None:
    assert given(requested(), started(), succeeded(), paid()).payment.paid_by == FIRST
    assert given(requested(), started(), in_doubt(), LATE).payment.paid_by is None


@pytest.mark.parametrize(("kept", "late"), [(True, "keep"), (False, "give_back")])
def test_a_late_success_shows_what_is_to_become_of_it(kept: bool, late: str) -> None:
    detected = replace(LATE, kept=kept)
    (attempt,) = given(requested(), scheduled(), declined(), failed(), detected).attempts
    assert (attempt.status, attempt.late) == ("SUCCEEDED", late)
    assert (attempt.next_check_at is None) == kept


def test_an_attempt_is_in_review_until_it_is_certain() -> None:
    review = (requested(), scheduled(), in_doubt(), ReviewRequested(unsettled=(FIRST,)))
    assert (given(*review).attempts[0].in_review, given(*review).attempts[0].next_check_at) == (True, None)
    assert not given(*review, succeeded(verified=True)).attempts[0].in_review


def test_what_is_certain_is_not_put_before_a_person() -> None:
    (attempt,) = given(requested(), scheduled(), declined(), ReviewRequested(unsettled=(FIRST,))).attempts
    assert (attempt.in_review, attempt.next_check_at) == (False, BEGIN + timedelta(days=3))


def test_the_owner_changes_with_the_epoch() -> None:
    first = [recorded(requested(), 0), recorded(started(), 1), recorded(handed_over(FIRST), 2)]
    window = Window(valid_from_ms=BEGIN_MS + 20, valid_until_ms=BEGIN_MS + 60_000)
    taken_over = recorded(TAKEN_OVER, 3, epoch=2, window=window)
    given_up = folded(first).payment
    taken = folded([*first, taken_over]).payment

    assert folded(first[:2]).payment.owned_until_ms == WINDOW.valid_until_ms
    assert (given_up.epoch, given_up.handed_over, given_up.owned_until_ms) == (1, True, BEGIN_MS + 20)
    assert (taken.epoch, taken.handed_over, taken.owned_until_ms) == (2, False, BEGIN_MS + 60_000)


def test_a_void_record_leaves_nothing_but_its_offset() -> None:
    late = recorded(paid(), 2, stamp_ms=WINDOW.valid_until_ms)
    history = folded([recorded(requested(), 0), recorded(started(), 1), late])

    assert history.payment.offsets == (0, 1, 2)
    assert (history.payment.status, history.payment.sequence) == ("PENDING_VERIFICATION", 2)


def test_a_payment_of_void_records_does_not_exist() -> None:
    history = folded([recorded(requested(), 7, stamp_ms=WINDOW.valid_until_ms)])

    assert (history.payment.sequence, history.payment.order, history.payment.offsets) == (0, None, (7,))


def test_a_success_without_its_attempt_shows_the_attempt() -> None:
    history = given(paid())

    assert (history.payment.status, history.payment.order) == ("SUCCESS", None)
    assert [(attempt.attempt_id, attempt.status) for attempt in history.attempts] == [(FIRST, "SUCCEEDED")]


def test_an_attempt_without_its_request_is_kept() -> None:
    history = given(started())

    assert (history.payment.order, history.payment.attempts, history.attempts[0].status) == (
        None,
        1,
        "STARTED",
    )


EVERY_EVENT: list[Event] = [
    requested(),
    ExperimentAssigned(experiment_id="exp", variant="b", treatment=True),
    routed(),
    started(),
    declined(),
    not_sent(),
    in_doubt(),
    awaiting(),
    started(SECOND, BETA, after_ms=20),
    succeeded(SECOND, BETA),
    succeeded(verified=True),
    paid(SECOND, BETA),
    failed(),
    handed_over(FIRST),
    TAKEN_OVER,
    VerificationPerformed(attempt_id=FIRST, check=1, verdict="still_pending"),
    ReviewRequested(unsettled=(FIRST,)),
    ReviewSettled(attempt_id=FIRST, verdict="succeeded", settled_by="asha", note="seen"),
    LATE,
    ChargeCompensated(attempt_id=FIRST, gateway=ALPHA, gateway_reference="ref_late", by="void"),
]


def test_every_event_is_among_those_tried() -> None:
    assert {type(event) for event in EVERY_EVENT} == set(get_args(PaymentEvent))


@for_any(
    st.lists(
        st.tuples(st.sampled_from(EVERY_EVENT), st.integers(1, 30), st.integers(1, 3), st.booleans()),
        min_size=1,
        max_size=25,
    ),
    st.integers(1, 25),
)
def test_any_events_in_any_order_fold_and_break_no_law(
    told: list[tuple[Event, int, int, bool]], at_once: int
) -> None:
    records = [
        recorded(
            event,
            offset,
            sequence=sequence,
            epoch=epoch,
            stamp_ms=WINDOW.valid_until_ms + offset if void else None,
        )
        for offset, (event, sequence, epoch, void) in enumerate(told)
    ]
    history = None
    paid_before = False
    for record in records:
        history = evolve(history, record)
        payment = history.payment
        assert payment.status == "SUCCESS" or not paid_before
        paid_before = payment.status == "SUCCESS"
        assert (payment.latency_ms is not None) == (payment.status in ("SUCCESS", "FAILURE"))
        assert (payment.next_action is not None) <= (payment.status == "AWAITING_CUSTOMER")
        assert payment.attempts == len({attempt.attempt_id for attempt in history.attempts})
    assert history is not None
    assert history.payment.payment_id == PAYMENT
    assert history.payment.offsets == tuple(range(len(records)))
    in_runs = None
    for begin in range(0, len(records), at_once):
        in_runs = fold(in_runs, records[begin : begin + at_once])
    assert in_runs == history
