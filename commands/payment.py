"""The payment's decider: what follows from a command in a state. It holds every rule about money.

The payment service's decisions are here; those that follow from a verdict are in `commands/settlement.py`.
"""

from datetime import timedelta
from typing import assert_never

from msgspec.structs import replace

from commands import settlement
from commands.outcome_events import outcome_event
from commands.payment_state import Absent, Attempt, Open, PaymentState, Settled, unsettled
from commands.routing.eligibility import may_ever_take
from commands.routing.experiments import routed as route_of
from commands.routing.retry import attempt_timeout_ms, may_cascade, next_candidate
from commands.settlement import failure
from schemas.dimensions import dimensions_of
from schemas.errors import Refusal, Refused
from schemas.ids import CustomerToken, attempt_id
from schemas.outcome import AwaitingCustomer, Declined, InDoubt, NotSent, Outcome, Succeeded
from schemas.payment import (
    AttemptStarted,
    CloseUnattempted,
    ExperimentAssigned,
    HandOverPayment,
    PaymentCommand,
    PaymentEvent,
    PaymentFailed,
    PaymentHandedOver,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
    PaymentTakenOver,
    RecordGivingBack,
    RecordOutcome,
    RecordVerification,
    RequestPayment,
    SettlePayment,
    SettleReview,
    TakeOverPayment,
)
from schemas.routing import AttemptReason, Candidate
from schemas.routing_configuration import RetryPolicy


def decide(command: PaymentCommand, state: PaymentState) -> list[PaymentEvent]:
    """Nothing to do is `[]`. Raises Refused for what is not admissible."""
    match command, state:
        case RequestPayment(), Absent() | Open(attempts=()):
            return _start(command, state)
        case RequestPayment(), Open(requested=None) | Settled(requested=None):
            return [_requested(command)]
        case RecordOutcome(), Open():
            return _record(command, state)
        case HandOverPayment(), Open() | Settled():
            return _hand_over(state)
        case TakeOverPayment(), Absent() | Open():
            return [PaymentTakenOver(claim_id=command.claim_id, by=command.by)]
        case RecordVerification(), Open() | Settled():
            return settlement.verify(command, state)
        case SettleReview(), Open() | Settled():
            return settlement.settle_review(command, state)
        case RecordGivingBack(), Open() | Settled():
            return settlement.give_back(command, state)
        case CloseUnattempted(), Open():
            return settlement.close(command, state)
        case SettlePayment(), _:
            return settlement.settle(state)
        case (
            RequestPayment()
            | RecordOutcome()
            | HandOverPayment()
            | TakeOverPayment()
            | RecordVerification()
            | SettleReview()
            | RecordGivingBack()
            | CloseUnattempted(),
            _,
        ):
            return []
        case _:
            assert_never(command)


def _start(command: RequestPayment, state: Absent | Open) -> list[PaymentEvent]:
    """The first attempt, with all that explains it. A request that is on the log already is not repeated."""
    _require_not_switched_off(command)
    assigned, routed = route_of(
        command.order, command.gateways, command.policy, command.facts, command.draw, command.probe
    )
    if not routed.candidates:
        raise _without_gateway(command, routed)
    candidate, decision = routed.candidates[0], routed.decision
    assert decision is not None
    first = AttemptStarted(
        attempt_id=attempt_id(command.payment_id, command.epoch, 1),
        number=1,
        gateway=candidate.gateway,
        amount_minor=command.order.amount_minor,
        currency=command.order.currency,
        payment_method=command.order.payment_method,
        timeout_ms=attempt_timeout_ms(candidate, routed.policy, 0),
        reason="first",
        started_at=command.at,
        first_check_at=command.at + timedelta(seconds=command.schedule.first_s),
        final_check_at=command.at + timedelta(seconds=candidate.horizon_s),
        dimensions=dimensions_of(
            payment_method=command.order.payment_method,
            amount_minor=command.order.amount_minor,
            currency=command.order.currency,
            instrument=command.order.instrument,
            segment=decision.segment if decision.segment != command.order.payment_method else None,
        ),
        probe=decision.probe.lease if decision.probe is not None else None,
    )
    is_known = isinstance(state, Open) and state.requested is not None
    asked: list[PaymentEvent] = [] if is_known else [_requested(command)]
    named = [] if assigned is None else [replace(assigned, customer_id=command.customer)]
    return [*asked, *named, routed, first]


def _without_gateway(command: RequestPayment, routed: PaymentRouted) -> Refused:
    """What no gateway that there is could take is the client's to change; anything else may be over in a moment."""
    reasons = ", ".join(f"{excluded.gateway}: {excluded.reason}" for excluded in routed.excluded)
    if command.gateways and not any(may_ever_take(command.order, one) for one in command.gateways):
        return Refused(Refusal.UNSUPPORTED_PAYMENT, f"no gateway takes such a payment ({reasons})")
    return Refused(
        Refusal.NO_ELIGIBLE_GATEWAY, f"no gateway can take this payment ({reasons})", retry_after_s=5
    )


