"""The vocabulary of circuits, one per gateway and payment method: what their one writer is told, and what it says.

Whoever reads `circuits.events.v1` knows every circuit; nobody but the writer needs `circuits.outcomes.v1`.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from schemas.base import Body, Event, Value
from schemas.ids import AttemptId, GatewayId
from schemas.instrument import PaymentMethod

CircuitStatus = Literal["CLOSED", "OPEN", "HALF_OPEN", "FORCED_OPEN", "FORCED_CLOSED"]
ADMITTING: frozenset[CircuitStatus] = frozenset(("CLOSED", "FORCED_CLOSED"))
"""Where ordinary payments may go."""
OpeningReason = Literal["fast", "slow", "probe_failed", "probes_lost"]
"""`fast` and `slow`: which of the two statistics reached its threshold. The others re-open a half-open circuit."""

Rate = Annotated[float, Meta(ge=0.80, le=0.99)]

CircuitKey = tuple[GatewayId, PaymentMethod]


def circuit_name(gateway: GatewayId, payment_method: PaymentMethod) -> str:
    """`razorpay:UPI`: the key of everything on the log that is about it."""
    return f"{gateway}:{payment_method}"


class CircuitPolicy(Value, frozen=True, kw_only=True):
    mode: Literal["active", "metrics_only"] = "active"
    """`metrics_only` counts, and remembers when it would have opened, but never opens."""
    probes: Annotated[int, Meta(ge=1, le=50)] = 5
    probe_failures_allowed: Annotated[int, Meta(ge=0, le=49)] = 1
    """With one of 5, a gateway at .9 closes in .92 of all trials and one at .3 in .03; with none in .59 and .00, with
    two in .99 and .16. A false closing costs another detection, which is dearer than to return later."""
    probe_lease_s: Annotated[int, Meta(ge=1, le=600)] = 30
    """So long after its start a probe that has not reported is lost, and its lease is free."""
    first_open_s: Annotated[int, Meta(ge=1, le=86_400)] = 30
    longest_open_s: Annotated[int, Meta(ge=1, le=86_400)] = 240
    back_off: Annotated[int, Meta(ge=1, le=10)] = 2
    healthy_s: Annotated[int, Meta(ge=1, le=86_400)] = 600
    """Closed for so long, the next opening is a first one again."""
    least_baseline: Rate = 0.80
    most_baseline: Rate = 0.99
    baseline_half_life_calls: Annotated[int, Meta(ge=200, le=1_000_000)] = 2_000

    def __post_init__(self) -> None:
        if self.least_baseline > self.most_baseline:
            raise ValueError("least_baseline is above most_baseline")
        if self.first_open_s > self.longest_open_s:
            raise ValueError("first_open_s is above longest_open_s")
        if self.probe_failures_allowed >= self.probes:
            raise ValueError("probe_failures_allowed must leave a probe that has to succeed")


# Events


class CircuitOpened(Event, frozen=True, kw_only=True):
    """No payment goes there before `until`, with the numbers that say why."""

    gateway: GatewayId
    payment_method: PaymentMethod
    at: datetime
    until: datetime
    opening: int
    """How often in a row it has opened."""
    reason: OpeningReason
    statistic: int
    """The CUSUM, or of a half-open circuit the probes that failed or were lost."""
    threshold: int
    baseline: float
    """The success rate that it was held against."""
    calls: int
    """Observed since it last closed, or probes that reported."""
    failures: int


class CircuitHalfOpened(Event, frozen=True, kw_only=True):
    """Only probes may go there, each with a lease."""

    gateway: GatewayId
    payment_method: PaymentMethod
    at: datetime
    trial: int
    """Grows with every half-opening of this circuit; a probe's lease names it."""
    probes: int
    """Leases that may be out at once."""
    probe_lease_s: int
    """A lease is free again so long after it was taken, whatever became of its probe: nothing can stall a trial."""
    opening: int


class CircuitClosed(Event, frozen=True, kw_only=True):
    gateway: GatewayId
    payment_method: PaymentMethod
    at: datetime
    trial: int
    probes_succeeded: int
    probes_failed: int
    opening: int
    """The openings in a row that end here, unless it soon opens again."""


class CircuitForcedOpen(Event, frozen=True, kw_only=True):
    gateway: GatewayId
    payment_method: PaymentMethod
    at: datetime
    by: str
    note: str
    request_id: str


class CircuitForcedClosed(Event, frozen=True, kw_only=True):
    gateway: GatewayId
    payment_method: PaymentMethod
    at: datetime
    by: str
    note: str
    request_id: str


