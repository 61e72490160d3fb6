"""What follows from a verdict about an attempt: the verifier's decisions. None of them starts a charge.

Whatever the verdicts say, `settle` brings the payment to the end that its attempts have earned: one success pays it,
any other is late and given back, and it has failed only when every attempt certainly took nothing.
"""

from datetime import datetime, timedelta

from commands.outcome_events import outcome_event
from commands.payment_state import Attempt, Open, PaymentState, Settled, evolve, find, reviewed
from schemas.charge import GivenBack
from schemas.errors import Refusal, Refused
from schemas.outcome import Declined, Outcome, Succeeded
from schemas.payment import (
    ChargeCompensated,
    CloseUnattempted,
    Failure,
    LateSuccessDetected,
    PaymentEvent,
    PaymentFailed,
    PaymentSucceeded,
    RecordGivingBack,
    RecordVerification,
    ReviewRequested,
    ReviewSettled,
    SettleReview,
    VerificationPerformed,
)
from schemas.verification import Schedule

RETRY_FIRST = timedelta(minutes=1)
RETRY_LAST = timedelta(hours=1)
RETRIES_MAX = 24
"""1, 2, 4 … 32 minutes and then hourly, over 19 hours: so often a gateway that does not answer is asked where nothing
else is due."""
CLOCK_SLACK = timedelta(seconds=1)
"""The queue has judged by the store's clock that something is due; ours may be behind it."""
GIVE_BACK_FIRST_S = 5
GIVE_BACK_LAST_S = 3_600


def verify(command: RecordVerification, state: Open | Settled) -> list[PaymentEvent]:
    attempt = find(state, command.attempt_id)
    if attempt is None or isinstance(attempt.outcome, Succeeded):
        return []
    if command.outcome is not None:
        if command.verdict == "mismatched":
            return _another_amount(command, attempt, command.outcome)
        return _with_end(_certain(command, attempt, command.outcome), state)
    return _uncertain(command, attempt)


def settle_review(command: SettleReview, state: Open | Settled) -> list[PaymentEvent]:
    """Only while a person is asked: what has become certain meanwhile is not overruled."""
    attempt = find(state, command.attempt_id)
    if attempt is None or not attempt.in_review:
        return []
    if command.verdict == "succeeded" and not command.gateway_reference:
        raise Refused(Refusal.REFERENCE_MISSING, "a success names the gateway's reference")
    settled = ReviewSettled(
        attempt_id=command.attempt_id,
        verdict=command.verdict,
        settled_by=command.settled_by,
        note=command.note,
        gateway_reference=command.gateway_reference,
    )
    verified = RecordVerification(
        attempt_id=command.attempt_id,
        verdict=command.verdict,
        outcome=reviewed(settled),
        source="review",
        schedule=command.schedule,
        at=command.at,
    )
    return _with_end([settled, *_certain(verified, attempt, reviewed(settled))], state)


def give_back(command: RecordGivingBack, state: Open | Settled) -> list[PaymentEvent]:
    attempt = find(state, command.attempt_id)
    if attempt is None or attempt.late is None or not attempt.must_be_given_back:
        return []
    if isinstance(command.answer, GivenBack):
        return [
            ChargeCompensated(
                attempt_id=command.attempt_id,
                gateway=attempt.late.gateway,
                gateway_reference=attempt.late.gateway_reference,
                by=command.answer.by,
            )
        ]
    wait_s = min(GIVE_BACK_FIRST_S * 2 ** min(attempt.refused_returns, 20), GIVE_BACK_LAST_S)
    return [
        VerificationPerformed(
            attempt_id=command.attempt_id,
            check=attempt.checks + 1,
            verdict="unreachable",
            next_check_at=command.at + timedelta(seconds=wait_s),
        )
    ]


def close(command: CloseUnattempted, state: Open) -> list[PaymentEvent]:
    """A request that never got an attempt, and that nobody has started afresh in time."""
    requested = state.requested
    if state.attempts or requested is None or command.at < requested.requested_at + command.after:
        return []
    return [PaymentFailed(failure=Failure(code="not_attempted", blame="gateway", customer_may_retry=True))]


def settle(state: PaymentState) -> list[PaymentEvent]:
    """The end that the payment's attempts have earned, as far as it is not on the log yet."""
    match state:
        case Open(attempts=attempts) if any(_may_pay(one) for one in attempts):
            first, *others = [one for one in attempts if _may_pay(one)]
            return [_paid_by(first), *(_late(one, kept=False) for one in others)]
        case Open(attempts=attempts) if attempts and all(one.is_settled for one in attempts):
            return [PaymentFailed(failure=failure(attempts))]
        case Settled(attempts=attempts):
            successes = [one for one in attempts if _is_success(one)]
            return [event for one in successes for event in _after_the_end(one, state)]
        case _:
            return []


def _after_the_end(attempt: Attempt, state: Settled) -> list[PaymentEvent]:
    match state.result:
        case PaymentSucceeded(attempt_id=paid_by):
            is_news = attempt.started.attempt_id != paid_by and attempt.late is None
            return [_late(attempt, kept=False)] if is_news else []
        case PaymentFailed():
            is_wanted = keeps(attempt, state)
            detected = [_late(attempt, kept=is_wanted)] if attempt.late is None else []
            is_kept = attempt.late.kept if attempt.late is not None else is_wanted
            return [*detected, _paid_by(attempt)] if is_kept else [*detected]
    raise AssertionError(state.result)


def keeps(attempt: Attempt, state: Open | Settled) -> bool:
    """A merchant may keep a single late success: the only one there is."""
    others = [one for one in state.attempts if one.started.attempt_id != attempt.started.attempt_id]
    wishes = state.routed is not None and state.routed.policy.keep_late_success
    is_failed = isinstance(state, Settled) and isinstance(state.result, PaymentFailed)
    return wishes and is_failed and not any(_is_success(one) for one in others)


