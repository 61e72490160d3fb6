"""What a gateway adapter is asked to do, always by our own reference, and what it may answer."""

from typing import Literal

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
    client_ip: str | None = None
    user_agent: str | None = None


class Reference(Value, frozen=True, kw_only=True):
    """What the verifier knows of an attempt: enough to ask for it, and to make its reference unusable."""

    attempt_id: AttemptId
    amount_minor: int
    currency: str


class Found(Value, frozen=True, kw_only=True):
    """The gateway knows our reference."""

    outcome: Outcome
    amount_minor: int
    currency: str
    needs_capture: bool = False
    """The money is only authorised: it goes back by itself unless it is captured."""


class NotFound(Value, frozen=True, kw_only=True):
    """The gateway does not know our reference, at least not yet."""


class Unreachable(Value, frozen=True, kw_only=True):
    """It cannot be told. `reason` is a word of ours or a status, never text of the gateway's."""

    reason: str


LookUp = Found | NotFound | Unreachable


class Burned(Value, frozen=True, kw_only=True):
    """Nothing was and nothing can be charged under the reference any more."""


class InUse(Value, frozen=True, kw_only=True):
    """Something lives under the reference: it cannot be burned, and must be looked up."""


Burning = Burned | InUse | Unreachable


class Captured(Value, frozen=True, kw_only=True):
    pass


Capture = Captured | Unreachable


class GivenBack(Value, frozen=True, kw_only=True):
    """The customer has the money back, or certainly will; also when it had been given back before."""

    by: Literal["void", "refund"]


GivingBack = GivenBack | Unreachable
