"""The store of circuits, in memory."""

from collections.abc import Mapping, Sequence

from schemas.circuit import CircuitKey, KnownCircuit, StoredCircuit
from schemas.codec import CIRCUIT_OUTCOMES_TOPIC
from schemas.errors import StoreUnavailable
from schemas.views import Watermark


class MemoryCircuits:
    def __init__(self) -> None:
        self.is_away = False
        self._marks: dict[int, Watermark] = {}
        self._circuits: dict[CircuitKey, StoredCircuit] = {}
        self._views: tuple[Mapping[CircuitKey, KnownCircuit], int] = ({}, 0)

    async def checkpoint(self, partition: int) -> tuple[Watermark, Sequence[StoredCircuit]] | None:
        self._answer()
        if partition not in self._marks:
            return None
        return self._marks[partition], [one for one in self._circuits.values() if one.partition == partition]

    async def save_checkpoint(
        self, marks: Mapping[int, Watermark], circuits: Sequence[StoredCircuit]
    ) -> None:
        self._answer()
        nowhere = Watermark(next_offset=-1, last_stamp_ms=0)
        moved = {p: m for p, m in marks.items() if m.next_offset >= self._marks.get(p, nowhere).next_offset}
        self._marks |= moved
        self._circuits |= {
            (one.gateway, one.payment_method): one for one in circuits if one.partition in moved
        }

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        self._answer()
        return {(CIRCUIT_OUTCOMES_TOPIC, partition): mark for partition, mark in self._marks.items()}

    async def views(self) -> tuple[Mapping[CircuitKey, KnownCircuit], int]:
        self._answer()
        return self._views

    async def save_views(self, known: Mapping[CircuitKey, KnownCircuit], next_offset: int) -> None:
        self._answer()
        if next_offset >= self._views[1]:
            self._views = {**self._views[0], **known}, next_offset

    def _answer(self) -> None:
        if self.is_away:
            raise StoreUnavailable("the store is away")
