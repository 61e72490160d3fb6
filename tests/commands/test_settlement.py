"""What follows from a verdict, row by row: the verifier's decisions about money."""

from itertools import pairwise

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from commands.payment_state import DECLINED_IN_REVIEW, Attempt, Open, Settled
from commands.settlement import (
    GIVE_BACK_FIRST_S,
    GIVE_BACK_LAST_S,
    RETRIES_MAX,
    RETRY_LAST,
    next_check_at,
)
from commands.verdicts import may_burn, needs_capture, verdict_of
from schemas.charge import Burned, Burning, GivenBack, InUse, LookUp, NotFound
from schemas.dimensions import Earlier
from schemas.errors import Refusal
from schemas.outcome import Declined, NotSent, Outcome
from schemas.payment import (
    PaymentCommand,
    PaymentEvent,
    PaymentFailed,
    SettlePayment,
    VerificationPerformed,
)
from schemas.routing_configuration import RetryPolicy
from schemas.verification import Schedule, Source, Verdict
from tests.builders import (
    AT,
    HORIZON_S,
    SCHEDULE,
    attempt_awaiting,
    attempt_declined,
    attempt_in_doubt,
    attempt_not_sent,
    attempt_succeeded,
    awaiting,
    declined,
    in_doubt,
    not_sent,
    payment_succeeded,
    requested,
    routed,
    started,
    success,
)
from tests.spec import decided, given, state_after
from tests.verifying import (
    DECLINED_BEFORE,
    GIVEN_BACK,
    HORIZON,
    IN_DOUBT_BEFORE,
    NEXT_S,
    NO_FUNDS,
    NOBODY_REACHED,
    NOT_ATTEMPTED,
    UNREACHABLE,
    Settlement,
    after,
    closing,
    compensated,
    found,
    giving_back,
    in_review,
    late,
    paid_by,
    performed,
    reviewed,
    seen,
    the_review,
    verified_decline,
    verified_not_sent,
    verified_success,
)

BEGUN: tuple[PaymentEvent, ...] = (requested(), routed(), started())
IN_DOUBT = (*BEGUN, attempt_in_doubt())
TWO_IN_DOUBT = (*IN_DOUBT, started(2, "beta"), attempt_in_doubt(2, "beta"))
"""What `retry_on_timeout` may lead to."""
PAID_BY_THE_SECOND = (
    *IN_DOUBT,
    started(2, "beta"),
    attempt_succeeded(2, "beta"),
    payment_succeeded(2, "beta"),
)
DECLINED = (*BEGUN, attempt_declined(declined()), NO_FUNDS)
KEEPS = RetryPolicy(keep_late_success=True)
DECLINED_AND_KEEPS = (
    requested(),
    routed(policy=KEEPS),
    started(),
    attempt_declined(declined()),
    NO_FUNDS,
)
IN_REVIEW = (*IN_DOUBT, performed("still_pending"), in_review())
BURNED = not_sent("burned")


def the_state(*history: PaymentEvent) -> Open | Settled:
    state = state_after(*history)
    assert isinstance(state, Open | Settled)
    return state


def the_attempt(*history: PaymentEvent) -> Attempt:
    return the_state(*history).attempts[0]


# When it is looked at again

schedules = st.lists(st.integers(1, 10_000_000), min_size=1, max_size=8, unique=True).map(
    lambda moments: Schedule(after_s=tuple(sorted(moments)))
)


@for_any(schedules, st.floats(-1_000, 20_000_000))
def test_the_next_look_is_a_later_moment_of_the_schedule_and_none_is_left_out(
    schedule: Schedule, at_s: float
) -> None:
    at = after(at_s)
    moments = [after(after_s) for after_s in schedule.after_s]
    next_at = next_check_at(AT, schedule, at)
    assert next_at == min((moment for moment in moments if moment > at), default=None)
    assert (next_at is None) == (at >= moments[-1])


@pytest.mark.parametrize("verdict", ["still_pending", "not_found_yet", "unreachable", "mismatched"])
@pytest.mark.parametrize("history", [BEGUN, IN_DOUBT, (*BEGUN, attempt_awaiting())])
def test_a_look_that_proves_nothing_is_followed_by_another(
    history: tuple[PaymentEvent, ...], verdict: Verdict
) -> None:
    given(*history).when(seen(verdict)).then(performed(verdict, next_at=after(NEXT_S)))


