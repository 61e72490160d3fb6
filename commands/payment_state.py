"""What a payment is, folded from its events: the state that its decider decides from.

`evolve` holds no rules about money and takes any subset of a decision's events, since any subset may be on the log.
"""

from datetime import datetime
from typing import Literal, assert_never

from msgspec.structs import replace

from schemas.base import Value
from schemas.ids import AttemptId
from schemas.outcome import AwaitingCustomer, Decline, Declined, InDoubt, NotSent, Outcome, Succeeded
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
    PaymentEvent,
    PaymentFailed,
    PaymentHandedOver,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
    PaymentTakenOver,
    ReviewRequested,
    ReviewSettled,
    VerificationPerformed,
)

WriterKind = Literal["payment_service", "payment_verifier"]


CERTAIN = ("succeeded", "declined", "not_sent")
DECLINED_IN_REVIEW = Decline(code="declined_in_review", blame="caller", retryable=False)


class Attempt(Value, frozen=True, kw_only=True):
    started: AttemptStarted
    outcome: Outcome | None = None
    """None while it is not known, and also when its record was lost: nothing may be concluded from it."""
    checks: int = 0
    next_check_at: datetime | None = None
    in_review: bool = False
    late: LateSuccessDetected | None = None
    compensated_by: ChargeCompensated | None = None
    retries: int = 0
    """How often a gateway that does not answer was asked beyond the schedule."""
    refused_returns: int = 0
    """How often its money could not be given back."""

    @property
    def is_settled(self) -> bool:
        return isinstance(self.outcome, Succeeded | Declined | NotSent)

    @property
    def gateway_reference(self) -> str | None:
        """The gateway's own name for it, where an answer or a notification told it."""
        match self.outcome:
            case Succeeded() | AwaitingCustomer() | Declined() | InDoubt():
                return self.outcome.gateway_reference
            case _:
                return None

    @property
    def must_be_given_back(self) -> bool:
        return self.late is not None and not self.late.kept and self.compensated_by is None


class Absent(Value, frozen=True, kw_only=True):
    pass


class Open(Value, frozen=True, kw_only=True):
    requested: PaymentRequested | None = None
    routed: PaymentRouted | None = None
    attempts: tuple[Attempt, ...] = ()
    owner: WriterKind | None = "payment_service"
    """None once its owner has handed it over."""


class Settled(Value, frozen=True, kw_only=True):
    """The client may be told the result. An earlier doubtful attempt may still be unsettled."""

    result: PaymentSucceeded | PaymentFailed
    requested: PaymentRequested | None = None
    routed: PaymentRouted | None = None
    attempts: tuple[Attempt, ...] = ()
    owner: WriterKind | None = "payment_service"


PaymentState = Absent | Open | Settled
INITIAL = Absent()


def unsettled(attempts: tuple[Attempt, ...]) -> tuple[AttemptId, ...]:
    return tuple(attempt.started.attempt_id for attempt in attempts if not attempt.is_settled)


def find(state: Open | Settled, attempt_id: AttemptId) -> Attempt | None:
    return next((one for one in state.attempts if one.started.attempt_id == attempt_id), None)


