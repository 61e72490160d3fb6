"""How much one endpoint is sent at a time, and when it is left alone."""

from commands.endpoint_circuit import (
    AT_ONCE,
    FIRST_PAUSE_MS,
    INITIAL,
    LONGEST_PAUSE_MS,
    OPENS_AFTER,
    EndpointCircuit,
    Flowing,
    Paused,
    after,
    room,
)
from schemas.delivery import Answered, SendResult, Unreached

GOOD, BAD = Answered(status=200), Unreached(reason="timeout")


def told(*results: SendResult, at_ms: float = 0, circuit: EndpointCircuit = INITIAL) -> EndpointCircuit:
    for result in results:
        circuit = after(circuit, result, at_ms)
    return circuit


def opened() -> Paused:
    circuit = told(*[BAD] * OPENS_AFTER)
    assert isinstance(circuit, Paused)
    return circuit


def test_a_healthy_endpoint_has_room_for_a_few_at_once() -> None:
    assert room(INITIAL, 0, 0) == AT_ONCE
    assert room(INITIAL, AT_ONCE - 1, 0) == 1
    assert room(INITIAL, AT_ONCE + 3, 0) == 0


def test_failures_in_a_row_pause_it_and_others_do_not() -> None:
    almost = [BAD] * (OPENS_AFTER - 1)
    assert told(*almost, GOOD, *almost) == Flowing(failures=OPENS_AFTER - 1)
    assert opened() == Paused(until_ms=FIRST_PAUSE_MS, pause_ms=FIRST_PAUSE_MS)


def test_a_paused_one_has_no_room_until_one_may_try() -> None:
    circuit = opened()
    assert room(circuit, 0, FIRST_PAUSE_MS - 1) == 0
    assert room(circuit, 0, FIRST_PAUSE_MS) == 1
    assert room(circuit, 1, FIRST_PAUSE_MS) == 0


def test_what_was_begun_before_the_pause_does_not_lengthen_it() -> None:
    assert told(BAD, BAD, circuit=opened(), at_ms=FIRST_PAUSE_MS - 1) == opened()


def test_each_pause_is_twice_the_one_before_up_to_a_limit() -> None:
    circuit: EndpointCircuit = opened()
    pauses = []
    for _ in range(8):
        assert isinstance(circuit, Paused)
        pauses.append(circuit.pause_ms)
        circuit = after(circuit, BAD, circuit.until_ms)
    assert pauses[:3] == [FIRST_PAUSE_MS, 2 * FIRST_PAUSE_MS, 4 * FIRST_PAUSE_MS]
    assert pauses[-1] == LONGEST_PAUSE_MS


def test_one_success_lets_everything_flow_again() -> None:
    assert told(GOOD, circuit=opened(), at_ms=FIRST_PAUSE_MS) == INITIAL


def test_a_receiver_that_asks_for_time_is_left_alone_for_it_within_the_limit() -> None:
    assert told(Answered(status=429, retry_after_s=60)) == Paused(until_ms=60_000, pause_ms=60_000)
    assert told(Answered(status=503, retry_after_s=10_000)) == Paused(
        until_ms=LONGEST_PAUSE_MS, pause_ms=LONGEST_PAUSE_MS
    )