def test_looks_are_counted() -> None:
    given(*IN_DOUBT, performed("unreachable"), performed("unreachable", check=2)).when(
        seen("still_pending")
    ).then(performed("still_pending", check=3, next_at=after(NEXT_S)))


@pytest.mark.parametrize("verdict", ["still_pending", "not_found_yet", "mismatched"])
def test_when_the_schedule_is_exhausted_a_person_decides_and_nothing_fails_by_assumption(
    verdict: Verdict,
) -> None:
    last_s = SCHEDULE.after_s[-1]
    given(*IN_DOUBT).when(seen(verdict, after_s=last_s)).then(performed(verdict), in_review())


def test_a_gateway_that_does_not_answer_is_asked_beyond_the_schedule_and_then_a_person_is() -> None:
    """However long we were away ourselves: one look that failed proves nothing."""
    at_s = SCHEDULE.after_s[-1] * 10
    given(*IN_DOUBT).when(seen("unreachable", after_s=at_s)).then(
        performed("unreachable", next_at=after(at_s + 60), retry=1)
    )
    silence = performed("unreachable", check=13, retry=RETRIES_MAX)
    given(*IN_DOUBT, silence).when(seen("unreachable", after_s=at_s)).then(
        performed("unreachable", check=14), in_review()
    )


def test_looks_that_were_not_answered_within_the_schedule_do_not_count_beyond_it() -> None:
    silences = [performed("unreachable", check=check) for check in range(1, 9)]
    at_s = SCHEDULE.after_s[-1]
    given(*IN_DOUBT, *silences).when(seen("unreachable", after_s=at_s)).then(
        performed("unreachable", check=9, next_at=after(at_s + 60), retry=1)
    )


def test_a_person_is_asked_once() -> None:
    given(*IN_REVIEW).when(seen("still_pending", after_s=99_999)).then(performed("still_pending", check=2))


def test_an_attempt_in_review_may_still_become_certain_by_itself() -> None:
    given(*IN_REVIEW).when(seen("succeeded", success())).then(
        verified_success(), performed("succeeded", check=2), paid_by()
    )


def test_only_the_attempt_that_was_looked_at_goes_into_review() -> None:
    last_s = SCHEDULE.after_s[-1]
    given(*TWO_IN_DOUBT).when(seen("still_pending", of=2, after_s=last_s)).then(
        performed("still_pending", of=2), in_review(2)
    )


def test_a_look_at_an_unknown_attempt_changes_nothing() -> None:
    given(*IN_DOUBT).when(seen("succeeded", success(), of=7)).then_nothing()


# What is certain settles the payment


@pytest.mark.parametrize(
    ("history", "before"),
    [
        (BEGUN, None),
        (IN_DOUBT, IN_DOUBT_BEFORE),
        ((*BEGUN, attempt_awaiting()), Earlier(kind="awaiting_customer")),
    ],
)
@pytest.mark.parametrize("source", ["look_up", "notification"])
def test_a_verified_success_pays(
    history: tuple[PaymentEvent, ...], before: Earlier | None, source: Source
) -> None:
    given(*history).when(seen("succeeded", success(), source=source)).then(
        verified_success(instead_of=before), performed("succeeded", source=source), paid_by()
    )


@pytest.mark.parametrize(
    ("history", "before"),
    [
        (BEGUN, None),
        (IN_DOUBT, IN_DOUBT_BEFORE),
        ((*BEGUN, attempt_awaiting()), Earlier(kind="awaiting_customer")),
    ],
)
@pytest.mark.parametrize("source", ["look_up", "notification"])
def test_a_verified_decline_fails_and_is_looked_at_once_more(
    history: tuple[PaymentEvent, ...], before: Earlier | None, source: Source
) -> None:
    given(*history).when(seen("declined", declined(), source=source)).then(
        verified_decline(declined(), instead_of=before),
        performed("declined", next_at=HORIZON, source=source),
        NO_FUNDS,
    )


def test_a_burned_reference_fails_and_is_looked_at_once_more() -> None:
    given(*IN_DOUBT).when(seen("not_sent", BURNED)).then(
        verified_not_sent(), performed("not_sent", next_at=HORIZON), NOBODY_REACHED
    )


