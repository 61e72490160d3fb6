"""The payment's decider: what follows from a command in a state, and the state that follows from an event.

`decide` holds every rule about money; `evolve` holds none, and takes any subset of a decision's events, since any
subset may be what arrived on the log.
"""

from typing import assert_never

from msgspec.structs import replace

from commands.routing.retry import attempt_timeout_ms, may_cascade, next_candidate
from commands.routing.route import route
from schemas.base import Value
from schemas.errors import Refusal, Refused
from schemas.ids import AttemptId, attempt_id
from schemas.outcome import AwaitingCustomer, Declined, InDoubt, NotSent, Outcome, Succeeded
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptStarted,
    AttemptSucceeded,
    ChargeCompensated,
    ExperimentAssigned,
    Failure,
    HandOverPayment,
    LateSuccessDetected,
    PaymentCommand,
    PaymentEvent,
    PaymentFailed,
    PaymentHandedOver,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
    PaymentTakenOver,
    RecordOutcome,
    RequestPayment,
    ReviewRequested,
    ReviewSettled,
    TakeOverPayment,
    VerificationPerformed,
)
from schemas.routing import AttemptReason, Candidate, RetryPolicy


class Attempt(Value, frozen=True, kw_only=True):
    started: AttemptStarted
    outcome: Outcome | None = None
    """None while it is not known, and also when its record was lost: nothing may be concluded from it."""

    @property
    def is_settled(self) -> bool:
        return isinstance(self.outcome, Succeeded | Declined | NotSent)


class Absent(Value, frozen=True, kw_only=True):
    pass


class Open(Value, frozen=True, kw_only=True):
    requested: PaymentRequested | None = None
    routed: PaymentRouted | None = None
    attempts: tuple[Attempt, ...] = ()
    is_handed_over: bool = False


class Settled(Value, frozen=True, kw_only=True):
    """The client may be told the result. An earlier doubtful attempt may still be unsettled."""

    result: PaymentSucceeded | PaymentFailed
    attempts: tuple[Attempt, ...] = ()
    is_handed_over: bool = False


PaymentState = Absent | Open | Settled
INITIAL = Absent()


def decide(command: PaymentCommand, state: PaymentState) -> list[PaymentEvent]:
    match command, state:
        case RequestPayment(), Absent() | Open(attempts=()):
            return _start(command, state)
        case RequestPayment(), Open(requested=None):
            return [_requested(command)]
        case RecordOutcome(), Open():
            return _record(command, state)
        case HandOverPayment(), Open() | Settled():
            return _hand_over(state)
        case TakeOverPayment(), Absent() | Open():
            return [PaymentTakenOver(claim_id=command.claim_id, by=command.by)]
        case RequestPayment() | RecordOutcome() | HandOverPayment() | TakeOverPayment(), _:
            return []
        case _:
            assert_never(command)


def unsettled(attempts: tuple[Attempt, ...]) -> tuple[AttemptId, ...]:
    return tuple(attempt.started.attempt_id for attempt in attempts if not attempt.is_settled)


def _start(command: RequestPayment, state: Absent | Open) -> list[PaymentEvent]:
    """The first attempt, with all that explains it. A request that is on the log already is not repeated."""
    routed = route(command.order, command.gateways, command.policy)
    if not routed.candidates:
        reasons = ", ".join(f"{excluded.gateway}: {excluded.reason}" for excluded in routed.excluded)
        raise Refused(
            Refusal.NO_ELIGIBLE_GATEWAY, f"no gateway can take this payment ({reasons})", retry_after_s=5
        )
    first = AttemptStarted(
        attempt_id=attempt_id(command.payment_id, command.epoch, 1),
        number=1,
        gateway=routed.candidates[0].gateway,
        amount_minor=command.order.amount_minor,
        currency=command.order.currency,
        payment_method=command.order.payment_method,
        timeout_ms=attempt_timeout_ms(routed.candidates[0], command.policy, 0),
        reason="first",
        started_at=command.at,
    )
    is_known = isinstance(state, Open) and state.requested is not None
    return [routed, first] if is_known else [_requested(command), routed, first]


def _requested(command: RequestPayment) -> PaymentRequested:
    """Alone where only an attempt is on the log: nobody called it, but without its request the key would be lost."""
    return PaymentRequested(
        order=command.order,
        key_hash=command.key_hash,
        fingerprint=command.fingerprint,
        requested_at=command.at,
    )


def _record(command: RecordOutcome, state: Open) -> list[PaymentEvent]:
    attempt = next((a for a in state.attempts if a.started.attempt_id == command.attempt_id), None)
    if attempt is None or attempt.outcome is not None:
        return []
    started = attempt.started
    recorded = _outcome_event(command, started)
    match command.outcome:
        case Succeeded(gateway_reference=reference):
            return [
                recorded,
                PaymentSucceeded(
                    attempt_id=started.attempt_id, gateway=started.gateway, gateway_reference=reference
                ),
            ]
        case Declined() | NotSent():
            return [recorded, *_after_no_charge(command, state, started)]
        case AwaitingCustomer() | InDoubt():
            return [recorded]
        case _:
            assert_never(command.outcome)


