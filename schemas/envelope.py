"""What surrounds an event on the log, and the one rule that decides whether a record counts."""

from datetime import datetime
from typing import Generic, TypeVar

from schemas.base import Event, Value
from schemas.errors import AppendAmbiguous

E = TypeVar("E", bound=Event, covariant=True)

LONGEST_WINDOW_MS = 90_000
"""No writer owns a payment for longer: the largest latency budget, a gateway timeout and the margins."""


class Window(Value, frozen=True, kw_only=True):
    """A writer's lease on an aggregate, in the broker's time; a first window has no beginning (0).

    Milliseconds since the epoch; `valid_from` belongs to it, `valid_until` does not.
    """

    valid_from_ms: int
    valid_until_ms: int

    def holds(self, stamp_ms: int) -> bool:
        return self.valid_from_ms <= stamp_ms < self.valid_until_ms


ALWAYS = Window(valid_from_ms=0, valid_until_ms=2**62)
"""For aggregates that are not owned through windows."""


class Envelope(Value, frozen=True, kw_only=True):
    event_id: str
    aggregate_id: str
    sequence: int
    """Counts the aggregate's events as their writer knew them, from 1."""
    at: datetime
    epoch: int
    window: Window
    correlation_id: str
    causation_id: str


def unowned(
    event_id: str,
    aggregate_id: str,
    at: datetime,
    *,
    sequence: int = 1,
    correlation_id: str | None = None,
    causation_id: str | None = None,
) -> Envelope:
    """Around an event of an aggregate that is not owned through windows; by itself it is its own cause."""
    return Envelope(
        event_id=event_id,
        aggregate_id=aggregate_id,
        sequence=sequence,
        at=at,
        epoch=1,
        window=ALWAYS,
        correlation_id=correlation_id or event_id,
        causation_id=causation_id or event_id,
    )


class Position(Value, frozen=True, kw_only=True, order=True):
    """Where a record lies. Offsets of one partition are gap-free: no transactions, no compaction."""

    topic: str
    partition: int
    offset: int


class Outgoing(Value, Generic[E], frozen=True, kw_only=True):
    """An event on its way to the log."""

    envelope: Envelope
    event: E


class Recorded(Value, Generic[E], frozen=True, kw_only=True):
    """An event on the log, with the broker's stamp of the moment it was appended."""

    envelope: Envelope
    event: E
    position: Position
    stamp_ms: int

    @property
    def is_void(self) -> bool:
        """Written outside its writer's window: it does not exist, for any reader."""
        return not self.envelope.window.holds(self.stamp_ms)


def acknowledged(recorded: list[Recorded[E]]) -> list[Recorded[E]]:
    """The records, if their writer may act on them: every one inside its window, and in the order they were sent.

    Raises AppendAmbiguous.
    """
    if any(record.is_void for record in recorded):
        raise AppendAmbiguous("acknowledged outside its window")
    offsets = [record.position.offset for record in recorded]
    if offsets != sorted(set(offsets)):
        raise AppendAmbiguous("acknowledged out of order")
    return recorded
