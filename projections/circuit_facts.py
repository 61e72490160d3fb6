"""What a process knows of every circuit: the fold of `circuits.events.v1`, in memory, for decisions that ask nobody."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import get_args

from projections.circuits import evolve
from schemas.base import Event
from schemas.circuit import CircuitEvent, CircuitKey, CircuitView, KnownCircuit
from schemas.envelope import Envelope, Recorded

_EVENTS = get_args(CircuitEvent)
_UNHEARD_OF = KnownCircuit(view=CircuitView(), sequence=0)


class CircuitFacts:
    """`views` is a whole new mapping after every event: who holds one sees all circuits of one moment."""

    def __init__(self) -> None:
        self.known: Mapping[CircuitKey, KnownCircuit] = MappingProxyType({})
        self.views: Mapping[CircuitKey, CircuitView] = MappingProxyType({})
        self.version = -1
        """The offset of the last event in them; -1 before there is any."""
        self._waiting: dict[str, asyncio.Future[KnownCircuit]] = {}

    def restore(self, known: Mapping[CircuitKey, KnownCircuit], next_offset: int) -> None:
        """As they were when every event below the offset was folded."""
        self.version = next_offset - 1
        self._show(known)

    def take(self, recorded: Recorded[Event]) -> None:
        """An event that was folded before, and that a writer has told again, changes nothing."""
        event, sequence = recorded.event, recorded.envelope.sequence
        if not isinstance(event, _EVENTS):
            return
        self.version = recorded.position.offset
        key = event.gateway, event.payment_method
        before = self.known.get(key, _UNHEARD_OF)
        if sequence <= before.sequence:
            return
        after = KnownCircuit(
            view=evolve(before.view, event), sequence=sequence, decided_by=_decided_by(recorded.envelope)
        )
        self._show({**self.known, key: after})
        self._wake(getattr(event, "request_id", None), after)

    @contextmanager
    def expecting(self, request_id: str) -> "Iterator[asyncio.Future[KnownCircuit]]":
        """The circuit as the operator's command of that id leaves it, as soon as its event is folded. To be entered
        before the command is sent; how long to wait is the caller's to say."""
        seen: asyncio.Future[KnownCircuit] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = seen
        try:
            yield seen
        finally:
            del self._waiting[request_id]

    def _show(self, known: Mapping[CircuitKey, KnownCircuit]) -> None:
        self.known = MappingProxyType(dict(known))
        self.views = MappingProxyType({key: circuit.view for key, circuit in known.items()})

    def _wake(self, request_id: str | None, circuit: KnownCircuit) -> None:
        waiting = self._waiting.get(request_id) if request_id is not None else None
        if waiting is not None and not waiting.done():
            waiting.set_result(circuit)


def _decided_by(envelope: Envelope) -> int:
    """`circuits.outcomes.v1-7:1234` is caused by the message at 1234."""
    _, _, offset = envelope.causation_id.rpartition(":")
    return int(offset) if offset.isascii() and offset.isdigit() else -1
