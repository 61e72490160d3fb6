"""What a person should know of a verifier's decision: duplicate charges and payments in review, and the end of each."""

from collections.abc import Iterable, Iterator

from commands.payment_state import Open, Settled, find
from schemas.ids import PaymentId
from schemas.payment import (
    AttemptDeclined,
    AttemptNotSent,
    AttemptSucceeded,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentEvent,
    ReviewRequested,
)
from schemas.reliability import (
    DuplicateChargeCompensated,
    DuplicateChargeDetected,
    ReliabilityEvent,
    VerificationOverdue,
    VerificationOverdueEnded,
)


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
            case AttemptSucceeded() | AttemptDeclined() | AttemptNotSent():
                attempt = find(state, event.attempt_id)
                if attempt is not None and attempt.in_review:
                    yield VerificationOverdueEnded(payment_id=payment_id, attempt_id=event.attempt_id)
            case _:
                pass