def _after_no_charge(command: RecordOutcome, state: Open, ended: AttemptStarted) -> list[PaymentEvent]:
    """Another gateway where that is safe, allowed and possible; else the end, explained by the last decline if any."""
    assert isinstance(command.outcome, Declined | NotSent)
    others = tuple(a for a in state.attempts if a.started.attempt_id != ended.attempt_id)
    if unsettled(others):
        return []
    candidate = _next(command, state) if may_cascade(command.outcome) else None
    if candidate is None or state.routed is None:
        declined = [a.outcome for a in others if isinstance(a.outcome, Declined)]
        telling = command.outcome if isinstance(command.outcome, Declined) or not declined else declined[-1]
        return [PaymentFailed(failure=_failure(telling))]
    return [_another(command, ended, candidate, state.routed.policy)]


def _next(command: RecordOutcome, state: Open) -> Candidate | None:
    if state.routed is None:
        return None
    tried = frozenset(attempt.started.gateway for attempt in state.attempts)
    return next_candidate(state.routed.candidates, tried, state.routed.policy, command.elapsed_ms)


def _another(
    command: RecordOutcome, ended: AttemptStarted, candidate: Candidate, policy: RetryPolicy
) -> AttemptStarted:
    reason: AttemptReason = "after_declined" if isinstance(command.outcome, Declined) else "after_not_sent"
    return AttemptStarted(
        attempt_id=attempt_id(command.payment_id, command.epoch, ended.number + 1),
        number=ended.number + 1,
        gateway=candidate.gateway,
        amount_minor=ended.amount_minor,
        currency=ended.currency,
        payment_method=ended.payment_method,
        timeout_ms=attempt_timeout_ms(candidate, policy, command.elapsed_ms),
        reason=reason,
        started_at=command.at,
    )


def _failure(outcome: Declined | NotSent) -> Failure:
    match outcome:
        case Declined(decline=decline):
            return Failure(
                code=decline.code,
                blame=decline.blame,
                customer_may_retry=decline.blame != "risk",
                gateway_code=decline.gateway_code,
            )
        case NotSent():
            return Failure(code="no_gateway_reached", blame="gateway", customer_may_retry=True)
        case _:
            assert_never(outcome)


def _hand_over(state: Open | Settled) -> list[PaymentEvent]:
    open_attempts = unsettled(state.attempts)
    if state.is_handed_over or (isinstance(state, Settled) and not open_attempts):
        return []
    return [PaymentHandedOver(unsettled=open_attempts)]


def _outcome_event(command: RecordOutcome, started: AttemptStarted) -> PaymentEvent:
    attempt, gateway, latency = started.attempt_id, started.gateway, command.latency_ms
    match command.outcome:
        case Succeeded(gateway_reference=reference):
            return AttemptSucceeded(
                attempt_id=attempt, gateway=gateway, gateway_reference=reference, latency_ms=latency
            )
        case Declined(decline=decline, gateway_reference=declined_reference):
            return AttemptDeclined(
                attempt_id=attempt,
                gateway=gateway,
                decline=decline,
                gateway_reference=declined_reference,
                latency_ms=latency,
            )
        case NotSent(reason=why_not):
            return AttemptNotSent(attempt_id=attempt, gateway=gateway, reason=why_not, latency_ms=latency)
        case AwaitingCustomer(gateway_reference=reference, next_action=action):
            return AttemptAwaitingCustomer(
                attempt_id=attempt,
                gateway=gateway,
                gateway_reference=reference,
                next_action=action,
                latency_ms=latency,
            )
        case InDoubt(reason=doubt, gateway_reference=doubtful_reference, http_status=status):
            return AttemptInDoubt(
                attempt_id=attempt,
                gateway=gateway,
                reason=doubt,
                gateway_reference=doubtful_reference,
                http_status=status,
                latency_ms=latency,
            )
        case _:
            assert_never(command.outcome)


def evolve(state: PaymentState, event: PaymentEvent) -> PaymentState:
    match event:
        case PaymentRequested():
            return replace(_opened(state), requested=event) if not isinstance(state, Settled) else state
        case PaymentRouted():
            return replace(_opened(state), routed=event) if not isinstance(state, Settled) else state
        case AttemptStarted():
            opened = _opened(state)
            return replace(opened, attempts=(*opened.attempts, Attempt(started=event)))
        case AttemptSucceeded():
            return _with_outcome(
                state, event.attempt_id, Succeeded(gateway_reference=event.gateway_reference)
            )
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
        case PaymentSucceeded() | PaymentFailed():
            opened = _opened(state)
            return Settled(result=event, attempts=opened.attempts, is_handed_over=opened.is_handed_over)
        case PaymentHandedOver():
            return replace(_opened(state), is_handed_over=True)
        case PaymentTakenOver():
            return replace(_opened(state), is_handed_over=False)
        case (
            ExperimentAssigned()
            | VerificationPerformed()
            | ReviewRequested()
            | ReviewSettled()
            | LateSuccessDetected()
            | ChargeCompensated()
        ):
            return state
        case _:
            assert_never(event)


def _opened(state: PaymentState) -> Open | Settled:
    return Open() if isinstance(state, Absent) else state


def _with_outcome(state: PaymentState, attempt: AttemptId, outcome: Outcome) -> PaymentState:
    """The outcome of an attempt whose start is not on the log is dropped here and kept by the views."""
    opened = _opened(state)
    attempts = tuple(
        replace(known, outcome=outcome) if known.started.attempt_id == attempt else known
        for known in opened.attempts
    )
    return replace(opened, attempts=attempts)
