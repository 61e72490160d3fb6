"""What changes when a circuit opens, half-opens or closes, and the event that says so; `circuit.py` decides when."""

from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from commands.circuit_state import Circuit, Closed, ForcedClosed, ForcedOpen, HalfOpen, Open
from schemas.circuit import (
    CircuitClosed,
    CircuitEvent,
    CircuitForcedClosed,
    CircuitForcedOpen,
    CircuitHalfOpened,
    CircuitOpened,
    CircuitPolicy,
    CircuitReleased,
    ForceClose,
    ForceOpen,
    OpeningReason,
    Release,
)

Decided = tuple[Circuit, list[CircuitEvent]]


class Alarm(NamedTuple):
    """Why a circuit opens: the fields of `CircuitOpened`."""

    reason: OpeningReason
    statistic: int
    threshold: int
    calls: int
    failures: int


def opened(at: datetime, circuit: Circuit, policy: CircuitPolicy, opening: int, alarm: Alarm) -> Decided:
    until = at + timedelta(seconds=open_s(opening, policy))
    event = CircuitOpened(
        gateway=circuit.gateway,
        payment_method=circuit.payment_method,
        at=at,
        until=until,
        opening=opening,
        reason=alarm.reason,
        statistic=alarm.statistic,
        threshold=alarm.threshold,
        baseline=circuit.baseline.percent / 100,
        calls=alarm.calls,
        failures=alarm.failures,
    )
    return replace(circuit, state=Open(until=until, opening=opening)), [event]


def open_s(opening: int, policy: CircuitPolicy) -> int:
    """first · back_off^(opening - 1), and no more than the longest."""
    seconds = policy.first_open_s
    for _ in range(
        min(opening - 1, policy.longest_open_s.bit_length())
    ):  # so many doublings reach the longest
        seconds *= policy.back_off
    return min(seconds, policy.longest_open_s)


def half_opened(at: datetime, circuit: Circuit, trial: HalfOpen, policy: CircuitPolicy) -> Decided:
    event = CircuitHalfOpened(
        gateway=circuit.gateway,
        payment_method=circuit.payment_method,
        at=at,
        trial=circuit.trial,
        probes=policy.probes,
        probe_lease_s=policy.probe_lease_s,
        opening=trial.opening,
    )
    return replace(circuit, state=trial), [event]


def closed(at: datetime, circuit: Circuit, opening: int, succeeded: int, failed: int) -> Decided:
    event = CircuitClosed(
        gateway=circuit.gateway,
        payment_method=circuit.payment_method,
        at=at,
        trial=circuit.trial,
        probes_succeeded=succeeded,
        probes_failed=failed,
        opening=opening,
    )
    return replace(circuit, state=Closed(opening=opening, closed_at=at)), [event]


def forced(
    order: ForceOpen | ForceClose | Release,
    circuit: Circuit,
    state: ForcedOpen | ForcedClosed | Closed,
    event: type[CircuitForcedOpen | CircuitForcedClosed | CircuitReleased],
) -> Decided:
    said = event(
        gateway=circuit.gateway,
        payment_method=circuit.payment_method,
        at=order.at,
        by=order.by,
        note=order.note,
        request_id=order.request_id,
    )
    return replace(circuit, state=state), [said]
