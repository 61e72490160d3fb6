"""What the writer of circuits needs of the outside world."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from projections.ports import RawRecord
from schemas.base import Event
from schemas.circuit import CircuitEvent, CircuitKey, KnownCircuit, StoredCircuit
from schemas.envelope import Recorded
from schemas.views import Watermark


class Store(Protocol):
    """Raises StoreUnavailable."""

    async def checkpoint(self, partition: int) -> tuple[Watermark, Sequence[StoredCircuit]] | None: ...

    async def save_checkpoint(
        self, marks: Mapping[int, Watermark], circuits: Sequence[StoredCircuit]
    ) -> None:
        """All or nothing, but for partitions that somebody has taken farther."""


class Log(Protocol):
    """Raises LogUnavailable."""

    async def read(self, topic: str, partition: int, start: int, stop: int) -> Sequence[RawRecord]: ...

    async def beginning_offset(self, topic: str, partition: int) -> int: ...

    async def end_offset(self, topic: str, partition: int) -> int: ...

    async def offset_at(self, topic: str, partition: int, stamp_ms: int) -> int:
        """Of the first record stamped then or later; the end where there is none."""


class Events(Protocol):
    async def publish(self, told: Sequence[tuple[CircuitEvent, int, Recorded[Event]]]) -> None:
        """Returns when all are acknowledged. Raises Unavailable."""


class Facts(Protocol):
    """What everybody knows of circuits by their events."""

    @property
    def known(self) -> Mapping[CircuitKey, KnownCircuit]: ...
