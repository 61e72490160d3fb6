"""When an endpoint is left alone, and for how long."""

from commands.endpoint_circuit import FIRST_PAUSE_MS, LONGEST_PAUSE_MS, OPENS_AFTER, after
from schemas.delivery import Answered, EndpointCircuit, Flowing, Paused, SendResult, Unreached

GOOD, BAD = Answered(status=200), Unreached(reason="timeout")
WELL = Flowing()
OPENED = Paused(left_ms=FIRST_PAUSE_MS, pause_ms=FIRST_PAUSE_MS)
TRIED = Paused(left_ms=0, pause_ms=FIRST_PAUSE_MS)
"""Its pause is over, and nobody knows yet how it is."""


def told(*results: SendResult, circuit: EndpointCircuit = WELL) -> EndpointCircuit:
    for result in results:
        circuit = after(circuit, result)
    return circuit


def test_failures_in_a_row_pause_it_and_others_do_not() -> None:
    almost = [BAD] * (OPENS_AFTER - 1)
    assert told(*almost, GOOD, *almost) == Flowing(failures=OPENS_AFTER - 1)
    assert told(*almost, BAD) == OPENED


def test_what_was_begun_before_the_pause_does_not_lengthen_it() -> None:
    assert told(BAD, BAD, circuit=OPENED) == OPENED


def test_each_pause_is_twice_the_one_before_up_to_a_limit() -> None:
    circuit: EndpointCircuit = OPENED
    pauses = []
    for _ in range(8):
        assert isinstance(circuit, Paused)
        pauses.append(circuit.pause_ms)
        circuit = after(Paused(left_ms=0, pause_ms=circuit.pause_ms), BAD)
    assert pauses[:3] == [FIRST_PAUSE_MS, 2 * FIRST_PAUSE_MS, 4 * FIRST_PAUSE_MS]
    assert pauses[-1] == LONGEST_PAUSE_MS


def test_one_success_lets_everything_flow_again() -> None:
    assert told(GOOD, circuit=TRIED) == WELL


def test_a_receiver_that_asks_for_time_is_left_alone_for_it_within_the_limit() -> None:
    assert told(Answered(status=429, retry_after_s=60)) == Paused(left_ms=60_000, pause_ms=60_000)
    assert told(Answered(status=503, retry_after_s=10_000)) == Paused(
        left_ms=LONGEST_PAUSE_MS, pause_ms=LONGEST_PAUSE_MS
    )