def failure(attempts: tuple[Attempt, ...]) -> Failure:
    """Explained by the last decline; without one nothing was ever sent."""
    declined = [one.outcome for one in attempts if isinstance(one.outcome, Declined)]
    if not declined:
        return Failure(code="no_gateway_reached", blame="gateway", customer_may_retry=True)
    decline = declined[-1].decline
    return Failure(
        code=decline.code,
        blame=decline.blame,
        customer_may_retry=decline.blame != "risk",
        gateway_code=decline.gateway_code,
    )


def _certain(command: RecordVerification, attempt: Attempt, outcome: Outcome) -> list[PaymentEvent]:
    """The outcome, where it is news, and the check that found it, which comes last: alone it proves nothing."""
    is_known = attempt.is_settled and not isinstance(outcome, Succeeded)
    if is_known and command.source != "look_up":
        return []
    final_at = attempt.started.final_check_at
    is_final = is_known and final_at is not None and command.at >= final_at
    failed = not isinstance(outcome, Succeeded)
    performed = VerificationPerformed(
        attempt_id=command.attempt_id,
        check=attempt.checks + 1,
        verdict=command.verdict,
        next_check_at=final_at if failed and not is_final else None,
        source=command.source,
        is_final=is_final,
    )
    if is_known:
        return [performed]
    latency_ms = max(0, round((command.at - attempt.started.started_at).total_seconds() * 1000))
    return [outcome_event(attempt, outcome, latency_ms, verified=True), performed]


def _another_amount(command: RecordVerification, attempt: Attempt, outcome: Outcome) -> list[PaymentEvent]:
    """A failed attempt has taken another amount than it was to: it pays nothing, whatever the payment is, and goes
    back.

    Its success is told by nothing else, so that no part of this decision can be taken for a payment.
    """
    assert isinstance(outcome, Succeeded)
    return [
        LateSuccessDetected(
            attempt_id=command.attempt_id,
            gateway=attempt.started.gateway,
            gateway_reference=outcome.gateway_reference,
            kept=False,
        ),
        VerificationPerformed(
            attempt_id=command.attempt_id,
            check=attempt.checks + 1,
            verdict="mismatched",
            source=command.source,
        ),
    ]


def _uncertain(command: RecordVerification, attempt: Attempt) -> list[PaymentEvent]:
    next_at, retry = _next_look(command, attempt)
    performed = VerificationPerformed(
        attempt_id=command.attempt_id,
        check=attempt.checks + 1,
        verdict=command.verdict,
        next_check_at=next_at,
        source=command.source,
        is_final=attempt.is_settled and next_at is None,
        retry=retry,
    )
    is_exhausted = next_at is None and not attempt.is_settled and not attempt.in_review
    review = [ReviewRequested(unsettled=(command.attempt_id,))] if is_exhausted else []
    return [performed, *review]


def _next_look(command: RecordVerification, attempt: Attempt) -> tuple[datetime | None, int]:
    """By the schedule; beyond it, and at the end of the horizon, a gateway that does not answer is asked again, each
    time after twice as long, a number of times that does not depend on for how long we were away ourselves."""
    if attempt.in_review:
        return None, 0
    final_at = attempt.started.final_check_at
    if attempt.is_settled and final_at is not None and command.at < final_at:
        return final_at, 0
    if not attempt.is_settled:
        next_at = next_check_at(attempt.started.started_at, command.schedule, _moment(command, attempt))
        if next_at is not None or command.verdict != "unreachable":
            return next_at, 0
    if attempt.retries >= RETRIES_MAX:
        return None, 0
    wait: timedelta = min(RETRY_FIRST * 2**attempt.retries, RETRY_LAST)
    return command.at + wait, attempt.retries + 1


def _moment(command: RecordVerification, attempt: Attempt) -> datetime:
    """The moment of the schedule that this check stands for: our clock may be a little behind the queue's."""
    due_at = attempt.next_check_at
    is_early = due_at is not None and command.at < due_at <= command.at + CLOCK_SLACK
    return due_at if is_early and due_at is not None else command.at


def next_check_at(started_at: datetime, schedule: Schedule, at: datetime) -> datetime | None:
    """The first moment of the schedule after `at`; None when the schedule is exhausted."""
    moments = (started_at + timedelta(seconds=after_s) for after_s in schedule.after_s)
    return next((moment for moment in moments if moment > at), None)


def _with_end(events: list[PaymentEvent], state: PaymentState) -> list[PaymentEvent]:
    for event in events:
        state = evolve(state, event)
    return [*events, *settle(state)]


def _is_success(attempt: Attempt) -> bool:
    return isinstance(attempt.outcome, Succeeded)


def _may_pay(attempt: Attempt) -> bool:
    """Not what is to be given back already, although the end that it came second to did not reach the log."""
    return _is_success(attempt) and attempt.late is None


def _paid_by(attempt: Attempt) -> PaymentSucceeded:
    assert isinstance(attempt.outcome, Succeeded)
    return PaymentSucceeded(
        attempt_id=attempt.started.attempt_id,
        gateway=attempt.started.gateway,
        gateway_reference=attempt.outcome.gateway_reference,
    )


def _late(attempt: Attempt, *, kept: bool) -> LateSuccessDetected:
    assert isinstance(attempt.outcome, Succeeded)
    return LateSuccessDetected(
        attempt_id=attempt.started.attempt_id,
        gateway=attempt.started.gateway,
        gateway_reference=attempt.outcome.gateway_reference,
        kept=kept,
    )
