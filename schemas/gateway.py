"""How a gateway is configured: what it can take, what it costs, and how long and how often we may call it."""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.base import Body
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod

Milliseconds = Annotated[int, Meta(ge=50, le=60_000)]


class GatewayConfiguration(Body, frozen=True, kw_only=True):
    id: Annotated[GatewayId, Meta(pattern=r"^[a-z][a-z0-9_-]{1,31}$(?!\n)")]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    adapter: Literal["simulator"]
    base_url: Annotated[str, Meta(pattern=r"^https?://[^\s]+$(?!\n)", max_length=256)]
    payment_methods: Annotated[tuple[PaymentMethod, ...], Meta(min_length=1)]
    currencies: Annotated[tuple[str, ...], Meta(min_length=1)]
    enabled: bool = True
    priority: Annotated[int, Meta(ge=0, le=1000)] = 100
    """Lower is tried first."""
    fee_bps: Annotated[int, Meta(ge=0, le=10_000)] = 0
    minimum_amount_minor: Annotated[int, Meta(ge=1)] = 1
    maximum_amount_minor: Annotated[int, Meta(ge=1)] | None = None
    timeout_ms: Milliseconds = 2500
    """`GATEWAY_TIMEOUT_MS` where a configuration does not say."""
    max_concurrent_calls: Annotated[int, Meta(ge=1, le=10_000)] = 512
