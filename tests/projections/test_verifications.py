"""What verification has to do, folded from a payment's events: given what is on the log, when it is due and where."""

from datetime import datetime, timedelta

import pytest

from projections.payments import evolve
from projections.verifications import verification_status, work
from schemas.envelope import Recorded
from schemas.ids import GatewayId
from schemas.payment import PaymentEvent, PaymentHandedOver
from schemas.verification import CLOSE_AFTER, NO_GATEWAY, VerificationWork
from schemas.views import PaymentHistory
from tests.builders import (
    AT,
    PAYMENT,
    attempt,
    attempt_awaiting,
    attempt_declined,
    attempt_in_doubt,
    attempt_not_sent,
    attempt_succeeded,
    declined,
    payment_succeeded,
    recorded,
    requested,
    routed,
    started,
)
from tests.verifying import (
    HORIZON,
    NO_FUNDS,
    NOT_ATTEMPTED,
    after,
    compensated,
    in_review,
    late,
    paid_by,
    performed,
    reviewed,
    verified_decline,
    verified_success,
)

ALPHA, BETA = GatewayId("alpha"), GatewayId("beta")
FIRST_LOOK = after(90)
BEGUN: tuple[PaymentEvent, ...] = (requested(), routed(), started())
IN_DOUBT = (*BEGUN, attempt_in_doubt())
DECLINED = (*BEGUN, attempt_declined(declined()), NO_FUNDS)
PAID_BY_THE_SECOND = (
    *IN_DOUBT,
    started(2, "beta"),
    attempt_succeeded(2, "beta"),
    payment_succeeded(2, "beta"),
)
IN_REVIEW = (*IN_DOUBT, performed("unreachable"), in_review())
NOW = AT
"""When the last record was written: what is half done is due from then on."""


def records(*events: PaymentEvent) -> list[Recorded[PaymentEvent]]:
    return [recorded(event, offset=offset) for offset, event in enumerate(events)]


def shown(*events: PaymentEvent) -> PaymentHistory:
    history: PaymentHistory | None = None
    for record in records(*events):
        history = evolve(history, record)
    assert history is not None
    return history


def given(*events: PaymentEvent) -> "Given":
    return Given(work(shown(*events)))


class Given:
    def __init__(self, work: VerificationWork) -> None:
        self._work = work

    def then(self, gateway: GatewayId, due_at: datetime) -> None:
        assert (self._work.gateway, self._work.due_at) == (gateway, due_at)

    def then_it_is_urgent(self, urgent: bool) -> None:
        assert self._work.urgent is urgent

    def then_nothing_is_due(self) -> None:
        assert self._work.due_at is None


# Attempts without an outcome


@pytest.mark.parametrize("history", [BEGUN, IN_DOUBT, (*BEGUN, attempt_awaiting())])
def test_an_attempt_without_an_outcome_is_looked_at_when_the_schedule_says_so(
    history: tuple[PaymentEvent, ...],
) -> None:
    given(*history).then(ALPHA, FIRST_LOOK)


def test_each_look_says_when_the_next_one_is() -> None:
    given(*IN_DOUBT, performed("still_pending", next_at=after(600))).then(ALPHA, after(600))


def test_an_earlier_attempt_of_a_settled_payment_is_looked_at_too() -> None:
    given(*PAID_BY_THE_SECOND).then(ALPHA, FIRST_LOOK)


def test_of_two_attempts_the_earlier_look_is_due_first() -> None:
    history = (*IN_DOUBT, started(2, "beta"), attempt_in_doubt(2, "beta"))
    given(*history, performed("still_pending", next_at=after(600))).then(BETA, FIRST_LOOK)


def test_what_a_person_has_to_decide_is_not_due() -> None:
    given(*IN_REVIEW).then_nothing_is_due()


def test_a_last_look_whose_review_did_not_reach_the_log_is_due_at_once() -> None:
    given(*IN_DOUBT, performed("unreachable")).then(ALPHA, NOW)


@pytest.mark.parametrize("verdict", ["succeeded", "declined", "not_sent"])
def test_a_verdict_whose_outcome_did_not_reach_the_log_is_due_at_once(verdict: str) -> None:
    checked = performed(verdict, next_at=HORIZON)  # type: ignore[arg-type]  # one of the verdicts
    given(*IN_DOUBT, checked).then(ALPHA, NOW)


# Attempts with an outcome


@pytest.mark.parametrize("outcome", [attempt_declined(declined()), attempt_not_sent()])
def test_what_has_failed_is_looked_at_once_more_at_the_end_of_its_gateways_horizon(
    outcome: PaymentEvent,
) -> None:
    given(*BEGUN, outcome, NO_FUNDS).then(ALPHA, HORIZON)


def test_after_the_last_look_nothing_is_due() -> None:
    given(*DECLINED, performed("declined", is_final=True)).then_nothing_is_due()


def test_of_the_attempt_that_paid_nothing_is_due() -> None:
    given(*BEGUN, attempt_succeeded(), payment_succeeded()).then_nothing_is_due()


# What is urgent


@pytest.mark.parametrize(
    "history",
    [
        IN_DOUBT,
        (requested(),),
        (*BEGUN, attempt_succeeded()),
        (*DECLINED, verified_success(), late()),
        (*PAID_BY_THE_SECOND, verified_success()),
    ],
    ids=["in doubt", "not attempted", "without its end", "late", "second"],
)
def test_what_somebody_waits_for_is_urgent(history: tuple[PaymentEvent, ...]) -> None:
    given(*history).then_it_is_urgent(True)


