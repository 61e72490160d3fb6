"""How one simulated gateway behaves, as data: everything here may be changed while the simulator runs."""

import math
from typing import Annotated, Literal

from msgspec import Meta, Struct

Rate = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[int, Meta(ge=0, le=600_000)]
Slug = Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_-]{0,39})?$")]

Source = Literal["customer", "business", "internal", "customer_psp", "gateway", "network", "issuer_bank"]
FaultKind = Literal[
    "effect_then_500",
    "error_500_before_effect",
    "effect_then_timeout",
    "timeout_before_effect",
    "effect_then_reset",
    "reset_before_effect",
    "slow_drip",
    "garbage_body",
    "truncated_body",
    "empty_200",
    "wrong_amount",
    "rate_limited_429",
    "unavailable_503_before_effect",
    "lookup_500",
]


Asked = Literal["order", "charge"]
"""What is being asked for: some wires want an order, which moves no money, before the charge itself."""
Wire = Literal["simulator", "razorpay", "stripe"]


class Decline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: str
    source: Source
    reason: str


class WeightedDecline(Decline, frozen=True, kw_only=True, forbid_unknown_fields=True):
    weight: Annotated[float, Meta(gt=0)] = 1.0


class Latency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log-normal: half of the answers take less than the median, and `sigma` widens the tail; or fixed."""

    median_ms: Annotated[float, Meta(ge=0, le=60_000)] = 150.0
    sigma: Annotated[float, Meta(ge=0, le=3)] = 0.35
    fixed_ms: Annotated[float, Meta(ge=0, le=60_000)] | None = None


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Faults are drawn each for itself, per reference; the first of the list that strikes wins."""

    kind: FaultKind
    probability: Rate = 1.0
    at: Asked = "charge"


class Webhooks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a gateway tells what happened, and how well. Of several secrets, as while one is replaced by another, each
    signs its share. One that is reordered comes after those of the next `reordered_by_ms`."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s]+$")]
    secrets: Annotated[tuple[str, ...], Meta(min_length=1)]
    delay_ms: Milliseconds = 0
    lost: Rate = 0.0
    doubled: Rate = 0.0
    reordered: Rate = 0.0
    reordered_by_ms: Milliseconds = 1_000


ANY_DECLINE = WeightedDecline(code="BAD_REQUEST_ERROR", source="issuer_bank", reason="payment_failed")


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway. `fee_bps` is information for whoever weighs cost; nothing is charged by it.

    A pending charge (the customer must act) settles after `pending_resolves_ms`, or never.
    Of the declines, `late_capture_rate` turn into `late_status` after `late_capture_after_ms`.
    A refund is pending for `refund_pending_ms`, on the wires that know of that; the money is the customer's at once.
    A charge is found `lookup_lag_ms` after it was made; an answer to a look-up takes `lookup_ms`.
    `credentials` are what a caller must show, such as `key:secret`; without them anybody may call.
    """

    gateway: Slug = ""
    wire: Wire = "simulator"
    credentials: str | None = None
    seed: int = 1
    success_rate: Rate = 0.9
    latency: Latency = Latency()
    fee_bps: Annotated[int, Meta(ge=0, le=10_000)] = 0
    declines: Annotated[tuple[WeightedDecline, ...], Meta(min_length=1)] = (ANY_DECLINE,)
    pending_rate: Rate = 0.0
    pending_resolves_ms: Milliseconds | None = None
    late_capture_rate: Rate = 0.0
    late_capture_after_ms: Milliseconds = 1_000
    late_status: Literal["captured", "authorized"] = "captured"
    refund_pending_ms: Milliseconds = 0
    faults: tuple[Fault, ...] = ()
    lookup_lag_ms: Milliseconds = 0
    lookup_ms: Milliseconds = 0
    capacity: Annotated[int, Meta(ge=0)] | None = None
    webhooks: Webhooks | None = None

    def __post_init__(self) -> None:
        if self.gateway == "control":
            raise ValueError("no gateway may be called control: that path is the simulator's own")
        if self.wire == "simulator" and self.late_status == "authorized":
            raise ValueError("the simulator's own wire knows no authorisation without a capture")
        if not math.isfinite(sum(decline.weight for decline in self.declines)):
            raise ValueError("the weights of the declines must have a finite sum")
