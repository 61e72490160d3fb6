"""The circuit's decider: what its one writer makes of a message, and what it then says to everybody.

`decide` folds `circuits.outcomes.v1` and decides in one: the same messages from the same state, or from a checkpoint of
it, lead to the same state and the same events. Time is that of the messages.
"""

from datetime import datetime, timedelta
from typing import assert_never

from msgspec.structs import replace

from commands.baseline import BLOCK, learned
from commands.circuit_state import (
    REMEMBERED_REQUESTS,
    Circuit,
    Closed,
    ForcedClosed,
    ForcedOpen,
    HalfOpen,
    Open,
    Silenced,
)
from commands.circuit_transitions import Alarm, Decided, closed, forced, half_opened, opened
from commands.cusum import CHARTS
from schemas.circuit import (
    CallObserved,
    CircuitForcedClosed,
    CircuitForcedOpen,
    CircuitMessage,
    CircuitPolicy,
    CircuitReleased,
    CircuitTicked,
    ForceClose,
    ForceOpen,
    ForwardedMessage,
    ProbeReturned,
    ProbeStarted,
    Release,
    trial_of,
)


def decide(message: CircuitMessage, circuit: Circuit, policy: CircuitPolicy) -> Decided:
    """The circuit after the message, and what is to be told. A message that was seen before changes nothing."""
    match message:
        case CallObserved():
            return _observe(message, circuit, policy)
        case ProbeStarted():
            return _start_probe(message, circuit, policy)
        case ProbeReturned():
            return _take_back(message, circuit)
        case CircuitTicked():
            return _tick(message.at, circuit, policy)
        case ForceOpen() | ForceClose() | Release():
            return _obey(message, circuit)
        case _:
            assert_never(message)


# Calls


def _observe(call: CallObserved, circuit: Circuit, policy: CircuitPolicy) -> Decided:
    """Of a circuit that is not closed, nothing but its probes tells whether it may close."""
    if _is_repeated(call, circuit):
        return circuit, []
    state = circuit.state
    if type(state) is Closed:
        return _count(call, circuit, state, policy)
    seen = replace(circuit, watermarks=_seen(call, circuit))
    if type(state) is HalfOpen and policy.mode == "active" and _is_probe(call, circuit, state):
        return _report(call, seen, state, policy)
    return seen, []


def _is_repeated(message: ForwardedMessage, circuit: Circuit) -> bool:
    return message.source_offset <= circuit.watermarks.get(message.source_partition, -1)


def _seen(message: ForwardedMessage, circuit: Circuit) -> dict[int, int]:
    return {**circuit.watermarks, message.source_partition: message.source_offset}


def _count(call: CallObserved, circuit: Circuit, state: Closed, policy: CircuitPolicy) -> Decided:
    charts = CHARTS[circuit.baseline.percent]
    fast, slow = charts.counted(state.fast, state.slow, call.is_failure)
    baseline, block_failures = circuit.baseline, state.block_failures + call.is_failure
    calls = state.calls + 1
    if calls % BLOCK == 0:
        if not charts.is_suspicious(fast, slow):
            baseline = learned(baseline, block_failures, policy)
            fast, slow = charts.rescaled(fast, slow, CHARTS[baseline.percent])
        block_failures = 0
    counted = replace(
        state,
        fast=fast,
        slow=slow,
        calls=calls,
        failures=state.failures + call.is_failure,
        block_failures=block_failures,
    )
    after = replace(circuit, state=counted, baseline=baseline, watermarks=_seen(call, circuit))
    if fast >= charts.fast.threshold:
        alarm = Alarm("fast", fast, charts.fast.threshold, calls, counted.failures)
        return _sound(alarm, call.at, after, counted, policy)
    if slow >= charts.slow.threshold:
        alarm = Alarm("slow", slow, charts.slow.threshold, calls, counted.failures)
        return _sound(alarm, call.at, after, counted, policy)
    return after, []


def _sound(alarm: Alarm, at: datetime, circuit: Circuit, state: Closed, policy: CircuitPolicy) -> Decided:
    """One that was healthy for long begins its back-off anew."""
    if policy.mode == "metrics_only":
        silenced = Silenced(times=circuit.silenced.times + 1, last_at=at)
        fresh = Closed(opening=state.opening, closed_at=state.closed_at)
        return replace(circuit, state=fresh, silenced=silenced), []
    healthy = timedelta(seconds=policy.healthy_s)
    is_again = state.closed_at is not None and at - state.closed_at < healthy
    return opened(at, circuit, policy, state.opening + 1 if is_again else 1, alarm)


