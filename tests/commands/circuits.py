"""A circuit's tests as sentences: `given(*messages).when(*messages).then(*events)`; its state is a fold of messages."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from commands.circuit import decide
from commands.circuit_state import Circuit, new_circuit
from schemas.circuit import (
    CallObserved,
    CircuitEvent,
    CircuitMessage,
    CircuitPolicy,
    CircuitTicked,
    ForceClose,
    ForceOpen,
    ProbeReturned,
    ProbeStarted,
    Release,
    lease_id,
)
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from tests.builders import AT, attempt

ALPHA = GatewayId("alpha")
UPI: PaymentMethod = "UPI"
POLICY = CircuitPolicy()


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def fold(
    messages: Iterable[CircuitMessage], circuit: Circuit | None = None, policy: CircuitPolicy = POLICY
) -> tuple[Circuit, list[CircuitEvent]]:
    circuit = circuit or new_circuit(ALPHA, UPI, policy)
    told: list[CircuitEvent] = []
    for message in messages:
        circuit, events = decide(message, circuit, policy)
        told += events
    return circuit, told


def given(*messages: CircuitMessage, policy: CircuitPolicy = POLICY) -> "Given":
    return Given(messages, policy)


class Given:
    def __init__(self, messages: Sequence[CircuitMessage], policy: CircuitPolicy) -> None:
        self._messages = messages
        self._policy = policy

    def when(self, *messages: CircuitMessage) -> "When":
        circuit, _ = fold(self._messages, policy=self._policy)
        return When(*fold(messages, circuit, self._policy))


class When:
    def __init__(self, circuit: Circuit, told: list[CircuitEvent]) -> None:
        self.circuit = circuit
        self.told = told

    def then(self, *events: CircuitEvent) -> None:
        assert self.told == list(events)

    def then_nothing(self) -> None:
        self.then()


# Messages


def a_call(
    *, failed: bool = False, offset: int = 0, partition: int = 0, at: float = 0, lease: str | None = None
) -> CallObserved:
    return CallObserved(
        gateway=ALPHA,
        payment_method=UPI,
        attempt_id=attempt(),
        is_failure=failed,
        latency_ms=80,
        at=after(at),
        source_partition=partition,
        source_offset=offset,
        lease=lease,
    )


def calls(outcomes: str, *, begin: int = 0, at: float = 0) -> list[CallObserved]:
    """`.` succeeds and `x` fails, one after the other from one partition."""
    return [
        a_call(failed=outcome == "x", offset=begin + place, at=at) for place, outcome in enumerate(outcomes)
    ]


def a_probe_starts(number: int, *, trial: int = 1, offset: int, at: float) -> ProbeStarted:
    return ProbeStarted(
        gateway=ALPHA,
        payment_method=UPI,
        attempt_id=attempt(),
        lease=lease_id(trial, number),
        at=after(at),
        source_partition=0,
        source_offset=offset,
    )


def a_probe_returns(number: int, *, trial: int = 1, offset: int, at: float) -> ProbeReturned:
    return ProbeReturned(
        gateway=ALPHA,
        payment_method=UPI,
        attempt_id=attempt(),
        lease=lease_id(trial, number),
        at=after(at),
        source_partition=0,
        source_offset=offset,
    )


def probes(
    outcomes: str, *, trial: int = 1, names: Sequence[int] = range(1, 100), begin: int = 1_000, at: float = 31
) -> list[CallObserved]:
    return [
        a_call(failed=outcome == "x", offset=begin + place, at=at, lease=lease_id(trial, names[place]))
        for place, outcome in enumerate(outcomes)
    ]


def a_tick(at: float) -> CircuitTicked:
    return CircuitTicked(gateway=ALPHA, payment_method=UPI, at=after(at))


def force_open(request_id: str = "req_1", *, at: float = 0) -> ForceOpen:
    return ForceOpen(
        gateway=ALPHA, payment_method=UPI, at=after(at), by="asha", note="maintenance", request_id=request_id
    )


def force_close(request_id: str = "req_2", *, at: float = 0) -> ForceClose:
    return ForceClose(
        gateway=ALPHA, payment_method=UPI, at=after(at), by="asha", note="it works", request_id=request_id
    )


def release(request_id: str = "req_3", *, at: float = 0) -> Release:
    return Release(
        gateway=ALPHA, payment_method=UPI, at=after(at), by="asha", note="it is over", request_id=request_id
    )