def evolve(state: PaymentState, event: PaymentEvent) -> PaymentState:
    match event:
        case PaymentRequested():
            return replace(_opened(state), requested=event)
        case PaymentRouted():
            return replace(_opened(state), routed=event)
        case AttemptStarted():
            opened = _opened(state)
            attempt = Attempt(started=event, next_check_at=event.first_check_at or event.started_at)
            return replace(opened, attempts=(*opened.attempts, attempt))
        case AttemptSucceeded():
            succeeded = Succeeded(gateway_reference=event.gateway_reference)
            return _with_outcome(state, event.attempt_id, succeeded)
        case AttemptDeclined():
            declined = Declined(decline=event.decline, gateway_reference=event.gateway_reference)
            return _with_outcome(state, event.attempt_id, declined)
        case AttemptNotSent():
            return _with_outcome(state, event.attempt_id, NotSent(reason=event.reason))
        case AttemptAwaitingCustomer():
            awaiting = AwaitingCustomer(
                gateway_reference=event.gateway_reference, next_action=event.next_action
            )
            return _with_outcome(state, event.attempt_id, awaiting)
        case AttemptInDoubt():
            doubt = InDoubt(
                reason=event.reason, gateway_reference=event.gateway_reference, http_status=event.http_status
            )
            return _with_outcome(state, event.attempt_id, doubt)
        case PaymentSucceeded():
            return _settled(_took_money(state, event), event)
        case PaymentFailed():
            return _settled(_opened(state), event)
        case PaymentHandedOver():
            return replace(_opened(state), owner=None)
        case PaymentTakenOver():
            return replace(_opened(state), owner=event.by)
        case VerificationPerformed():
            return _checked(state, event)
        case ReviewRequested():
            opened = _opened(state)
            for attempt_id in event.unsettled:
                opened = _with(opened, attempt_id, in_review=True, next_check_at=None)
            return opened
        case LateSuccessDetected():
            return _with(_took_money(state, event), event.attempt_id, late=event)
        case ChargeCompensated():
            known = _took_money(state, event)
            return _with(known, event.attempt_id, compensated_by=event, next_check_at=None)
        case ReviewSettled():
            return _with_outcome(state, event.attempt_id, reviewed(event))
        case ExperimentAssigned():
            return state
        case _:
            assert_never(event)


def reviewed(event: ReviewSettled) -> Outcome:
    match event.verdict:
        case "succeeded":
            return Succeeded(gateway_reference=event.gateway_reference or "")
        case "declined":
            return Declined(decline=DECLINED_IN_REVIEW, gateway_reference=event.gateway_reference)
        case "not_sent":
            return NotSent(reason="reviewed")


def _opened(state: PaymentState) -> Open | Settled:
    return Open() if isinstance(state, Absent) else state


def _settled(state: Open | Settled, event: PaymentSucceeded | PaymentFailed) -> Settled:
    """A success stands for ever; a failure stands until a late success is kept."""
    if isinstance(state, Settled) and (
        isinstance(state.result, PaymentSucceeded) or isinstance(event, PaymentFailed)
    ):
        return state
    return Settled(
        result=event,
        requested=state.requested,
        routed=state.routed,
        attempts=state.attempts,
        owner=state.owner,
    )


def _took_money(
    state: PaymentState, event: PaymentSucceeded | LateSuccessDetected | ChargeCompensated
) -> Open | Settled:
    """Somebody has decided that this attempt took money, whether or not its own outcome arrived."""
    return _with_outcome(state, event.attempt_id, Succeeded(gateway_reference=event.gateway_reference))


def _checked(state: PaymentState, event: VerificationPerformed) -> PaymentState:
    """A verdict whose outcome did not arrive proves nothing: the attempt is due again at once."""
    opened = _opened(state)
    known = find(opened, event.attempt_id)
    if known is None:
        return opened
    is_lost = not known.is_settled and event.verdict in CERTAIN
    is_lost |= known.is_settled and event.verdict == "mismatched" and known.late is None
    return _with(
        opened,
        event.attempt_id,
        checks=max(known.checks, event.check),
        retries=event.retry,
        refused_returns=known.refused_returns + known.must_be_given_back,
        next_check_at=known.started.started_at if is_lost else event.next_check_at,
    )


def _with_outcome(state: PaymentState, attempt: AttemptId, outcome: Outcome) -> Open | Settled:
    """The first certain outcome stands, unless a success follows. That of an attempt whose start is not on the log is
    dropped here and kept by the views."""
    opened = _opened(state)
    known = find(opened, attempt)
    if known is None or isinstance(known.outcome, Succeeded):
        return opened
    if known.is_settled and not isinstance(outcome, Succeeded):
        return opened
    match outcome:
        case Succeeded():
            return _with(opened, attempt, outcome=outcome, in_review=False, next_check_at=None)
        case Declined() | NotSent():
            final = known.started.final_check_at
            return _with(opened, attempt, outcome=outcome, in_review=False, next_check_at=final)
        case _:
            return _with(opened, attempt, outcome=outcome)


def _with(state: Open | Settled, attempt_id: AttemptId, **changes: object) -> Open | Settled:
    attempts = tuple(
        replace(known, **changes) if known.started.attempt_id == attempt_id else known
        for known in state.attempts
    )
    return replace(state, attempts=attempts)
