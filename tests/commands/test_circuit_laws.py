"""Laws of the circuit's decider, over whatever any sequence of messages leads to."""

from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.circuit import decide
from commands.circuit_state import Circuit, Open, status_of
from projections.circuits import evolve
from schemas.circuit import (
    CallObserved,
    CircuitClosed,
    CircuitEvent,
    CircuitHalfOpened,
    CircuitMessage,
    CircuitOpened,
    CircuitPolicy,
    CircuitView,
    ProbeStarted,
    lease_id,
)
from tests.commands.circuits import (
    POLICY,
    a_call,
    a_probe_starts,
    a_tick,
    calls,
    fold,
    force_close,
    force_open,
    release,
)

orders: st.SearchStrategy[Callable[..., CircuitMessage]] = st.sampled_from(
    [force_open, force_close, release, release]
)


@st.composite
def stories(draw: st.DrawFn) -> list[CircuitMessage]:
    """Time and offsets go on; bursts of calls, probes of any trial, ticks and, seldom, operators."""
    told: list[CircuitMessage] = []
    at, offset = 0.0, 0
    for number in range(draw(st.integers(1, 25))):
        at += draw(st.sampled_from([0, 1, 31, 250, 700]))
        lease = (draw(st.integers(1, 4)), draw(st.integers(1, 7)))
        match draw(
            st.sampled_from(["outage", "health", "probe", "probe", "starts", "tick", "tick", "operator"])
        ):
            case "outage":
                burst = calls("x" * draw(st.integers(1, 12)), begin=offset, at=at)
                told, offset = [*told, *burst], offset + len(burst)
            case "health":
                burst = calls("." * draw(st.integers(1, 40)), begin=offset, at=at)
                told, offset = [*told, *burst], offset + len(burst)
            case "probe":
                failed = draw(st.booleans())
                told.append(a_call(failed=failed, offset=offset, at=at, lease=lease_id(*lease)))
                offset += 1
            case "starts":
                told.append(a_probe_starts(lease[1], trial=lease[0], offset=offset, at=at))
                offset += 1
            case "tick":
                told.append(a_tick(at))
            case _:
                order = draw(orders)
                told.append(order(f"req_{number}", at=at))
    return told


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
        if isinstance(message, CallObserved | ProbeStarted):
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
