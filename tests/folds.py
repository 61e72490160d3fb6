"""What stores that may be lost should hold: folds of the real topics, by the code that ships, to compare with."""

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import msgspec

from commands.circuit_state import new_circuit
from commands.circuit_writing import WrittenCircuit, write
from infra.kafka.reader import LogReader
from projections.circuit_facts import CircuitFacts
from projections.hot_metrics import fold
from projections.merge import Merge
from projections.publication import Publication
from projections.shard import Shard
from schemas.base import Event
from schemas.circuit import CircuitEvent, CircuitKey, CircuitMessage, CircuitPolicy
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Recorded
from schemas.metrics import Buckets, Cell, Published, RoutingCell, RoutingSnapshot, bucket_of

READ_AT_ONCE = 20_000

Cells = dict[Cell, RoutingCell]

_snapshot = msgspec.msgpack.Decoder(RoutingSnapshot)


async def fold_to(reader: LogReader, shard: Shard, end: int, topic: str = PAYMENTS_TOPIC) -> None:
    while shard.next_offset < end:
        stop = min(end, shard.next_offset + READ_AT_ONCE)
        fold(shard, await reader.read(topic, shard.partition, shard.next_offset, stop, timeout_s=60))


def filled(buckets: Buckets) -> Buckets:
    """What counts of them: whether an empty one is kept is nobody's business."""
    return {bucket: cells for bucket, cells in buckets.items() if cells}


def to_publish(shards: Iterable[Shard], published: Published) -> RoutingSnapshot:
    """Of these shards, at that moment."""
    merge = Merge(bucket_of(published.as_of))
    for shard in shards:
        merge.replace(shard.partition, shard.buckets)
    while merge.settle():
        pass
    publication = Publication(merge.windows)
    for _ in publication.steps():
        pass
    return _snapshot.decode(publication.snapshot(published))


def cells_of(snapshot: RoutingSnapshot) -> Cells:
    return {Cell(cell.gateway, cell.method, cell.kind, cell.value): cell for cell in snapshot.cells}


def known_circuits(events: Iterable[Recorded[Event]]) -> CircuitFacts:
    """Of all records of `circuits.events.v1`."""
    facts = CircuitFacts()
    for recorded in events:
        facts.take(recorded)
    return facts


class WrittenCircuits:
    """What their writer makes of all records of `circuits.outcomes.v1`, and what it says of each circuit."""

    def __init__(
        self, messages: Iterable[Recorded[Event]], policy_of: Callable[[CircuitKey], CircuitPolicy]
    ) -> None:
        self.circuits: dict[CircuitKey, WrittenCircuit] = {}
        self.told: dict[CircuitKey, list[CircuitEvent]] = {}
        for recorded in messages:
            message = cast(CircuitMessage, recorded.event)
            key, policy = (message.gateway, message.payment_method), policy_of
            before = self.circuits.get(key) or WrittenCircuit(circuit=new_circuit(*key, policy(key)))
            self.circuits[key], events = write(
                message, recorded.position.offset, before, policy(key), told=None
            )
            self.told.setdefault(key, []).extend(events)


def told_circuits(events: Iterable[Recorded[Event]]) -> Mapping[CircuitKey, list[CircuitEvent]]:
    """As they stand on `circuits.events.v1`, in the order of their numbers. One that is there again is the same one:
    two that share a number and differ are both here."""
    told: dict[CircuitKey, dict[int, list[CircuitEvent]]] = {}
    for recorded in events:
        event = cast(CircuitEvent, recorded.event)
        of_circuit = told.setdefault((event.gateway, event.payment_method), {})
        alike = of_circuit.setdefault(recorded.envelope.sequence, [])
        if event not in alike:
            alike.append(event)
    return {
        key: [event for number in sorted(of_circuit) for event in of_circuit[number]]
        for key, of_circuit in told.items()
    }