# Probes


def _start_probe(started: ProbeStarted, circuit: Circuit, policy: CircuitPolicy) -> Decided:
    if _is_repeated(started, circuit):
        return circuit, []
    seen = replace(circuit, watermarks=_seen(started, circuit))
    state = circuit.state
    if not isinstance(state, HalfOpen) or not _is_probe(started, circuit, state):
        return seen, []
    if len(state.in_flight) >= policy.probes:  # some were let go without Redis, which counts them
        return seen, []
    lost_at = started.at + timedelta(seconds=policy.probe_lease_s)
    return replace(seen, state=replace(state, in_flight={**state.in_flight, started.lease: lost_at})), []


def _take_back(returned: ProbeReturned, circuit: Circuit) -> Decided:
    if _is_repeated(returned, circuit):
        return circuit, []
    seen = replace(circuit, watermarks=_seen(returned, circuit))
    if not isinstance(circuit.state, HalfOpen):
        return seen, []
    return replace(seen, state=_without(returned.lease, circuit.state)), []


def _without(lease: str, trial: HalfOpen) -> HalfOpen:
    in_flight = {other: lost_at for other, lost_at in trial.in_flight.items() if other != lease}
    return replace(trial, in_flight=in_flight)


def _is_probe(message: ForwardedMessage, circuit: Circuit, state: HalfOpen) -> bool:
    """Of this trial, and not reported yet. One that was given up for lost may still report."""
    lease = message.lease
    return lease is not None and trial_of(lease) == circuit.trial and lease not in state.reported


def _report(call: CallObserved, circuit: Circuit, state: HalfOpen, policy: CircuitPolicy) -> Decided:
    """Closed, or open again, as soon as the probes that are left cannot change it."""
    assert call.lease is not None
    trial = replace(
        _without(call.lease, state),
        reported=(*state.reported, call.lease),
        succeeded=state.succeeded + (not call.is_failure),
        failed=state.failed + call.is_failure,
    )
    allowed = policy.probe_failures_allowed
    if trial.failed > allowed:
        alarm = Alarm("probe_failed", trial.failed, allowed + 1, len(trial.reported), trial.failed)
        return opened(call.at, circuit, policy, trial.opening + 1, alarm)
    if trial.succeeded >= policy.probes - allowed:
        return closed(call.at, circuit, trial.opening, trial.succeeded, trial.failed)
    return replace(circuit, state=trial), []


# Time


def _tick(at: datetime, circuit: Circuit, policy: CircuitPolicy) -> Decided:
    match circuit.state:
        case Open(opening=opening) | HalfOpen(opening=opening) if policy.mode == "metrics_only":
            return closed(at, circuit, opening, 0, 0)
        case Open(until=until, opening=opening) if at >= until:
            tried = replace(circuit, trial=circuit.trial + 1)
            return half_opened(at, tried, HalfOpen(opening=opening, in_flight={}), policy)
        case HalfOpen() as trial:
            return _give_up_lost(at, circuit, trial, policy)
        case _:
            return circuit, []


def _give_up_lost(at: datetime, circuit: Circuit, trial: HalfOpen, policy: CircuitPolicy) -> Decided:
    """Their leases are free by now and others may go, until as many were lost as there are probes."""
    in_flight = {lease: lost_at for lease, lost_at in trial.in_flight.items() if lost_at > at}
    newly_lost = len(trial.in_flight) - len(in_flight)
    if not newly_lost:
        return circuit, []
    left = replace(trial, in_flight=in_flight, lost=trial.lost + newly_lost)
    if left.lost >= policy.probes:
        alarm = Alarm("probes_lost", left.lost, policy.probes, len(left.reported), left.failed)
        return opened(at, circuit, policy, left.opening + 1, alarm)
    return replace(circuit, state=left), []


# Operators


def _obey(order: ForceOpen | ForceClose | Release, circuit: Circuit) -> Decided:
    """Whatever the mode: an operator's word counts. A circuit that is not forced has nothing to be released from."""
    if order.request_id in circuit.requests:
        return circuit, []
    known = replace(circuit, requests=(*circuit.requests, order.request_id)[-REMEMBERED_REQUESTS:])
    match order, circuit.state:
        case ForceOpen(), _:
            return forced(order, known, ForcedOpen(), CircuitForcedOpen)
        case ForceClose(), _:
            return forced(order, known, ForcedClosed(), CircuitForcedClosed)
        case Release(), ForcedOpen() | ForcedClosed():
            return forced(order, known, Closed(), CircuitReleased)
        case _:
            return known, []
