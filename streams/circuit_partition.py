"""A partition of circuits' messages, and what they came to: as it is held, and as its checkpoint keeps it."""

from collections.abc import Sequence

import msgspec
import structlog

from commands.circuit_state import new_circuit
from commands.circuit_writing import WrittenCircuit
from projections.ports import RawRecord
from schemas.circuit import CircuitKey, CircuitPolicy, StoredCircuit
from schemas.views import Watermark

log = structlog.get_logger(__name__)

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(WrittenCircuit)


class Held(msgspec.Struct):
    """A partition of messages and what they came to."""

    mark: Watermark
    circuits: dict[CircuitKey, WrittenCircuit]
    unsaved: set[CircuitKey] = msgspec.field(default_factory=set)
    is_saved: bool = True
    saves_from: int = 0
    """Below it the store would keep what it has, and we could not read."""


def restored(checkpoint: tuple[Watermark, Sequence[StoredCircuit]] | None) -> Held | None:
    """None without a checkpoint that can be read."""
    if checkpoint is None:
        return None
    mark, stored = checkpoint
    try:
        circuits = {(one.gateway, one.payment_method): _decoder.decode(one.state) for one in stored}
    except msgspec.DecodeError as error:
        log.warning("a checkpoint cannot be read; its circuits are folded anew", reason=str(error))
        return None
    return Held(mark=mark, circuits=circuits)


def continues(held: Held, fresh: Sequence[RawRecord]) -> bool:
    begin = held.mark.next_offset
    return [one.offset for one in fresh] == list(range(begin, begin + len(fresh)))


def unwritten(key: CircuitKey, policy: CircuitPolicy) -> WrittenCircuit:
    return WrittenCircuit(circuit=new_circuit(*key, policy))


def stored_circuit(partition: int, key: CircuitKey, written: WrittenCircuit) -> StoredCircuit:
    state = _encode(written).decode()
    return StoredCircuit(partition=partition, gateway=key[0], payment_method=key[1], state=state)
