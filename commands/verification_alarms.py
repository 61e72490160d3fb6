"""What a person should know of a verifier's decision: duplicate charges and payments in review, and the end of each."""

from collections.abc import Iterable, Iterator

from commands.payment_state import CERTAIN, Open, Settled, find
from schemas.ids import PaymentId
from schemas.payment import (
    AttemptDeclined,
    AttemptNotSent,
    AttemptSucceeded,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentEvent,
    ReviewRequested,
    VerificationPerformed,
)
from schemas.reliability import (
    DuplicateChargeCompensated,
    DuplicateChargeDetected,
    ReliabilityEvent,
    VerificationOverdue,
    VerificationOverdueEnded,
)

REFUSALS_BEFORE_ALARM = 12
"""A charge that could not be given back so often, within some six hours, is a person's business; it is tried on."""


def alarms(
    payment_id: PaymentId, events: Iterable[PaymentEvent], state: Open | Settled
) -> Iterator[ReliabilityEvent]:
    for event in events:
        match event:
            case LateSuccessDetected():
                yield DuplicateChargeDetected(
                    payment_id=payment_id,
                    attempt_id=event.attempt_id,
                    gateway=event.gateway,
                    gateway_reference=event.gateway_reference,
                    kept=event.kept,
                )
            case ChargeCompensated():
                yield DuplicateChargeCompensated(
                    payment_id=payment_id, attempt_id=event.attempt_id, gateway=event.gateway, by=event.by
                )
            case ReviewRequested(unsettled=unsettled):
                yield VerificationOverdue(payment_id=payment_id, unsettled=unsettled)
            case VerificationPerformed() if _is_given_up(event, state):
                yield VerificationOverdue(payment_id=payment_id, unsettled=(event.attempt_id,))
            case AttemptSucceeded() | AttemptDeclined() | AttemptNotSent():
                attempt = find(state, event.attempt_id)
                if attempt is not None and attempt.in_review:
                    yield VerificationOverdueEnded(payment_id=payment_id, attempt_id=event.attempt_id)
            case _:
                pass


def _is_given_up(event: VerificationPerformed, state: Open | Settled) -> bool:
    """The last look at a failed attempt told nothing, or money has been refused for hours: both may be a charge that
    nobody gives back."""
    attempt = find(state, event.attempt_id)
    is_blind = event.is_final and event.verdict not in CERTAIN
    is_stuck = attempt is not None and attempt.must_be_given_back
    return is_blind or (is_stuck and attempt is not None and attempt.refused_returns == REFUSALS_BEFORE_ALARM)
