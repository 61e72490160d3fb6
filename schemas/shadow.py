"""What a policy that nobody obeys would have done with payments that were made."""

from datetime import datetime

from schemas.base import Event, Value
from schemas.ids import GatewayId
from schemas.routing import Strategy, Versions


class ShadowCandidate(Value, frozen=True, kw_only=True):
    gateway: GatewayId
    propensity: float
    """The probability that it is put first."""


class PaymentShadowed(Event, frozen=True, kw_only=True):
    """How the shadow policy would have routed a payment, from the same facts and with the same draw."""

    strategy: Strategy
    candidates: tuple[ShadowCandidate, ...]
    """In the order in which they would be tried; none where it would refuse the payment."""
    routed_to: GatewayId
    """Where the payment's first attempt went."""
    agrees: bool
    """Whether the shadow would have sent it there too."""
    decided_at: datetime
    versions: Versions
    """Of what both were made from; the configuration's says which shadow policy it was."""