@pytest.mark.parametrize("outcome", [declined(), BURNED])
def test_no_failure_is_told_while_another_attempt_is_in_doubt(outcome: Declined | NotSent) -> None:
    verdict: Verdict = "declined" if isinstance(outcome, Declined) else "not_sent"
    events = decided(seen(verdict, outcome), *TWO_IN_DOUBT)
    assert [type(event).__name__ for event in events][1:] == ["VerificationPerformed"]


def test_the_failure_is_told_when_the_last_doubt_is_gone() -> None:
    history = (*TWO_IN_DOUBT, verified_decline(declined()), performed("declined", next_at=HORIZON))
    given(*history).when(seen("not_sent", BURNED, of=2)).then(
        verified_not_sent(2, "beta"), performed("not_sent", of=2, next_at=HORIZON), NO_FUNDS
    )


def test_a_success_pays_beside_another_attempt_that_is_in_doubt() -> None:
    given(*TWO_IN_DOUBT).when(seen("succeeded", success(), of=2)).then(
        verified_success(2, "beta"), performed("succeeded", of=2), paid_by(2, "beta")
    )


# A second success


def test_a_second_success_is_late_and_is_to_be_given_back() -> None:
    given(*PAID_BY_THE_SECOND).when(seen("succeeded", success())).then(
        verified_success(), performed("succeeded"), late()
    )


def test_a_second_success_is_given_back_also_where_the_merchant_keeps_a_single_late_one() -> None:
    history = (*PAID_BY_THE_SECOND[:1], routed(policy=KEEPS), *PAID_BY_THE_SECOND[2:])
    given(*history).when(seen("succeeded", success())).then(
        verified_success(), performed("succeeded"), late()
    )


@pytest.mark.parametrize(
    ("verdict", "outcome"), [("declined", declined()), ("not_sent", BURNED)], ids=["declined", "burned"]
)
def test_an_earlier_attempt_that_took_nothing_changes_nothing_about_a_success(
    verdict: Verdict, outcome: Outcome
) -> None:
    state = state_after(*PAID_BY_THE_SECOND, *decided(seen(verdict, outcome), *PAID_BY_THE_SECOND))
    assert isinstance(state, Settled)
    assert state.result == payment_succeeded(2, "beta")


# A success after we said FAILURE


def test_a_success_after_a_failure_is_late_and_is_to_be_given_back() -> None:
    given(*DECLINED).when(seen("succeeded", success())).then(
        verified_success(instead_of=DECLINED_BEFORE), performed("succeeded"), late()
    )


def test_a_merchant_may_keep_a_single_success_after_a_failure() -> None:
    given(*DECLINED_AND_KEEPS).when(seen("succeeded", success())).then(
        verified_success(instead_of=DECLINED_BEFORE), performed("succeeded"), late(kept=True), paid_by()
    )


def test_of_two_successes_after_a_failure_the_second_is_not_kept() -> None:
    history = (
        requested(),
        routed(policy=KEEPS),
        started(),
        attempt_declined(declined()),
        started(2, "beta"),
        attempt_not_sent(2, "beta"),
        NO_FUNDS,
        verified_success(),
        performed("succeeded"),
        late(kept=True),
        paid_by(),
    )
    given(*history).when(seen("succeeded", success(), of=2)).then(
        verified_success(2, "beta", instead_of=Earlier(kind="not_sent", code="connect")),
        performed("succeeded", of=2),
        late(2, "beta"),
    )


def test_money_of_another_amount_is_never_kept() -> None:
    given(*DECLINED_AND_KEEPS).when(seen("mismatched", success())).then(late(), performed("mismatched"))


@pytest.mark.parametrize("landed", [(late(),), (performed("mismatched"),), (late(), performed("mismatched"))])
def test_no_part_of_that_decision_can_be_taken_for_a_payment(landed: tuple[PaymentEvent, ...]) -> None:
    for history in (DECLINED_AND_KEEPS, (*BEGUN, attempt_declined(declined()), started(2, "beta"))):
        given(*history, *landed).when(SettlePayment()).then_nothing()


