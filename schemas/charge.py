"""What a gateway adapter is asked to do, always by our own reference, and what it may answer."""

from schemas.base import Value
from schemas.ids import AttemptId, GatewayId
from schemas.instrument import Instrument, PaymentMethod
from schemas.outcome import Outcome


class Charge(Value, frozen=True, kw_only=True):
    """One call to one gateway. `instrument` is in the clear: a charge is never logged, stored or sent anywhere else."""

    attempt_id: AttemptId
    gateway: GatewayId
    amount_minor: int
    currency: str
    payment_method: PaymentMethod
    instrument: Instrument
    timeout_ms: int


class Found(Value, frozen=True, kw_only=True):
    """The gateway knows our reference."""

    outcome: Outcome
    amount_minor: int
    currency: str


class NotFound(Value, frozen=True, kw_only=True):
    """The gateway does not know our reference, at least not yet."""


class Unreachable(Value, frozen=True, kw_only=True):
    reason: str


LookUp = Found | NotFound | Unreachable


class Cancelled(Value, frozen=True, kw_only=True):
    """Nothing is or will be charged under the reference: the charge is void, or its reference is burnt."""

    was_charged: bool


class Refunded(Value, frozen=True, kw_only=True):
    pass


Compensation = Cancelled | Refunded | Unreachable
