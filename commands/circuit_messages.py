"""What a payment's record tells the circuit of the gateway that was called, if it tells anything."""

from datetime import UTC, datetime
from typing import get_args

from schemas.circuit import CallObserved, CircuitMessage, ProbeReturned, ProbeStarted
from schemas.dimensions import Account
from schemas.envelope import Recorded
from schemas.outcome import (
    AwaitingCustomer,
    Declined,
    InDoubt,
    NotSent,
    Outcome,
    Succeeded,
    counts_against_circuit,
)
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptOutcome,
    AttemptStarted,
    AttemptSucceeded,
    PaymentEvent,
)

TELLING = (AttemptStarted, *get_args(AttemptOutcome))
"""The events that may; nobody needs to read the others."""


def message_of(recorded: Recorded[PaymentEvent]) -> CircuitMessage | None:
    """None of what is void, of what verification found out afterwards, and of what is no gateway's doing.

    A call that has brought the customer in was answered, and counts as one that went well; that the gateway then failed
    is news, by whomever it is told.

    Its time is the broker's: one clock for all that write, and the one by which a circuit opens and is tried again.
    """
    if recorded.is_void:
        return None
    match recorded.event:
        case AttemptStarted() as started:
            return _probe(started, recorded)
        case AttemptDeclined(verified=True) as ended if _waited_for_the_customer(ended):
            call = _call(ended, recorded)
            return call if isinstance(call, CallObserved) and call.is_failure else None
        case AttemptSucceeded(verified=True) | AttemptDeclined(verified=True) | AttemptNotSent(verified=True):
            return None
        case (
            AttemptSucceeded()
            | AttemptDeclined()
            | AttemptNotSent()
            | AttemptAwaitingCustomer()
            | AttemptInDoubt() as ended
        ):
            return _call(ended, recorded)
        case _:
            return None


def _waited_for_the_customer(ended: AttemptDeclined) -> bool:
    before = ended.account.instead_of if ended.account is not None else None
    return before is not None and before.kind == "awaiting_customer"


def _probe(started: AttemptStarted, recorded: Recorded[PaymentEvent]) -> ProbeStarted | None:
    if started.probe is None:
        return None
    return ProbeStarted(
        gateway=started.gateway,
        payment_method=started.payment_method,
        attempt_id=started.attempt_id,
        lease=started.probe,
        at=_appended_at(recorded),
        source_partition=recorded.position.partition,
        source_offset=recorded.position.offset,
    )


def _call(ended: AttemptOutcome, recorded: Recorded[PaymentEvent]) -> CallObserved | ProbeReturned | None:
    """None also of outcomes from before there were accounts: which method it was is not said."""
    is_failure = counts_against_circuit(_outcome(ended))
    if ended.account is None:
        return None
    if is_failure is None:
        return _returned(ended, ended.account, recorded)
    return CallObserved(
        gateway=ended.gateway,
        payment_method=ended.account.dimensions.payment_method,
        attempt_id=ended.attempt_id,
        is_failure=is_failure,
        latency_ms=ended.latency_ms,
        at=_appended_at(recorded),
        source_partition=recorded.position.partition,
        source_offset=recorded.position.offset,
        lease=ended.account.probe,
    )


def _returned(
    ended: AttemptOutcome, account: Account, recorded: Recorded[PaymentEvent]
) -> ProbeReturned | None:
    """Of a probe: nobody may take it for lost."""
    if account.probe is None:
        return None
    return ProbeReturned(
        gateway=ended.gateway,
        payment_method=account.dimensions.payment_method,
        attempt_id=ended.attempt_id,
        lease=account.probe,
        at=_appended_at(recorded),
        source_partition=recorded.position.partition,
        source_offset=recorded.position.offset,
    )


def _outcome(ended: AttemptOutcome) -> Outcome:
    match ended:
        case AttemptSucceeded(gateway_reference=reference):
            return Succeeded(gateway_reference=reference)
        case AttemptDeclined(decline=decline):
            return Declined(decline=decline)
        case AttemptNotSent(reason=why_not):
            return NotSent(reason=why_not)
        case AttemptAwaitingCustomer(gateway_reference=reference, next_action=action):
            return AwaitingCustomer(gateway_reference=reference, next_action=action)
        case AttemptInDoubt(reason=doubt):
            return InDoubt(reason=doubt)


def _appended_at(recorded: Recorded[PaymentEvent]) -> datetime:
    return datetime.fromtimestamp(recorded.stamp_ms / 1000, UTC)