@pytest.mark.parametrize(
    "history",
    [DECLINED, (*BEGUN, attempt_not_sent(), NO_FUNDS), (*DECLINED, performed("declined", is_final=True))],
    ids=["declined", "not sent", "nothing"],
)
def test_a_last_look_is_not_urgent(history: tuple[PaymentEvent, ...]) -> None:
    given(*history).then_it_is_urgent(False)


def test_a_last_look_before_something_urgent_is_as_urgent_and_counts_to_its_gateway() -> None:
    second = (started(2, "beta"), attempt_in_doubt(2, "beta"))
    later = performed("unreachable", of=2, next_at=HORIZON + timedelta(hours=1))
    declined_then_in_doubt = given(*BEGUN, attempt_declined(declined()), *second, later)
    declined_then_in_doubt.then(BETA, HORIZON)
    declined_then_in_doubt.then_it_is_urgent(True)


# Money that has to go back


def test_a_late_success_is_due_at_once_until_it_is_given_back() -> None:
    given(*DECLINED, verified_success(), performed("succeeded"), late()).then(ALPHA, NOW)
    given(*DECLINED, verified_success(), performed("succeeded"), late(), compensated()).then_nothing_is_due()


def test_giving_back_that_failed_is_due_when_it_is_tried_again() -> None:
    history = (*DECLINED, verified_success(), late())
    given(*history, performed("unreachable", next_at=after(105))).then(ALPHA, after(105))


def test_a_late_success_that_is_kept_is_not_due() -> None:
    given(*DECLINED, verified_success(), late(kept=True), paid_by()).then_nothing_is_due()


def test_money_that_was_given_back_is_not_due_although_its_success_was_never_recorded() -> None:
    given(*DECLINED, late(), compensated()).then_nothing_is_due()


# What is half done


@pytest.mark.parametrize(
    "history",
    [
        (*PAID_BY_THE_SECOND, verified_success()),
        (*DECLINED, verified_success()),
        (*DECLINED, late(kept=True)),
    ],
    ids=["second", "late", "kept"],
)
def test_a_late_success_of_which_nothing_was_made_is_due_at_once(history: tuple[PaymentEvent, ...]) -> None:
    given(*history).then(ALPHA, NOW)


@pytest.mark.parametrize(
    "history",
    [
        (*BEGUN, attempt_succeeded()),
        (*BEGUN, attempt_declined(declined())),
        (*BEGUN, attempt_not_sent()),
        (*IN_DOUBT, verified_decline(declined())),
        (*IN_REVIEW, reviewed("declined")),
    ],
)
def test_an_end_that_was_not_told_is_due_at_once_and_asks_no_gateway(
    history: tuple[PaymentEvent, ...],
) -> None:
    given(*history).then(NO_GATEWAY, NOW)


# Requests without an attempt


@pytest.mark.parametrize("history", [(requested(),), (requested(), routed())])
def test_a_request_without_an_attempt_is_due_when_it_is_to_be_closed(
    history: tuple[PaymentEvent, ...],
) -> None:
    given(*history).then(NO_GATEWAY, AT + CLOSE_AFTER)
    assert work(shown(*history), timedelta(seconds=7)).due_at == after(7)


def test_a_closed_request_is_not_due() -> None:
    given(requested(), NOT_ATTEMPTED).then_nothing_is_due()


def test_where_not_even_the_request_arrived_there_is_nothing_to_close() -> None:
    given(routed()).then_nothing_is_due()


def test_a_payment_of_void_records_is_not_due() -> None:
    void = recorded(requested(), stamp_ms=10_000)
    assert work(evolve(None, void)).due_at is None


# Whose row it is


def test_work_names_the_row_that_is_claimed() -> None:
    due = work(shown(*IN_DOUBT))
    assert (due.payment_id, due.merchant_id, due.key_hash) == (PAYMENT, "mrc_1", "5e0c")


def test_a_payment_without_its_request_has_a_row_under_its_own_id() -> None:
    due = work(shown(started()))
    assert (due.merchant_id, due.key_hash, due.gateway, due.due_at) == ("", PAYMENT, ALPHA, FIRST_LOOK)


def test_an_outcome_whose_start_is_not_on_the_log_is_not_looked_at() -> None:
    given(requested(), attempt_in_doubt()).then_nothing_is_due()


# What is told of it


def test_the_status_tells_every_check_of_every_attempt() -> None:
    checked = performed("still_pending", next_at=after(600))
    status = verification_status(records(*PAID_BY_THE_SECOND, checked))
    assert status is not None
    assert (status.status, status.next_check_at) == ("SUCCESS", after(600))
    first, second = status.attempts
    assert [(check.check, check.verdict, check.next_check_at) for check in first.checks] == [
        (1, "still_pending", after(600))
    ]
    assert (second.attempt_id, second.checks, second.next_check_at) == (attempt(2), (), None)


def test_the_status_tells_what_is_late_and_how_it_was_given_back() -> None:
    status = verification_status(records(*DECLINED, verified_success(), late(), compensated()))
    assert status is not None
    assert (status.status, status.next_check_at) == ("FAILURE", None)
    assert (status.attempts[0].late, status.attempts[0].compensated_by) == ("give_back", "refund")


def test_the_status_leaves_void_records_out() -> None:
    counted = records(*IN_DOUBT, PaymentHandedOver(unsettled=(attempt(),)))
    void = recorded(performed("declined"), offset=5, stamp_ms=10_000)
    status = verification_status([*counted, void])
    assert status is not None
    assert status.attempts[0].checks == ()
    assert verification_status([void]) is None