def _require_not_switched_off(command: RequestPayment) -> None:
    off = command.facts.configuration.off
    if command.order.merchant_id in off.merchants:
        raise Refused(
            Refusal.MERCHANT_SWITCHED_OFF, "payments of this merchant are switched off", retry_after_s=60
        )
    if command.order.payment_method in off.methods:
        raise Refused(
            Refusal.METHOD_SWITCHED_OFF, "payments by this method are switched off", retry_after_s=60
        )


def _requested(command: RequestPayment) -> PaymentRequested:
    """Alone where only an attempt is on the log: nobody called it, but without its request the key would be lost."""
    return PaymentRequested(
        order=replace(command.order, customer_id=command.customer),
        key_hash=command.key_hash,
        fingerprint=command.fingerprint,
        requested_at=command.at,
    )


def of_customer(customer: CustomerToken, events: list[PaymentEvent]) -> list[PaymentEvent]:
    """What was decided before it was known by which token he goes: nothing else depends on it."""
    return [_of_customer(customer, event) for event in events]


def _of_customer(customer: CustomerToken, event: PaymentEvent) -> PaymentEvent:
    match event:
        case PaymentRequested():
            return replace(event, order=replace(event.order, customer_id=customer))
        case ExperimentAssigned():
            return replace(event, customer_id=customer)
        case _:
            return event


def _record(command: RecordOutcome, state: Open) -> list[PaymentEvent]:
    attempt = next((a for a in state.attempts if a.started.attempt_id == command.attempt_id), None)
    if attempt is None or attempt.outcome is not None:
        return []
    started = attempt.started
    recorded = outcome_event(attempt, command.outcome, command.latency_ms)
    match command.outcome:
        case Succeeded(gateway_reference=reference):
            return [
                recorded,
                PaymentSucceeded(
                    attempt_id=started.attempt_id, gateway=started.gateway, gateway_reference=reference
                ),
            ]
        case Declined() | NotSent():
            return [recorded, *_after_no_charge(command, state, attempt)]
        case InDoubt():
            return [recorded, *_after_doubt(command, state, attempt)]
        case AwaitingCustomer():
            return [recorded]
        case _:
            assert_never(command.outcome)


def _after_no_charge(command: RecordOutcome, state: Open, ended: Attempt) -> list[PaymentEvent]:
    """Another gateway where that is safe, allowed and possible; else the end, unless an earlier attempt is in doubt."""
    assert isinstance(command.outcome, Declined | NotSent)
    others = tuple(one for one in state.attempts if one is not ended)
    policy = state.routed.policy if state.routed is not None else None
    in_doubt = bool(unsettled(others))
    if in_doubt and not (policy is not None and policy.retry_on_timeout):
        return []
    candidate = _next(command, state) if may_cascade(command.outcome) else None
    if candidate is not None and policy is not None:
        return [_another(command, ended.started, candidate, policy)]
    return (
        []
        if in_doubt
        else [PaymentFailed(failure=failure((*others, replace(ended, outcome=command.outcome))))]
    )


def _after_doubt(command: RecordOutcome, state: Open, ended: Attempt) -> list[PaymentEvent]:
    """Nothing, since the doubtful attempt may have charged; unless the merchant would rather have a second charge given
    back than a payment wait."""
    if state.routed is None or not state.routed.policy.retry_on_timeout:
        return []
    candidate = _next(command, state)
    return [] if candidate is None else [_another(command, ended.started, candidate, state.routed.policy)]


def _next(command: RecordOutcome, state: Open) -> Candidate | None:
    if state.routed is None:
        return None
    tried = frozenset(attempt.started.gateway for attempt in state.attempts)
    return next_candidate(
        state.routed.candidates, tried, state.routed.policy, command.elapsed_ms, command.shut
    )


def _another(
    command: RecordOutcome, ended: AttemptStarted, candidate: Candidate, policy: RetryPolicy
) -> AttemptStarted:
    reasons: dict[type[Outcome], AttemptReason] = {
        Declined: "after_declined",
        NotSent: "after_not_sent",
        InDoubt: "after_in_doubt",
    }
    return AttemptStarted(
        attempt_id=attempt_id(command.payment_id, command.epoch, ended.number + 1),
        number=ended.number + 1,
        gateway=candidate.gateway,
        amount_minor=ended.amount_minor,
        currency=ended.currency,
        payment_method=ended.payment_method,
        timeout_ms=attempt_timeout_ms(candidate, policy, command.elapsed_ms),
        reason=reasons[type(command.outcome)],
        started_at=command.at,
        first_check_at=command.at + timedelta(seconds=command.schedule.first_s),
        final_check_at=command.at + timedelta(seconds=candidate.horizon_s),
        dimensions=ended.dimensions,
    )


def _hand_over(state: Open | Settled) -> list[PaymentEvent]:
    """With something left to do: an attempt in doubt, or money to give back."""
    open_attempts = unsettled(state.attempts)
    is_over = isinstance(state, Settled) and not open_attempts
    if state.owner is None or (is_over and not any(one.must_be_given_back for one in state.attempts)):
        return []
    return [PaymentHandedOver(unsettled=open_attempts)]