def test_of_money_of_another_amount_a_verdict_alone_is_looked_at_again_at_once() -> None:
    attempt = the_attempt(*DECLINED_AND_KEEPS, performed("mismatched"))
    assert attempt.next_check_at == AT


TWO_FAILED_AND_KEEPS = (
    requested(),
    routed(policy=KEEPS),
    started(),
    attempt_not_sent(),
    started(2, "beta"),
    attempt_declined(declined(), 2, "beta"),
    NO_FUNDS,
)


def test_beside_a_late_success_that_goes_back_another_is_not_kept_either() -> None:
    history = (*TWO_FAILED_AND_KEEPS, late(), performed("mismatched"))
    given(*history).when(seen("succeeded", success(), of=2)).then(
        verified_success(2, "beta", instead_of=DECLINED_BEFORE), performed("succeeded", of=2), late(2, "beta")
    )


def test_of_two_late_successes_that_were_not_settled_none_is_kept() -> None:
    history = (*TWO_FAILED_AND_KEEPS, verified_success(), verified_success(2, "beta"))
    given(*history).when(SettlePayment()).then(late(), late(2, "beta"))


# The last look at what had failed


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [(attempt_declined(declined()), "declined"), (attempt_declined(declined()), "not_sent")],
)
def test_nothing_found_at_the_end_of_the_horizon_is_final(outcome: PaymentEvent, verdict: Verdict) -> None:
    given(*BEGUN, outcome, NO_FUNDS).when(seen(verdict, declined(), after_s=HORIZON_S)).then(
        performed(verdict, is_final=True)
    )


def test_what_was_not_sent_is_looked_at_for_the_last_time_too() -> None:
    given(*BEGUN, attempt_not_sent(), NOBODY_REACHED).when(
        seen("not_sent", not_sent(), after_s=HORIZON_S)
    ).then(performed("not_sent", is_final=True))


def test_after_its_last_look_nobody_looks_again() -> None:
    last = decided(seen("declined", declined(), after_s=HORIZON_S), *DECLINED)
    assert the_attempt(*DECLINED, *last).next_check_at is None


def test_a_look_before_the_end_of_the_horizon_is_not_the_last() -> None:
    given(*DECLINED).when(seen("declined", declined(), after_s=60)).then(
        performed("declined", next_at=HORIZON)
    )


@pytest.mark.parametrize("verdict", ["unreachable", "still_pending", "mismatched"])
def test_a_look_that_tells_nothing_before_the_end_of_the_horizon_hastens_nothing(verdict: Verdict) -> None:
    given(*DECLINED).when(seen(verdict, after_s=60)).then(performed(verdict, next_at=HORIZON))


def test_a_gateway_that_does_not_answer_at_the_end_is_asked_less_and_less_often() -> None:
    history: list[PaymentEvent] = [*DECLINED]
    at_s, waits = float(HORIZON_S), list[float]()
    while True:
        events = decided(seen("unreachable", after_s=at_s), *history)
        (checked,) = events
        assert isinstance(checked, VerificationPerformed)
        history += events
        if checked.next_check_at is None:
            break
        waits.append((checked.next_check_at - after(at_s)).total_seconds())
        at_s += waits[-1]
    assert checked.is_final
    hour_s = RETRY_LAST.total_seconds()
    assert waits == [60, 120, 240, 480, 960, 1_920, *[hour_s] * (RETRIES_MAX - 6)]


def test_the_last_look_is_not_given_up_because_we_were_away() -> None:
    given(*DECLINED).when(seen("unreachable", after_s=HORIZON_S * 2)).then(
        performed("unreachable", next_at=after(HORIZON_S * 2 + 60), retry=1)
    )


# What is told again


@pytest.mark.parametrize(
    "command",
    [
        seen("succeeded", success(), source="notification"),
        seen("declined", declined(), source="notification"),
        seen("declined", declined()),
        seen("still_pending"),
    ],
)
def test_nothing_more_is_learned_of_a_success(command: PaymentCommand) -> None:
    given(*BEGUN, attempt_succeeded(), payment_succeeded()).when(command).then_nothing()


def test_a_decline_that_is_notified_again_changes_nothing() -> None:
    given(*DECLINED).when(seen("declined", declined(), source="notification")).then_nothing()