class CircuitReleased(Event, frozen=True, kw_only=True):
    """An operator's force has ended: the circuit is closed and counts afresh."""

    gateway: GatewayId
    payment_method: PaymentMethod
    at: datetime
    by: str
    note: str
    request_id: str


CircuitEvent = (
    CircuitOpened
    | CircuitHalfOpened
    | CircuitClosed
    | CircuitForcedOpen
    | CircuitForcedClosed
    | CircuitReleased
)

# Messages to the writer


class ProbeStarted(Event, frozen=True, kw_only=True):
    """An attempt that holds a probe's lease was started: without it nobody would know that one was lost."""

    gateway: GatewayId
    payment_method: PaymentMethod
    attempt_id: AttemptId
    lease: str
    at: datetime
    source_partition: int
    source_offset: int


class CallObserved(Event, frozen=True, kw_only=True):
    """What a call came to, where that tells something of its gateway (`counts_against_circuit`). What
    verification finds out later is no call."""

    gateway: GatewayId
    payment_method: PaymentMethod
    attempt_id: AttemptId
    is_failure: bool
    latency_ms: int
    at: datetime
    source_partition: int
    source_offset: int
    lease: str | None = None
    """Of a probe."""


class ProbeReturned(Event, frozen=True, kw_only=True):
    """A probe ended by our own doing, which tells nothing of its gateway: it has neither failed nor is it lost."""

    gateway: GatewayId
    payment_method: PaymentMethod
    attempt_id: AttemptId
    lease: str
    at: datetime
    source_partition: int
    source_offset: int


class CircuitTicked(Event, frozen=True, kw_only=True):
    """Time has come this far."""

    gateway: GatewayId
    payment_method: PaymentMethod
    at: datetime


class ForceOpen(Event, frozen=True, kw_only=True):
    gateway: GatewayId
    payment_method: PaymentMethod
    at: datetime
    by: str
    note: str
    request_id: str


class ForceClose(Event, frozen=True, kw_only=True):
    gateway: GatewayId
    payment_method: PaymentMethod
    at: datetime
    by: str
    note: str
    request_id: str


class Release(Event, frozen=True, kw_only=True):
    gateway: GatewayId
    payment_method: PaymentMethod
    at: datetime
    by: str
    note: str
    request_id: str


ForwardedMessage = CallObserved | ProbeStarted | ProbeReturned
CircuitMessage = ForwardedMessage | CircuitTicked | ForceOpen | ForceClose | Release


def lease_id(trial: int, name: int | str) -> str:
    """`3.1`: the first lease of the third trial. A name says who may have given it, such as `local-7f3a-1`."""
    return f"{trial}.{name}"


def trial_of(lease: str) -> int | None:
    """None of what is no lease of ours."""
    trial, dot, name = lease.partition(".")
    return int(trial) if dot and name and trial.isascii() and trial.isdigit() and len(trial) < 16 else None


# What readers know


class CircuitView(Value, frozen=True, kw_only=True):
    """A circuit as its events tell it; one without any event is closed."""

    status: CircuitStatus = "CLOSED"
    since: datetime | None = None
    until: datetime | None = None
    """Of an open one: not before then will it try again."""
    reason: OpeningReason | None = None
    """Of its last opening."""
    began_as: OpeningReason | None = None
    """Why the first of these openings in a row happened: `fast` is an outage, `slow` a degradation."""
    baseline: float | None = None
    """The success rate that it was held against when it last opened."""
    opening: int = 0
    """How often in a row it has opened; kept when it closes, for whoever wants to know what it comes from."""
    trial: int = 0
    probes: int = 0
    """Of a half-open one: the leases that may be out at once."""
    probe_lease_s: int = 0
    by: str | None = None
    note: str | None = None
    """Of a forced one."""
    recovered_at: datetime | None = None
    """When it last closed after an outage: what was learned before tells nothing of the gateway as it is now."""
    usual: float | None = None
    """The success rate that it had before that outage."""


class KnownCircuit(Value, frozen=True, kw_only=True):
    view: CircuitView
    sequence: int
    """Of its last event: an event that comes again is known by it."""
    decided_by: int = -1
    """The offset of the message that led to that event, in the circuit's partition of `circuits.outcomes.v1`."""


class StoredCircuit(Value, frozen=True, kw_only=True):
    """A circuit as its writer has checkpointed it."""

    partition: int
    gateway: GatewayId
    payment_method: PaymentMethod
    state: str
    """JSON, which only the writer understands."""


# What an operator says


class OrderBody(Body, frozen=True, kw_only=True):
    """`POST /circuit-breaker/force-open/{gateway}/{method}` and the like; it is on the log for ever."""

    note: Annotated[str, Meta(max_length=500)] = ""
    by: Annotated[str, Meta(min_length=1, max_length=64)] = "operator"
