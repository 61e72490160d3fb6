"""What readers know of a circuit, from its events alone."""

from datetime import timedelta

from msgspec.structs import replace

from projections.circuits import evolve
from schemas.circuit import (
    CircuitClosed,
    CircuitEvent,
    CircuitForcedClosed,
    CircuitForcedOpen,
    CircuitHalfOpened,
    CircuitOpened,
    CircuitReleased,
    CircuitView,
)
from schemas.ids import GatewayId
from tests.builders import AT

ALPHA = GatewayId("alpha")
UNTIL = AT + timedelta(seconds=60)
OPENED = CircuitOpened(
    gateway=ALPHA,
    payment_method="UPI",
    at=AT,
    until=UNTIL,
    opening=2,
    reason="slow",
    statistic=63,
    threshold=63,
    baseline=0.9,
    calls=311,
    failures=90,
)
HALF_OPENED = CircuitHalfOpened(
    gateway=ALPHA, payment_method="UPI", at=UNTIL, trial=7, probes=5, probe_lease_s=30, opening=2
)
CLOSED = CircuitClosed(
    gateway=ALPHA, payment_method="UPI", at=UNTIL, trial=7, probes_succeeded=4, probes_failed=0, opening=2
)


def view_of(*events: CircuitEvent) -> CircuitView:
    view = CircuitView()
    for event in events:
        view = evolve(view, event)
    return view


def test_a_circuit_without_any_event_is_closed() -> None:
    assert view_of().status == "CLOSED"


def test_an_open_one_says_why_and_until_when() -> None:
    assert view_of(OPENED) == CircuitView(
        status="OPEN", since=AT, until=UNTIL, reason="slow", began_as="slow", baseline=0.9, opening=2
    )


def test_a_half_open_one_says_how_many_probes_may_go_and_in_which_trial() -> None:
    assert view_of(OPENED, HALF_OPENED) == CircuitView(
        status="HALF_OPEN",
        since=UNTIL,
        reason="slow",
        began_as="slow",
        baseline=0.9,
        opening=2,
        trial=7,
        probes=5,
        probe_lease_s=30,
    )


def test_a_closed_one_still_says_what_it_comes_from() -> None:
    assert view_of(OPENED, HALF_OPENED, CLOSED) == CircuitView(
        status="CLOSED", since=UNTIL, reason="slow", began_as="slow", baseline=0.9, opening=2, trial=7
    )


def test_a_row_of_openings_remembers_what_it_began_with() -> None:
    again = replace(OPENED, reason="probe_failed", opening=3)
    view = view_of(replace(OPENED, reason="fast", opening=1), HALF_OPENED, again)
    assert (view.reason, view.began_as) == ("probe_failed", "fast")


def test_the_end_of_an_outage_is_remembered_and_that_of_a_degradation_is_none() -> None:
    outage = (replace(OPENED, reason="fast", opening=1), HALF_OPENED, CLOSED)
    assert (view_of(*outage).recovered_at, view_of(*outage).usual) == (UNTIL, 0.9)
    assert view_of(OPENED, HALF_OPENED, CLOSED).recovered_at is None
    assert view_of(*outage, OPENED, HALF_OPENED).recovered_at == UNTIL


def test_a_forced_one_says_by_whom_until_it_is_released() -> None:
    forced = CircuitForcedOpen(
        gateway=ALPHA, payment_method="UPI", at=AT, by="asha", note="maintenance", request_id="req_1"
    )
    shut = CircuitForcedClosed(
        gateway=ALPHA, payment_method="UPI", at=AT, by="ravi", note="it works", request_id="req_2"
    )
    released = CircuitReleased(
        gateway=ALPHA, payment_method="UPI", at=UNTIL, by="ravi", note="it is over", request_id="req_3"
    )
    assert view_of(OPENED, forced) == CircuitView(
        status="FORCED_OPEN", since=AT, by="asha", note="maintenance"
    )
    assert view_of(forced, shut) == CircuitView(status="FORCED_CLOSED", since=AT, by="ravi", note="it works")
    assert view_of(HALF_OPENED, shut, released) == CircuitView(status="CLOSED", since=UNTIL, trial=7)
