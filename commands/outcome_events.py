"""An outcome as the event that tells it, whoever found it out."""

from typing import assert_never

from schemas.outcome import AwaitingCustomer, Declined, InDoubt, NotSent, Outcome, Succeeded
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptStarted,
    AttemptSucceeded,
    PaymentEvent,
)


def outcome_event(
    started: AttemptStarted, outcome: Outcome, latency_ms: int, *, verified: bool = False
) -> PaymentEvent:
    attempt, gateway = started.attempt_id, started.gateway
    match outcome:
        case Succeeded(gateway_reference=reference):
            return AttemptSucceeded(
                attempt_id=attempt,
                gateway=gateway,
                gateway_reference=reference,
                latency_ms=latency_ms,
                verified=verified,
            )
        case Declined(decline=decline, gateway_reference=declined_reference):
            return AttemptDeclined(
                attempt_id=attempt,
                gateway=gateway,
                decline=decline,
                gateway_reference=declined_reference,
                latency_ms=latency_ms,
                verified=verified,
            )
        case NotSent(reason=why_not):
            return AttemptNotSent(
                attempt_id=attempt, gateway=gateway, reason=why_not, latency_ms=latency_ms, verified=verified
            )
        case AwaitingCustomer(gateway_reference=reference, next_action=action):
            return AttemptAwaitingCustomer(
                attempt_id=attempt,
                gateway=gateway,
                gateway_reference=reference,
                next_action=action,
                latency_ms=latency_ms,
            )
        case InDoubt(reason=doubt, gateway_reference=doubtful_reference, http_status=status):
            return AttemptInDoubt(
                attempt_id=attempt,
                gateway=gateway,
                reason=doubt,
                gateway_reference=doubtful_reference,
                http_status=status,
                latency_ms=latency_ms,
            )
        case _:
            assert_never(outcome)