def test_captured_then_failed_and_failed_then_captured_come_to_one_end() -> None:
    """Notifications may overtake one another: who is told of both knows that there is money."""
    both = (
        seen("succeeded", success(), source="notification"),
        seen("declined", declined(), source="notification"),
    )
    ends = []
    for told in (both, both[::-1]):
        history: list[PaymentEvent] = [*DECLINED_AND_KEEPS[:-2]]
        for command in told:
            history += decided(command, *history)
        state = state_after(*history)
        assert isinstance(state, Settled)
        ends.append((state.result, state.attempts[0].outcome))
    assert ends[0] == ends[1] == (paid_by(), success())


# A person settles


@pytest.mark.parametrize(
    ("verdict", "reference", "events"),
    [
        ("succeeded", "txn_9", (verified_success(reference="txn_9"), paid_by(reference="txn_9"))),
        ("not_sent", None, (verified_not_sent(reason="reviewed"), NOBODY_REACHED)),
    ],
)
def test_a_person_settles_what_verification_could_not(
    verdict: Settlement, reference: str | None, events: tuple[PaymentEvent, PaymentEvent]
) -> None:
    outcome, end = events
    next_at = None if verdict == "succeeded" else HORIZON
    given(*IN_REVIEW).when(the_review(verdict, reference=reference)).then(
        reviewed(verdict, reference=reference),
        outcome,
        performed(verdict, check=2, next_at=next_at, source="review"),
        end,
    )


def test_a_decline_in_review_says_that_a_person_decided() -> None:
    by_hand = Declined(decline=DECLINED_IN_REVIEW)
    events = decided(the_review("declined"), *IN_REVIEW)
    assert events[:3] == [
        reviewed("declined"),
        verified_decline(by_hand),
        performed("declined", check=2, next_at=HORIZON, source="review"),
    ]
    assert isinstance(events[3], PaymentFailed)
    assert events[3].failure.code == "declined_in_review"


def test_a_success_without_the_gateways_reference_is_refused() -> None:
    given(*IN_REVIEW).when(the_review("succeeded")).then_refused(Refusal.REFERENCE_MISSING)


@pytest.mark.parametrize("verdict", ["succeeded", "declined", "not_sent"])
@pytest.mark.parametrize(
    "history",
    [
        IN_DOUBT,
        (*IN_REVIEW, verified_success(), performed("succeeded", check=2), paid_by()),
        (*IN_REVIEW, verified_decline(declined()), performed("declined", check=2, next_at=HORIZON), NO_FUNDS),
    ],
    ids=["before", "paid meanwhile", "declined meanwhile"],
)
def test_a_person_is_not_listened_to_unless_asked(
    history: tuple[PaymentEvent, ...], verdict: Settlement
) -> None:
    given(*history).when(the_review(verdict, reference="txn_9")).then_nothing()


def test_a_second_success_is_late_whoever_says_so() -> None:
    history = (*PAID_BY_THE_SECOND, performed("unreachable"), in_review())
    assert decided(the_review("succeeded", reference="txn_1"), *history)[-1] == late()


# Giving back

TO_GIVE_BACK = (*PAID_BY_THE_SECOND, verified_success(), performed("succeeded"), late())


@pytest.mark.parametrize("by", ["void", "refund"])
def test_what_was_given_back_is_compensated(by: str) -> None:
    answer = GivenBack(by=by)  # type: ignore[arg-type]  # one of the two
    given(*TO_GIVE_BACK).when(giving_back(answer)).then(compensated(by=answer.by))


def test_money_is_given_back_once() -> None:
    given(*TO_GIVE_BACK, compensated()).when(giving_back(GIVEN_BACK)).then_nothing()


@pytest.mark.parametrize(
    "history",
    [
        IN_DOUBT,
        (*BEGUN, attempt_succeeded(), payment_succeeded()),
        DECLINED,
        (*DECLINED_AND_KEEPS, verified_success(), late(kept=True), paid_by()),
    ],
    ids=["in doubt", "paid", "declined", "kept"],
)
def test_nothing_but_a_late_success_is_given_back(history: tuple[PaymentEvent, ...]) -> None:
    given(*history).when(giving_back(GIVEN_BACK)).then_nothing()


