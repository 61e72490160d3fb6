"""An outcome as the event that tells it, whoever found it out."""

from typing import assert_never

from commands.payment_state import Attempt
from schemas.dimensions import Account, earlier
from schemas.outcome import AwaitingCustomer, Declined, InDoubt, NotSent, Outcome, Succeeded
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptSucceeded,
    PaymentEvent,
)


def outcome_event(
    ended: Attempt, outcome: Outcome, latency_ms: int, *, verified: bool = False
) -> PaymentEvent:
    """`ended` is the attempt as it stood: what was known of it is what the figures must take back."""
    attempt, gateway = ended.started.attempt_id, ended.started.gateway
    account = _account(ended)
    match outcome:
        case Succeeded(gateway_reference=reference):
            return AttemptSucceeded(
                attempt_id=attempt,
                gateway=gateway,
                gateway_reference=reference,
                latency_ms=latency_ms,
                verified=verified,
                account=account,
            )
        case Declined(decline=decline, gateway_reference=declined_reference):
            return AttemptDeclined(
                attempt_id=attempt,
                gateway=gateway,
                decline=decline,
                gateway_reference=declined_reference,
                latency_ms=latency_ms,
                verified=verified,
                account=account,
            )
        case NotSent(reason=why_not):
            return AttemptNotSent(
                attempt_id=attempt,
                gateway=gateway,
                reason=why_not,
                latency_ms=latency_ms,
                verified=verified,
                account=account,
            )
        case AwaitingCustomer(gateway_reference=reference, next_action=action):
            return AttemptAwaitingCustomer(
                attempt_id=attempt,
                gateway=gateway,
                gateway_reference=reference,
                next_action=action,
                latency_ms=latency_ms,
                account=account,
            )
        case InDoubt(reason=doubt, gateway_reference=doubtful_reference, http_status=status):
            return AttemptInDoubt(
                attempt_id=attempt,
                gateway=gateway,
                reason=doubt,
                gateway_reference=doubtful_reference,
                http_status=status,
                latency_ms=latency_ms,
                account=account,
            )
        case _:
            assert_never(outcome)


def _account(ended: Attempt) -> Account | None:
    dimensions = ended.started.dimensions
    if dimensions is None:
        return None
    return Account(
        dimensions=dimensions,
        started_at=ended.started.started_at,
        instead_of=earlier(ended.outcome),
        probe=ended.started.probe,
    )
