"""What is compared with the stores: what the writer of circuits has and says, from the messages alone."""

from collections.abc import Iterable

from msgspec.structs import replace

from schemas.base import Event
from schemas.circuit import CircuitMessage, CircuitPolicy
from schemas.codec import CIRCUIT_OUTCOMES_TOPIC
from schemas.envelope import Position, Recorded
from tests.commands.circuits import ALPHA, POLICY, UPI, a_tick, calls, fold
from tests.folds import WrittenCircuits, told_circuits
from tests.projections.test_circuit_facts import OPENED, RELEASED, told

KEY = (ALPHA, UPI)
MESSAGES: list[CircuitMessage] = [*calls("...xxxxxxxxxxxxxxxxxxxx"), a_tick(31)]


def on_the_topic(messages: Iterable[Event]) -> list[Recorded[Event]]:
    return [
        replace(
            told(message, sequence=0),
            position=Position(topic=CIRCUIT_OUTCOMES_TOPIC, partition=3, offset=offset),
        )
        for offset, message in enumerate(messages)
    ]


def test_the_writer_should_have_what_the_decider_makes_of_all_messages() -> None:
    circuit, events = fold(MESSAGES)
    written = WrittenCircuits(on_the_topic(MESSAGES), lambda _: POLICY)
    assert [type(event).__name__ for event in events] == ["CircuitOpened", "CircuitHalfOpened"]
    assert written.told == {KEY: events}
    assert (written.circuits[KEY].circuit, written.circuits[KEY].sequence) == (circuit, 2)


def test_the_policy_of_each_circuit_decides() -> None:
    silent = WrittenCircuits(on_the_topic(MESSAGES), lambda _: CircuitPolicy(mode="metrics_only"))
    assert silent.told == {KEY: []}


def test_what_is_told_twice_is_told_once() -> None:
    events = [told(OPENED, sequence=1), told(OPENED, sequence=1), told(RELEASED, sequence=2)]
    assert told_circuits(events) == {KEY: [OPENED, RELEASED]}
    assert told_circuits([told(OPENED, sequence=1), told(OPENED, sequence=2)]) == {KEY: [OPENED, OPENED]}


def test_two_writers_who_say_different_things_under_one_number_are_found_out() -> None:
    assert told_circuits([told(OPENED, sequence=1), told(RELEASED, sequence=1)]) == {KEY: [OPENED, RELEASED]}
