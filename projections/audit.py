"""Entries of the audit: a fold of what a topic's aggregates say, one entry for everything that somebody has changed."""

from collections.abc import Callable

import msgspec

from schemas.audit import AuditEntry, Said
from schemas.base import Event
from schemas.circuit import CircuitForcedClosed, CircuitForcedOpen, CircuitReleased
from schemas.configuration import ReservationStoreAdopted, UnreadSet
from schemas.envelope import Recorded
from schemas.experiment import ExperimentConcluded
from schemas.notification import ReviewDecided

_WHO_AND_WHY = frozenset(("by", "settled_by", "note", "instead_of_version", "request_id", "decision_id"))


class Trail:
    """Of one topic, in offset order. `counts` judges each record, and may remember what it has seen. What stood there
    before is known only of a topic that is followed from its beginning."""

    def __init__(self, counts: Callable[[Recorded[Event]], bool], *, from_beginning: bool) -> None:
        self._counts = counts
        self._from_beginning = from_beginning
        self._said: dict[str, Said | None] = {}

    def entry(self, record: Recorded[Event]) -> AuditEntry | None:
        """None for what is void, and for what nobody has said."""
        if not self._counts(record):
            return None
        aggregate, after = record.envelope.aggregate_id, _said(record.event)
        before = self._said.get(aggregate)
        if self._from_beginning:
            self._said[aggregate] = after
        if (who := _who(record.event)) is None:
            return None
        return AuditEntry(
            position=record.position,
            stamp_ms=record.stamp_ms,
            aggregate=aggregate,
            what=type(record.event).__name__,
            by=who[0],
            note=who[1],
            request_id=record.envelope.correlation_id,
            before=before,
            after=after,
        )


class OnceByNumber:
    """Judges circuits: one event of each number is true, and is told again after a crash."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, record: Recorded[Event]) -> bool:
        circuit, number = record.envelope.aggregate_id, record.envelope.sequence
        if record.is_void or number <= self._numbers.get(circuit, 0):
            return False
        self._numbers[circuit] = number
        return True


def _said(event: Event) -> Said | None:
    if isinstance(event, UnreadSet):
        return None
    told: Said = msgspec.to_builtins(event, str_keys=True)
    return {name: value for name, value in told.items() if name not in _WHO_AND_WHY}


def _who(event: Event) -> tuple[str, str] | None:
    """By whom, and why; None where it came about by itself."""
    match event:
        case ReviewDecided():
            return event.settled_by, event.note
        case CircuitForcedOpen() | CircuitForcedClosed() | CircuitReleased():
            return event.by, event.note
        case ExperimentConcluded():
            return event.by, ""
        case ReservationStoreAdopted():
            return None
        case _:
            return (by, getattr(event, "note", "")) if (by := getattr(event, "by", None)) else None
