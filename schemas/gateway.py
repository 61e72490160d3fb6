"""How a gateway is configured: what it can take, what it costs, and how long and how often we may call it."""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.base import Body
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod

Milliseconds = Annotated[int, Meta(ge=50, le=60_000)]
Priority = Annotated[int, Meta(ge=0, le=1000)]
BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]
AmountMinor = Annotated[int, Meta(ge=1, le=2**53)]
Methods = Annotated[tuple[PaymentMethod, ...], Meta(min_length=1, max_length=8)]
Currencies = Annotated[tuple[str, ...], Meta(min_length=1, max_length=200)]

Adapter = Literal["simulator", "razorpay", "stripe"]


class GatewayConfiguration(Body, frozen=True, kw_only=True):
    id: Annotated[GatewayId, Meta(pattern=r"^[a-z][a-z0-9_-]{1,31}$(?!\n)")]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    adapter: Adapter
    base_url: Annotated[str, Meta(pattern=r"^https?://[^\s]+$(?!\n)", max_length=256)]
    payment_methods: Methods
    currencies: Currencies
    enabled: bool = True
    priority: Priority = 100
    """Lower is tried first."""
    fee_bps: BasisPoints = 0
    minimum_amount_minor: AmountMinor = 1
    maximum_amount_minor: AmountMinor | None = None
    timeout_ms: Milliseconds = 2500
    """`GATEWAY_TIMEOUT_MS` where a configuration does not say."""
    max_concurrent_calls: Annotated[int, Meta(ge=1, le=10_000)] = 512
    lookup_lag_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 2_000
    """So long after a charge the gateway may not know our reference yet; *not found* proves nothing before."""
    horizon_s: Annotated[int, Meta(ge=1, le=30 * 86_400)] = 3 * 86_400
    """So long after its start a failed attempt may still turn out to have charged (Razorpay: three days)."""
    max_concurrent_checks: Annotated[int, Meta(ge=1, le=1_000)] = 16
    """Payments of this gateway that one verifier works on at once."""
    checks_per_second: Annotated[float, Meta(gt=0, le=10_000)] = 50.0
    """Payments of this gateway that one verifier process begins to work on in a second. It is no rate of HTTP calls: a
    look takes two or three of them, and burning, capturing or giving back up to as many as six more. What a provider
    allows in a second must hold this, times the calls, times the verifier processes."""


class GatewayTerms(Body, frozen=True, kw_only=True, omit_defaults=True):
    """What operators have set of a gateway. What is not given is as its configuration says; how it is spoken to
    (adapter, address, secrets, timeouts) is never set here."""

    enabled: bool | None = None
    priority: Priority | None = None
    fee_bps: BasisPoints | None = None
    payment_methods: Methods | None = None
    currencies: Currencies | None = None
    minimum_amount_minor: AmountMinor | None = None
    maximum_amount_minor: AmountMinor | None = None


NO_TERMS = GatewayTerms()
