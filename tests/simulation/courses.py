"""What becomes of each charge, at once and later, and what its gateway tells of it: all of it follows from the seed."""

from hashlib import sha256

from msgspec.structs import replace

from infra.memory.gateways import Entry, Later, seeded_outcome
from schemas.ids import AttemptId, payment_of
from schemas.notification import GatewayNotified
from schemas.outcome import AwaitingCustomer, Decline, Declined, Outcome, Succeeded

HORIZON_S = 120
CUSTOMER_GAVE_UP = Decline(code="cancelled_by_customer", blame="customer", retryable=False)


class Courses:
    """Of one gateway. A tenth of what fails is authorised after all; of what waits, a twentieth waits for
    ever. What succeeds so late may be only authorised."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def outcome(self, reference: AttemptId) -> Outcome:
        return seeded_outcome(self._seed, reference)

    def later(self, reference: AttemptId) -> Later | None:
        chance, when, how = self._draws(reference)
        match self.outcome(reference):
            case AwaitingCustomer() if chance < 0.7:
                return Later(
                    after_ms=1_000 + when * 60_000,
                    outcome=_succeeded(reference),
                    is_only_authorised=how < 0.2,
                )
            case AwaitingCustomer() if chance < 0.95:
                return Later(after_ms=1_000 + when * 60_000, outcome=Declined(decline=CUSTOMER_GAVE_UP))
            case Declined() if chance < 0.1:
                return Later(
                    after_ms=3_000 + when * (HORIZON_S - 10) * 1_000,
                    outcome=_succeeded(reference),
                    is_only_authorised=how < 0.5,
                )
            case _:
                return None

    def echoes_wrong_amount(self, reference: AttemptId) -> bool:
        return self._draws(reference)[2] > 0.99

    def _draws(self, reference: AttemptId) -> tuple[float, float, float]:
        digest = sha256(f"later {self._seed} {reference}".encode()).digest()
        return digest[0] / 256, digest[1] / 256, digest[2] / 256


def notification(entry: Entry, number: int) -> GatewayNotified:
    """What a gateway says of a change; its wire has no reference of ours but the attempt's id."""
    charge = entry.charge
    notified = GatewayNotified(
        gateway=charge.gateway,
        event_id=f"evt_{charge.attempt_id}_{number}",
        kind="payment.changed",
        attempt_id=charge.attempt_id,
        told="look",
        amount_minor=charge.amount_minor,
        currency=charge.currency,
    )
    match entry.outcome:
        case Succeeded() as succeeded if not entry.is_only_authorised:
            return replace(notified, told="succeeded", gateway_reference=succeeded.gateway_reference)
        case Declined() as declined:
            return replace(notified, told="declined", decline=declined.decline)
        case _:
            return notified


def _succeeded(reference: AttemptId) -> Succeeded:
    return Succeeded(gateway_reference=f"txn_{payment_of(reference)[4:]}_late")
