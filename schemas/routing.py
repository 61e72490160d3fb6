"""What a route is chosen from, and what it is."""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.base import Value
from schemas.ids import GatewayId

Exclusion = Literal["disabled", "method", "currency", "amount_below_minimum", "amount_above_maximum"]
Strategy = Literal["PRIORITY"]
AttemptReason = Literal["first", "after_declined", "after_not_sent"]


class RetryPolicy(Value, frozen=True, kw_only=True):
    """One total latency budget over all attempts. `enabled: false` means one attempt."""

    max_attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    latency_budget_ms: Annotated[int, Meta(ge=100, le=60_000)] = 10_000
    enabled: bool = True


class Candidate(Value, frozen=True, kw_only=True):
    gateway: GatewayId
    priority: int
    fee_bps: int
    timeout_ms: int


class Excluded(Value, frozen=True, kw_only=True):
    gateway: GatewayId
    reason: Exclusion
