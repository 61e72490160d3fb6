"""What its one writer knows of a circuit: a fold of `circuits.outcomes.v1`, small enough to be checkpointed often."""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from commands import baseline
from commands.baseline import Baseline
from schemas.base import Value
from schemas.circuit import CircuitPolicy, CircuitStatus, CircuitView
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod

REMEMBERED_REQUESTS = 16
"""Operators' commands that are recognised when they come twice."""


class Closed(Value, frozen=True, kw_only=True, tag=True, gc=False):
    """Counts of this closed spell; the statistics are those of `commands/cusum.py`."""

    fast: int = 0
    slow: int = 0
    calls: int = 0
    failures: int = 0
    block_failures: int = 0
    """Of the block of calls that the baseline learns next."""
    opening: int = 0
    """Openings in a row before this spell."""
    closed_at: datetime | None = None
    """None of a circuit that never opened, or that an operator released."""


class Open(Value, frozen=True, kw_only=True, tag=True):
    until: datetime
    opening: int


class HalfOpen(Value, frozen=True, kw_only=True, tag=True):
    opening: int
    in_flight: dict[str, datetime]
    """Leases of the probes that have not reported, and when each is lost."""
    reported: tuple[str, ...] = ()
    succeeded: int = 0
    failed: int = 0
    lost: int = 0


class ForcedOpen(Value, frozen=True, kw_only=True, tag=True):
    pass


class ForcedClosed(Value, frozen=True, kw_only=True, tag=True):
    pass


CircuitState = Closed | Open | HalfOpen | ForcedOpen | ForcedClosed


class Silenced(Value, frozen=True, kw_only=True):
    """Openings that `metrics_only` did not let happen."""

    times: int = 0
    last_at: datetime | None = None


class Circuit(Value, frozen=True, kw_only=True):
    gateway: GatewayId
    payment_method: PaymentMethod
    state: CircuitState
    baseline: Baseline
    watermarks: dict[int, int]
    """Per partition of `payments.events.v1` the last offset that was forwarded here: what comes again is ignored."""
    trial: int = 0
    """Half-openings so far."""
    silenced: Silenced = Silenced()
    requests: tuple[str, ...] = ()
    """The last of the operators' commands."""


def new_circuit(gateway: GatewayId, payment_method: PaymentMethod, policy: CircuitPolicy) -> Circuit:
    return Circuit(
        gateway=gateway,
        payment_method=payment_method,
        state=Closed(),
        baseline=baseline.unknown(policy),
        watermarks={},
    )


def status_of(state: CircuitState) -> CircuitStatus:
    match state:
        case Closed():
            return "CLOSED"
        case Open():
            return "OPEN"
        case HalfOpen():
            return "HALF_OPEN"
        case ForcedOpen():
            return "FORCED_OPEN"
        case ForcedClosed():
            return "FORCED_CLOSED"
        case _:
            assert_never(state)


def resumed(circuit: Circuit, view: CircuitView) -> Circuit:
    """As it is right after the event that led to the view: every event says all about the state that it leads to."""
    return replace(circuit, state=_state_after(view), trial=view.trial)


def _state_after(view: CircuitView) -> CircuitState:
    match view.status:
        case "CLOSED":
            return Closed(opening=view.opening, closed_at=view.since if view.opening else None)
        case "OPEN":
            assert view.until is not None
            return Open(until=view.until, opening=view.opening)
        case "HALF_OPEN":
            return HalfOpen(opening=view.opening, in_flight={})
        case "FORCED_OPEN":
            return ForcedOpen()
        case "FORCED_CLOSED":
            return ForcedClosed()
        case _:
            assert_never(view.status)
