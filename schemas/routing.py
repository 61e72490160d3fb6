"""What a route is chosen from, and what it is."""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.base import Value
from schemas.ids import GatewayId

Exclusion = Literal["disabled", "method", "currency", "amount_below_minimum", "amount_above_maximum"]
Strategy = Literal["PRIORITY"]
AttemptReason = Literal["first", "after_declined", "after_not_sent", "after_in_doubt"]


class RetryPolicy(Value, frozen=True, kw_only=True):
    """One total latency budget over all attempts. `enabled: false` means one attempt."""

    max_attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    latency_budget_ms: Annotated[int, Meta(ge=100, le=60_000)] = 10_000
    enabled: bool = True
    retry_on_timeout: bool = False
    """Another gateway may be tried after an attempt that is in doubt. A second success is then given back."""
    keep_late_success: bool = False
    """A single success after we said FAILURE is kept, not given back."""


class Candidate(Value, frozen=True, kw_only=True):
    gateway: GatewayId
    priority: int
    fee_bps: int
    timeout_ms: int
    horizon_s: int = 0
    """So long after its start a failed attempt may still turn out to have charged."""


class Excluded(Value, frozen=True, kw_only=True):
    gateway: GatewayId
    reason: Exclusion
