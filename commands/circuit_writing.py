"""What the one writer makes of a circuit's messages, and which of its events are still to be told.

What stands on `circuits.events.v1` is true, whatever a writer that was put back to a checkpoint, or begins anew, makes
of the messages that led to it: those were decided once. So it folds them without a word, takes the state that the last
event left, and decides only what comes after.
"""

from commands.circuit import decide
from commands.circuit_state import Circuit, resumed
from schemas.base import Value
from schemas.circuit import CircuitEvent, CircuitMessage, CircuitPolicy, KnownCircuit


class WrittenCircuit(Value, frozen=True, kw_only=True):
    """What is checkpointed of a circuit."""

    circuit: Circuit
    sequence: int = 0
    """Of its last event."""


def write(
    message: CircuitMessage,
    offset: int,
    written: WrittenCircuit,
    policy: CircuitPolicy,
    told: KnownCircuit | None,
) -> tuple[WrittenCircuit, list[CircuitEvent]]:
    """The circuit after the message at that offset, and what is to be told; the last of it has the new sequence.

    `told` is what everybody knows of the circuit by its events, or a little less: what is told twice has the same
    sequence.
    """
    circuit, events = decide(message, written.circuit, policy)
    sequence = max(written.sequence, told.sequence) if told else written.sequence
    if told is None or offset > told.decided_by:
        return WrittenCircuit(circuit=circuit, sequence=sequence + len(events)), events
    if offset == told.decided_by:
        circuit = resumed(circuit, told.view)
    return WrittenCircuit(circuit=circuit, sequence=sequence), []
