"""What the read model shows is what the verifier knows: at every moment, whatever part of a decision has landed.

Otherwise a payment would be taken over for nothing, again and again, or be forgotten.
"""

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from commands.payment import decide
from commands.payment_state import Attempt, Open, PaymentState, Settled
from projections.payments import evolve as project
from projections.verifications import work
from schemas.payment import CloseUnattempted, PaymentEvent, PaymentRequested, SettlePayment
from schemas.verification import CLOSE_AFTER
from schemas.views import AttemptView, PaymentHistory
from tests.builders import AT, HORIZON_S, recorded, requested, routed
from tests.commands.test_verification_laws import histories
from tests.spec import state_after

MOMENTS = st.sampled_from([0.0, 90.0, 600.0, 901.0, 7_200.0, HORIZON_S * 1.0, HORIZON_S * 9.0]).map(
    lambda after_s: AT + timedelta(seconds=after_s)
)


def shown(events: list[PaymentEvent]) -> PaymentHistory:
    history: PaymentHistory | None = None
    for offset, event in enumerate(events):
        history = project(history, recorded(event, offset=offset))
    assert history is not None
    return history


def of_the_view(attempt: AttemptView) -> tuple[object, ...]:
    is_settled = attempt.status in ("SUCCEEDED", "DECLINED", "NOT_SENT")
    late, compensated = attempt.late, attempt.compensated_by
    return is_settled, attempt.in_review, late, compensated, attempt.checks


def of_the_state(attempt: Attempt) -> tuple[object, ...]:
    late = attempt.late and ("keep" if attempt.late.kept else "give_back")
    compensated = attempt.compensated_by and attempt.compensated_by.by
    return attempt.is_settled, attempt.in_review, late, compensated, attempt.checks


@settings(max_examples=300)
@given(histories())
def test_view_and_state_agree_after_every_event(history: list[PaymentEvent]) -> None:
    for length in range(1, len(history) + 1):
        state, view = state_after(*history[:length]), shown(history[:length])
        assert isinstance(state, Open | Settled)
        assert [of_the_view(one) for one in view.attempts] == [of_the_state(one) for one in state.attempts]
        assert (view.payment.status in ("SUCCESS", "FAILURE")) == isinstance(state, Settled)


@settings(max_examples=300)
@given(histories(), MOMENTS)
def test_work_is_due_whenever_there_is_something_to_do_and_only_then(
    history: list[PaymentEvent], at: datetime
) -> None:
    due_at = work(shown(history)).due_at
    assert (due_at is not None and due_at <= at) == has_work(state_after(*history), at)


@given(st.sampled_from([[requested()], [requested(), routed()], [routed()]]), MOMENTS)
def test_a_request_without_an_attempt_is_due_when_it_is_to_be_closed(
    history: list[PaymentEvent], at: datetime
) -> None:
    due_at = work(shown(history)).due_at
    assert (due_at is not None and due_at <= at) == has_work(state_after(*history), at)
    assert (due_at is None) == (not isinstance(history[0], PaymentRequested))


def has_work(state: PaymentState, at: datetime) -> bool:
    """What a verifier that took the payment over at that moment would find to do."""
    assert isinstance(state, Open | Settled)
    is_half_done = bool(decide(SettlePayment(), state))
    is_to_be_closed = bool(decide(CloseUnattempted(after=CLOSE_AFTER, at=at), state))
    return is_half_done or is_to_be_closed or any(is_due(attempt, at) for attempt in state.attempts)


def is_due(attempt: Attempt, at: datetime) -> bool:
    if attempt.in_review:
        return False
    if attempt.next_check_at is None:
        return not attempt.is_settled or attempt.must_be_given_back
    return attempt.next_check_at <= at
