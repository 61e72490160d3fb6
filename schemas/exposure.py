"""What results of experiments are made of: exposed payments, customers and arms, as far as the log has been read."""

from collections import Counter
from typing import Literal, NamedTuple

import msgspec

from schemas.base import Value
from schemas.ids import AttemptId, ExperimentId, GatewayId
from schemas.views import AttemptStatus

TERMINAL: tuple[AttemptStatus, ...] = ("SUCCEEDED", "DECLINED", "NOT_SENT")


class Tried(Value, frozen=True, kw_only=True):
    """One attempt of an exposed payment."""

    attempt_id: AttemptId
    gateway: GatewayId
    status: AttemptStatus = "STARTED"
    call_ms: int | None = None
    """How long the call took; None until it has ended, and for ever where only verification knows what became of it."""
    amount_minor: int = 0
    currency: str = ""
    in_review: bool = False
    is_given_back: bool = False


class Exposure(Value, frozen=True, kw_only=True):
    """A payment whose variants would have routed it differently."""

    experiment_id: ExperimentId
    variant: str
    customer_id: str
    epoch: int
    """Of the owner who assigned it."""
    is_withdrawn: bool = False
    """A later owner started it afresh, and outside the experiment."""
    fees_bps: dict[GatewayId, int] = msgspec.field(default_factory=dict)
    attempts: tuple[Tried, ...] = ()
    """In the order in which they were started."""
    result: Literal["paid", "failed"] | None = None
    paid_by: AttemptId | None = None


class ArmKey(NamedTuple):
    experiment_id: ExperimentId
    variant: str


class CustomerKey(NamedTuple):
    experiment_id: ExperimentId
    variant: str
    customer_id: str

    @property
    def arm(self) -> ArmKey:
        return ArmKey(self.experiment_id, self.variant)


class Figures(NamedTuple):
    """What the payments of one customer in one variant come to, or how much that has changed."""

    exposed: int = 0
    payments: int = 0
    """Those that count."""
    succeeded: int = 0
    first_succeeded: int = 0
    """By their first attempt."""
    timed: int = 0
    """Payments whose latency is known."""
    log_units: int = 0
    """Σ ln(milliseconds), in thousandths."""

    def __add__(self, other: "Figures") -> "Figures":  # type: ignore[override]  # adds, as figures do
        return Figures(*(one + more for one, more in zip(self, other, strict=True)))

    def __neg__(self) -> "Figures":
        return Figures(*(-one for one in self))


Tally = Counter[str]
"""Of one arm, integers by name: those of `ARM_SUMS`, and `latency:BIN`, `charged:CURRENCY`, `cost:CURRENCY`,
`given_back` and `given_back:CURRENCY`. Tallies of parts of an arm are added; a part may be negative."""

ARM_SUMS = (
    "assigned",
    "exposed",
    "customers",
    "payments",
    "payments_squared",
    "succeeded",
    "succeeded_squared",
    "succeeded_product",
    "first_succeeded",
    "first_succeeded_squared",
    "first_succeeded_product",
    "timed_customers",
    "timed",
    "timed_squared",
    "log",
    "log_squared",
    "log_product",
    "unknown",
    "in_review",
)
"""`assigned` customers were exposed, `customers` have a payment that counts. `_squared` and `_product` are sums over
customers: of the square, and of the product with their payments."""
