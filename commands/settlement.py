"""What follows from a verdict about an attempt: the verifier's decisions. None of them starts a charge.

Whatever the verdicts say, `settle` brings the payment to the end that its attempts have earned: one success pays it,
any other is late and given back, and it has failed only when every attempt certainly took nothing.
"""

from datetime import datetime, timedelta

from commands.payment_state import Attempt, Open, PaymentState, Settled, evolve, find, reviewed
from schemas.charge import Burned, Burning, Found, GivenBack, InUse, LookUp, NotFound, Unreachable
from schemas.errors import Refusal, Refused
from schemas.outcome import AwaitingCustomer, Declined, InDoubt, NotSent, Outcome, Succeeded
from schemas.payment import (
    AttemptDeclined,
    AttemptNotSent,
    AttemptStarted,
    AttemptSucceeded,
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
from schemas.verification import Schedule, Verdict

FINAL_RETRY = timedelta(minutes=1)
FINAL_GIVEN_UP_AFTER = timedelta(days=1)
"""A gateway that does not answer at the end of its horizon is asked again, less and less often, for so long."""
GIVE_BACK_FIRST_S = 5
GIVE_BACK_LAST_S = 3_600


def verdict_of(attempt: Attempt, looked: LookUp, burning: Burning | None) -> tuple[Verdict, Outcome | None]:
    """What the gateway's answer proves; the outcome is None where it proves nothing."""
    started = attempt.started
    match looked:
        case NotFound() if attempt.is_settled:
            return "not_sent", attempt.outcome  # the last look at what had failed: nothing has come of it
        case Unreachable():
            return "unreachable", None
        case Found(outcome=Succeeded() | AwaitingCustomer()) if _is_another(started, looked):
            # Of a failed attempt even that is certain: it is money that has to go back.
            return "mismatched", looked.outcome if _is_late(attempt, looked) else None
        case Found(outcome=Succeeded() as succeeded):
            return "succeeded", succeeded
        case Found(outcome=Declined() as declined):
            return "declined", declined
        case Found(outcome=NotSent() as not_sent):
            return "not_sent", not_sent
        case Found(outcome=AwaitingCustomer() | InDoubt()):
            return "still_pending", None
    match burning:
        case Burned():
            return "not_sent", NotSent(reason="burned")
        case InUse():
            return "still_pending", None
        case Unreachable():
            return "unreachable", None
        case _:
            return "not_found_yet", None


def _is_another(started: AttemptStarted, found: Found) -> bool:
    return (found.amount_minor, found.currency) != (started.amount_minor, started.currency)


def _is_late(attempt: Attempt, found: Found) -> bool:
    return attempt.is_settled and isinstance(found.outcome, Succeeded)


def may_burn(attempt: Attempt, looked: LookUp, lookup_lag_ms: int, at: datetime) -> bool:
    """Whether *not found* is to be believed: the call has ended, and the gateway has had its own time to know of it."""
    lag = timedelta(milliseconds=attempt.started.timeout_ms + lookup_lag_ms)
    is_believed = isinstance(looked, NotFound) and at >= attempt.started.started_at + lag
    return is_believed and not attempt.is_settled


def needs_capture(attempt: Attempt, looked: LookUp, state: Open | Settled) -> bool:
    """Whether money that is only authorised is to be taken: not another amount, nor what would be given back."""
    if not isinstance(looked, Found) or _is_another(attempt.started, looked):
        return False
    return looked.needs_capture and (isinstance(state, Open) or _keeps(attempt, state))


def verify(command: RecordVerification, state: Open | Settled) -> list[PaymentEvent]:
    attempt = find(state, command.attempt_id)
    if attempt is None or isinstance(attempt.outcome, Succeeded):
        return []
    if command.outcome is not None:
        may_keep = command.verdict != "mismatched"
        return _with_end(_certain(command, attempt, command.outcome), state, may_keep=may_keep)
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


def settle(state: PaymentState, *, may_keep: bool = True) -> list[PaymentEvent]:
    """The end that the payment's attempts have earned, as far as it is not on the log yet."""
    match state:
        case Open(attempts=attempts) if any(_may_pay(one) for one in attempts):
            first, *others = [one for one in attempts if _may_pay(one)]
            return [_paid_by(first), *(_late(one, kept=False) for one in others)]
        case Open(attempts=attempts) if attempts and all(one.is_settled for one in attempts):
            return [PaymentFailed(failure=failure(attempts))]
        case Settled(attempts=attempts):
            successes = [one for one in attempts if _is_success(one)]
            return [event for one in successes for event in _after_the_end(one, state, may_keep)]
        case _:
            return []


def _after_the_end(attempt: Attempt, state: Settled, may_keep: bool) -> list[PaymentEvent]:
    match state.result:
        case PaymentSucceeded(attempt_id=paid_by):
            is_news = attempt.started.attempt_id != paid_by and attempt.late is None
            return [_late(attempt, kept=False)] if is_news else []
        case PaymentFailed():
            keeps = may_keep and _keeps(attempt, state)
            detected = [_late(attempt, kept=keeps)] if attempt.late is None else []
            is_kept = attempt.late.kept if attempt.late is not None else keeps
            return [*detected, _paid_by(attempt)] if is_kept else [*detected]
    raise AssertionError(state.result)


def _keeps(attempt: Attempt, state: Open | Settled) -> bool:
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
    return [performed] if is_known else [_outcome_event(command, attempt.started, outcome), performed]


def _uncertain(command: RecordVerification, attempt: Attempt) -> list[PaymentEvent]:
    next_at = _next_look(command, attempt)
    performed = VerificationPerformed(
        attempt_id=command.attempt_id,
        check=attempt.checks + 1,
        verdict=command.verdict,
        next_check_at=next_at,
        source=command.source,
        is_final=attempt.is_settled and next_at is None,
    )
    is_exhausted = next_at is None and not attempt.is_settled and not attempt.in_review
    review = [ReviewRequested(unsettled=(command.attempt_id,))] if is_exhausted else []
    return [performed, *review]


def _next_look(command: RecordVerification, attempt: Attempt) -> datetime | None:
    if attempt.in_review:
        return None
    if not attempt.is_settled:
        return next_check_at(attempt.started.started_at, command.schedule, command.at)
    begun = attempt.started.final_check_at or command.at
    if command.at < begun:
        return begun
    waited = max(FINAL_RETRY, command.at - begun)
    return command.at + waited if waited < FINAL_GIVEN_UP_AFTER else None


def next_check_at(started_at: datetime, schedule: Schedule, at: datetime) -> datetime | None:
    """The first moment of the schedule after `at`; None when the schedule is exhausted."""
    moments = (started_at + timedelta(seconds=after_s) for after_s in schedule.after_s)
    return next((moment for moment in moments if moment > at), None)


def _outcome_event(command: RecordVerification, started: AttemptStarted, outcome: Outcome) -> PaymentEvent:
    latency_ms = max(0, round((command.at - started.started_at).total_seconds() * 1000))
    attempt, gateway = started.attempt_id, started.gateway
    match outcome:
        case Succeeded(gateway_reference=reference):
            return AttemptSucceeded(
                attempt_id=attempt,
                gateway=gateway,
                gateway_reference=reference,
                latency_ms=latency_ms,
                verified=True,
            )
        case Declined(decline=decline, gateway_reference=declined_reference):
            return AttemptDeclined(
                attempt_id=attempt,
                gateway=gateway,
                decline=decline,
                gateway_reference=declined_reference,
                latency_ms=latency_ms,
                verified=True,
            )
        case NotSent(reason=reason):
            return AttemptNotSent(
                attempt_id=attempt, gateway=gateway, reason=reason, latency_ms=latency_ms, verified=True
            )
        case _:
            raise AssertionError(outcome)


def _with_end(
    events: list[PaymentEvent], state: PaymentState, *, may_keep: bool = True
) -> list[PaymentEvent]:
    for event in events:
        state = evolve(state, event)
    return [*events, *settle(state, may_keep=may_keep)]


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