def test_giving_back_is_tried_again_at_longer_and_longer_intervals_of_an_hour_at_most() -> None:
    history: list[PaymentEvent] = [*PAID_BY_THE_SECOND, late()]
    waits = list[float]()
    for _ in range(30):
        (failed,) = decided(giving_back(UNREACHABLE), *history)
        assert isinstance(failed, VerificationPerformed)
        assert failed.next_check_at is not None
        assert failed.verdict == "unreachable"
        history.append(failed)
        waits.append((failed.next_check_at - after(100)).total_seconds())
    assert waits[0] == GIVE_BACK_FIRST_S
    assert all(later == min(2 * wait, GIVE_BACK_LAST_S) for wait, later in pairwise(waits))
    assert waits[-1] == GIVE_BACK_LAST_S


def test_giving_back_is_never_given_up() -> None:
    history = (*TO_GIVE_BACK, performed("unreachable", check=10_000, next_at=after(3_600)))
    (failed,) = decided(giving_back(UNREACHABLE), *history)
    assert isinstance(failed, VerificationPerformed)
    assert failed.next_check_at is not None


# Closing


def test_a_request_that_never_got_an_attempt_is_closed_when_its_time_has_come() -> None:
    given(requested(), routed()).when(closing(900)).then(NOT_ATTEMPTED)


def test_until_then_its_key_may_start_it_afresh() -> None:
    given(requested(), routed()).when(closing(899.999)).then_nothing()


@pytest.mark.parametrize(
    "history",
    [BEGUN, IN_DOUBT, (started(),), (routed(),), (requested(), NOT_ATTEMPTED)],
    ids=["begun", "in doubt", "only a start", "no request", "closed"],
)
def test_nothing_else_is_closed(history: tuple[PaymentEvent, ...]) -> None:
    given(*history).when(closing(1_000_000)).then_nothing()


# What did not reach the log


@pytest.mark.parametrize(
    ("history", "end"),
    [
        ((*BEGUN, attempt_succeeded()), [paid_by()]),
        ((*BEGUN, attempt_declined(declined())), [NO_FUNDS]),
        ((*BEGUN, attempt_not_sent()), [NOBODY_REACHED]),
        ((*TWO_IN_DOUBT, verified_success(), verified_success(2, "beta")), [paid_by(), late(2, "beta")]),
        ((*PAID_BY_THE_SECOND, verified_success()), [late()]),
        ((*DECLINED, verified_success()), [late()]),
        ((*DECLINED_AND_KEEPS, verified_success()), [late(kept=True), paid_by()]),
        ((*DECLINED_AND_KEEPS, late(kept=True)), [paid_by()]),
    ],
)
def test_a_payment_is_brought_to_the_end_that_its_attempts_have_earned(
    history: tuple[PaymentEvent, ...], end: list[PaymentEvent]
) -> None:
    given(*history).when(SettlePayment()).then(*end)


@pytest.mark.parametrize(
    "history",
    [(), (requested(), routed()), BEGUN, IN_DOUBT, DECLINED, PAID_BY_THE_SECOND, TO_GIVE_BACK, IN_REVIEW],
)
def test_and_where_it_is_there_already_or_not_earned_yet_nothing_is_added(
    history: tuple[PaymentEvent, ...],
) -> None:
    given(*history).when(SettlePayment()).then_nothing()


def test_a_success_that_is_to_be_given_back_never_pays() -> None:
    given(*TWO_IN_DOUBT, late(2, "beta")).when(SettlePayment()).then_nothing()


def test_a_check_whose_outcome_was_lost_proves_nothing_and_is_due_at_once() -> None:
    assert the_attempt(*IN_DOUBT, performed("declined", next_at=HORIZON)).next_check_at == AT


@pytest.mark.parametrize("later", [verified_not_sent(), attempt_in_doubt(), attempt_awaiting()])
def test_the_first_certain_outcome_stands(later: PaymentEvent) -> None:
    assert state_after(*DECLINED, later) == state_after(*DECLINED)


def test_but_a_success_overrules_it() -> None:
    assert the_attempt(*DECLINED, verified_success()).outcome == success()


@pytest.mark.parametrize("later", [NO_FUNDS, paid_by(1)])
def test_the_first_success_of_a_payment_stands(later: PaymentEvent) -> None:
    state = the_state(*PAID_BY_THE_SECOND, later)
    assert isinstance(state, Settled)
    assert state.result == payment_succeeded(2, "beta")


