"""Brings what payments tell of their gateways to the one writer of each circuit: from `payments.events.v1`, keyed by
payment, to `circuits.outcomes.v1`, keyed by circuit.

It remembers nothing. What it forwards twice, because it was killed or could not know that it had succeeded, names the
place it comes from, and the writer knows it by that.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol, cast

import structlog

from commands.circuit_messages import TELLING, message_of
from projections.absorption import Counts, decoded
from projections.ports import RawRecord
from schemas.circuit import CircuitMessage
from schemas.envelope import Recorded
from schemas.errors import Unreadable
from schemas.payment import PaymentEvent
from schemas.views import Watermark

log = structlog.get_logger(__name__)

TELLS_FOR_MS = 3_600_000
"""What a gateway did an hour ago says nothing of it now, and would open circuits that nobody needs."""

_TELLING = {event.__name__.encode() for event in TELLING}


class Messages(Protocol):
    async def publish(self, messages: Sequence[CircuitMessage]) -> None:
        """Returns when all are acknowledged, those of one circuit in their order. Raises Unavailable."""


class CircuitForwarder:
    """`committed` is where its group stands on the log."""

    def __init__(
        self,
        messages: Messages,
        committed: Callable[[], Awaitable[Mapping[tuple[str, int], int]]],
        now_ms: Callable[[], float],
    ) -> None:
        self._messages = messages
        self._committed = committed
        self._now_ms = now_ms
        self._begun_ms = round(now_ms())
        self._reached: dict[tuple[str, int], Watermark] = {}
        self.counts = Counts()

    async def absorb(self, records: Sequence[RawRecord]) -> None:
        """Raises Unavailable: nothing of it counts as forwarded then, and all of it is to be given again."""
        told = list(self._told(records))
        if told:
            await self._messages.publish(told)
        self.counts.taken_in += len(records)
        for record in records:
            self._reached[record.topic, record.partition] = Watermark(
                next_offset=record.offset + 1, last_stamp_ms=record.timestamp
            )

    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]:
        """As far as it came itself, or the group before it: when that was is not known, and counted from our start."""
        marks = {
            place: Watermark(next_offset=offset, last_stamp_ms=self._begun_ms)
            for place, offset in (await self._committed()).items()
        }
        for place, mark in self._reached.items():
            if place not in marks or mark.next_offset >= marks[place].next_offset:
                marks[place] = mark
        return marks

    def _told(self, records: Iterable[RawRecord]) -> Iterable[CircuitMessage]:
        oldest_ms = self._now_ms() - TELLS_FOR_MS
        for record in records:
            if record.timestamp < oldest_ms or not _may_tell(record):
                continue
            try:
                recorded = decoded(record)
                message = message_of(cast(Recorded[PaymentEvent], recorded))
            except Unreadable as error:  # the projection makes a dead letter of it
                log.warning("a record is left out", offset=record.offset, reason=str(error))
                self.counts.dead += 1
                continue
            except Exception:  # one call less is observed; to try again would be to crash again
                log.exception("a record is left out", partition=record.partition, offset=record.offset)
                self.counts.dead += 1
                continue
            if message is not None:
                yield message


def _may_tell(record: RawRecord) -> bool:
    """By its header: most records need not be decoded."""
    return any(name == "ce_type" and text in _TELLING for name, text in record.headers)
