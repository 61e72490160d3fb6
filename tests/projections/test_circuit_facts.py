"""What a process knows of circuits, whatever is told twice."""

import asyncio

from projections.circuit_facts import CircuitFacts
from schemas.base import Event
from schemas.circuit import CircuitForcedOpen, CircuitReleased, CircuitView, KnownCircuit
from schemas.configuration import ReservationStoreAdopted
from schemas.envelope import ALWAYS, Envelope, Position, Recorded
from tests.builders import AT
from tests.commands.circuits import ALPHA, UPI

KEY = (ALPHA, UPI)
OPENED = CircuitForcedOpen(gateway=ALPHA, payment_method=UPI, at=AT, by="asha", note="n", request_id="r1")
RELEASED = CircuitReleased(gateway=ALPHA, payment_method=UPI, at=AT, by="asha", note="n", request_id="r2")


def told(
    event: Event, *, sequence: int, offset: int = 0, cause: str = "circuits.outcomes.v1-3:70"
) -> Recorded[Event]:
    return Recorded(
        envelope=Envelope(
            event_id="evt_1",
            aggregate_id="alpha:UPI",
            sequence=sequence,
            at=AT,
            epoch=1,
            window=ALWAYS,
            correlation_id="c",
            causation_id=cause,
        ),
        event=event,
        position=Position(topic="circuits.events.v1", partition=0, offset=offset),
        stamp_ms=1,
    )


def test_a_circuit_is_known_by_its_last_event_and_the_message_that_led_to_it() -> None:
    facts = CircuitFacts()
    facts.take(told(OPENED, sequence=1, offset=7))
    assert facts.views[KEY].status == "FORCED_OPEN"
    assert (facts.known[KEY].sequence, facts.known[KEY].decided_by, facts.version) == (1, 70, 7)


def test_an_event_that_is_told_again_changes_nothing() -> None:
    facts = CircuitFacts()
    for event, sequence in ((OPENED, 1), (RELEASED, 2), (OPENED, 1), (RELEASED, 2)):
        facts.take(told(event, sequence=sequence))
    assert (facts.views[KEY].status, facts.known[KEY].sequence) == ("CLOSED", 2)


def test_views_are_those_of_one_moment() -> None:
    facts = CircuitFacts()
    before = facts.views
    facts.take(told(OPENED, sequence=1))
    assert (dict(before), len(facts.views)) == ({}, 1)


def test_facts_go_on_from_what_was_stored() -> None:
    facts = CircuitFacts()
    facts.restore({KEY: KnownCircuit(view=CircuitView(status="FORCED_CLOSED"), sequence=4)}, 10)
    facts.take(told(OPENED, sequence=4, offset=10))
    assert (facts.views[KEY].status, facts.version) == ("FORCED_CLOSED", 10)
    facts.take(told(OPENED, sequence=5, offset=11, cause="somebody"))
    assert (facts.views[KEY].status, facts.known[KEY].decided_by) == ("FORCED_OPEN", -1)


def test_what_is_no_event_of_a_circuit_is_left_alone() -> None:
    facts = CircuitFacts()
    facts.take(told(ReservationStoreAdopted(system_identifier="s", timeline=1), sequence=1))
    assert dict(facts.known) == {}


async def test_who_expects_a_command_sees_the_circuit_as_it_left_it_whatever_comes_after() -> None:
    facts = CircuitFacts()
    with facts.expecting("r1") as seen:
        facts.take(told(OPENED, sequence=1))
        facts.take(told(RELEASED, sequence=2))
        async with asyncio.timeout(1):
            assert (await seen).view.status == "FORCED_OPEN"
    facts.take(told(OPENED, sequence=3))
    assert facts.views[KEY].status == "FORCED_OPEN"
