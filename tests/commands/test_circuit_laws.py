"""Laws of the circuit's decider, over whatever any sequence of messages leads to."""

from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.circuit import decide
from commands.circuit_state import Circuit, Open, new_circuit, status_of
from projections.circuits import evolve
from schemas.circuit import (
    CircuitClosed,
    CircuitEvent,
    CircuitHalfOpened,
    CircuitMessage,
    CircuitOpened,
    CircuitPolicy,
    CircuitView,
    ForwardedMessage,
    lease_id,
)
from tests.commands.circuits import (
    ALPHA,
    POLICY,
    UPI,
    a_call,
    a_probe_returns,
    a_probe_starts,
    a_tick,
    calls,
    fold,
    force_close,
    force_open,
    probes,
    release,
)

orders: st.SearchStrategy[Callable[..., CircuitMessage]] = st.sampled_from(
    [force_open, force_close, release, release]
)


steps = st.sampled_from(
    ["outage", "outage", "health", "probe", "probes", "starts", "returns", "tick", "tick", "wait", "operator"]
)


@st.composite
def stories(draw: st.DrawFn) -> list[CircuitMessage]:
    """Time and offsets go on: calls that fail or succeed in a row, probes of this trial or the last, waiting, ticks and
    operators."""
    told: list[CircuitMessage] = []
    circuit = new_circuit(ALPHA, UPI, POLICY)
    at, offset = 0.0, 0
    for number in range(draw(st.integers(1, 40))):
        match draw(steps):
            case "outage":
                new: list[CircuitMessage] = [*calls("x" * draw(st.integers(8, 12)), begin=offset, at=at)]
            case "health":
                new = [*calls("." * draw(st.integers(1, 40)), begin=offset, at=at)]
            case "probe":
                lease = draw(leases(circuit.trial))
                new = [a_call(failed=draw(fails), offset=offset, at=at, lease=lease)]
            case "probes":
                outcomes = draw(st.sampled_from(["....", ".x...", "x.x", "..", "xx"]))
                new = [*probes(outcomes, trial=circuit.trial, begin=offset, at=at)]
            case "starts":
                numbers = range(1, draw(st.integers(2, 7)))
                new = [
                    a_probe_starts(one, trial=circuit.trial, offset=offset + one, at=at) for one in numbers
                ]
            case "returns":
                number = draw(st.integers(1, 7))
                new = [a_probe_returns(number, trial=circuit.trial, offset=offset, at=at)]
            case "tick":
                new = [a_tick(at)]
            case "wait":
                at += draw(st.sampled_from([1, 31, 61, 241, 700]))
                new = [a_tick(at)]
            case _:
                new = [draw(orders)(f"req_{number}", at=at)]
        circuit, _ = fold(new, circuit)
        told, offset = [*told, *new], offset + len(new) + 1
    return told


fails = st.sampled_from([False, False, True])


def leases(trial: int) -> st.SearchStrategy[str]:
    return st.builds(lease_id, st.sampled_from([trial, trial, trial, max(0, trial - 1)]), st.integers(1, 7))


@given(stories(), st.data())
@settings(max_examples=200, deadline=None)
def test_a_replay_from_any_checkpoint_is_a_replay_from_the_beginning(
    story: list[CircuitMessage], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(story)))
    before, told_before = fold(story[:place])
    checkpoint = msgspec.json.decode(msgspec.json.encode(before), type=Circuit)
    after, told_after = fold(story[place:], checkpoint)
    assert (after, told_before + told_after) == fold(story)


@given(stories())
@settings(max_examples=200, deadline=None)
def test_between_two_openings_there_is_a_half_opening(story: list[CircuitMessage]) -> None:
    """Or an operator; and what closes was half-open."""
    last: CircuitEvent | None = None
    for event in fold(story)[1]:
        assert not (isinstance(event, CircuitOpened) and isinstance(last, CircuitOpened))
        if isinstance(event, CircuitClosed):
            assert isinstance(last, CircuitHalfOpened)
        last = event


@given(stories())
@settings(max_examples=200, deadline=None)
def test_a_message_that_comes_again_changes_nothing(story: list[CircuitMessage]) -> None:
    """At once, and calls, probes and commands also at any later time."""
    circuit, _ = fold(story)
    for message in story:
        if isinstance(message, ForwardedMessage):
            assert decide(message, circuit, POLICY) == (circuit, [])
    for message in story[-1:]:
        again, told = decide(message, circuit, POLICY)
        assert told == []
        assert again == circuit


@given(stories())
@settings(max_examples=200, deadline=None)
def test_readers_of_the_events_know_what_the_writer_knows(story: list[CircuitMessage]) -> None:
    view = CircuitView()
    circuit, told = fold(story)
    for event in told:
        view = evolve(view, event)
    assert view.status == status_of(circuit.state)
    if isinstance(circuit.state, Open):
        assert (view.until, view.opening) == (circuit.state.until, circuit.state.opening)
    if view.status == "HALF_OPEN":
        assert view.trial == circuit.trial


@given(stories())
@settings(max_examples=200, deadline=None)
def test_metrics_only_never_opens(story: list[CircuitMessage]) -> None:
    _, told = fold(story, policy=CircuitPolicy(mode="metrics_only"))
    assert not any(isinstance(event, CircuitOpened | CircuitHalfOpened | CircuitClosed) for event in told)


@given(stories())
@settings(max_examples=100, deadline=None)
def test_an_opening_lasts_as_long_as_the_policy_allows(story: list[CircuitMessage]) -> None:
    for event in fold(story)[1]:
        if isinstance(event, CircuitOpened):
            lasts_s = (event.until - event.at).total_seconds()
            assert POLICY.first_open_s <= lasts_s <= POLICY.longest_open_s
            assert event.statistic >= event.threshold