# What an answer proves


@pytest.mark.parametrize(
    ("looked", "burning", "proves"),
    [
        (found(success()), None, ("succeeded", success())),
        (found(declined()), None, ("declined", declined())),
        (found(BURNED), None, ("not_sent", BURNED)),
        (found(awaiting()), None, ("still_pending", None)),
        (found(in_doubt("processing")), None, ("still_pending", None)),
        (found(success(), amount_minor=1), None, ("mismatched", None)),
        (found(success(), currency="USD"), None, ("mismatched", None)),
        (found(awaiting(), amount_minor=1), None, ("mismatched", None)),
        (found(declined(), amount_minor=1), None, ("declined", declined())),
        (NotFound(), None, ("not_found_yet", None)),
        (NotFound(), Burned(), ("not_sent", BURNED)),
        (NotFound(), InUse(), ("still_pending", None)),
        (NotFound(), UNREACHABLE, ("unreachable", None)),
        (UNREACHABLE, None, ("unreachable", None)),
    ],
)
def test_what_an_answer_proves_of_an_attempt_in_doubt(
    looked: LookUp, burning: Burning | None, proves: tuple[Verdict, Outcome | None]
) -> None:
    assert verdict_of(the_attempt(*IN_DOUBT), looked, burning) == proves


@pytest.mark.parametrize(
    ("looked", "proves"),
    [
        (NotFound(), ("not_sent", declined())),
        (found(declined()), ("declined", declined())),
        (found(success()), ("succeeded", success())),
        (found(success(), amount_minor=1), ("mismatched", success())),
        (found(awaiting(), amount_minor=1), ("mismatched", None)),
        (found(awaiting()), ("still_pending", None)),
        (UNREACHABLE, ("unreachable", None)),
    ],
)
def test_what_an_answer_proves_of_an_attempt_that_had_failed(
    looked: LookUp, proves: tuple[Verdict, Outcome | None]
) -> None:
    assert verdict_of(the_attempt(*DECLINED), looked, None) == proves


# Calls with an effect


def test_not_found_is_believed_when_the_call_has_ended_and_the_gateway_has_had_its_time() -> None:
    doubtful = the_attempt(*IN_DOUBT)
    assert not may_burn(doubtful, NotFound(), 2_000, after(4.499))
    assert may_burn(doubtful, NotFound(), 2_000, after(4.5))
    assert not may_burn(doubtful, NotFound(), 90_000, after(90))


@pytest.mark.parametrize("looked", [found(awaiting()), found(success()), UNREACHABLE])
def test_nothing_is_burned_that_may_live(looked: LookUp) -> None:
    assert not may_burn(the_attempt(*IN_DOUBT), looked, 0, after(1_000_000))


@pytest.mark.parametrize("history", [DECLINED, (*BEGUN, attempt_not_sent()), (*BEGUN, attempt_succeeded())])
def test_nothing_is_burned_that_has_an_outcome(history: tuple[PaymentEvent, ...]) -> None:
    assert not may_burn(the_attempt(*history), NotFound(), 0, after(1_000_000))


@pytest.mark.parametrize(
    ("history", "is_wanted"),
    [
        (IN_DOUBT, True),
        (DECLINED[:-1], True),
        (DECLINED, False),
        (DECLINED_AND_KEEPS, True),
        (PAID_BY_THE_SECOND, False),
    ],
    ids=["in doubt", "not settled", "failed", "failed and kept", "paid already"],
)
def test_authorised_money_is_taken_only_where_it_would_be_kept(
    history: tuple[PaymentEvent, ...], is_wanted: bool
) -> None:
    state = the_state(*history)
    authorised = found(success(), needs_capture=True)
    assert needs_capture(the_attempt(*history), authorised, state) == is_wanted
    assert not needs_capture(the_attempt(*history), found(success()), state)


@pytest.mark.parametrize("history", [IN_DOUBT, DECLINED_AND_KEEPS])
def test_money_of_another_amount_is_never_taken(history: tuple[PaymentEvent, ...]) -> None:
    authorised = found(success(), amount_minor=1, needs_capture=True)
    assert not needs_capture(the_attempt(*history), authorised, the_state(*history))
