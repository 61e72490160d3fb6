"""How long an exposed payment may change figures, and how it is forgotten afterwards, while they stay as they are.

Both are in event time: a payment's id tells when it was minted, a broker's stamp when an event was appended. So a
replay from the beginning comes to the same figures, whatever was forgotten, when and by whom.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from projections.ports import ExposureSink
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.ids import ExperimentId, PaymentId, first_minted, minted_ms
from schemas.views import Watermark

COUNTED_FOR = timedelta(days=60)
"""From a payment's minting on its events count: twice the longest horizon of a gateway. What is detected at its end
may still be given back, and a person has had weeks to settle a review."""
CLOCKS_DIFFER_BY = timedelta(days=1)
"""Those of brokers who lead a partition in turn, and of processes that mint ids or hear of an end late."""
MOST_AT_ONCE = 1_000
"""Rows of each kind that are forgotten at a time: nobody counts meanwhile."""

_COUNTED_MS = COUNTED_FOR // timedelta(milliseconds=1)
_KEPT_MS = (COUNTED_FOR + CLOCKS_DIFFER_BY) // timedelta(milliseconds=1)


def is_too_late(recorded: Recorded[Event]) -> bool:
    return recorded.stamp_ms >= minted_ms(PaymentId(recorded.envelope.aggregate_id)) + _COUNTED_MS


async def forget(
    sink: ExposureSink, topic: str, partitions: int, ended: Mapping[ExperimentId, datetime]
) -> bool:
    """Payments of which every event would be too late, and customers of ended experiments that have no others. Whether
    there may be more of them. Raises Unavailable.

    A partition that was not read yet may hold anything, so that nothing is forgotten then.
    """
    async with sink.transaction(topic, range(partitions)) as transaction:
        since_ms = kept_since_ms(transaction.watermarks.values())
        if since_ms <= 0:
            return False
        gone = forgettable(ended, since_ms)
        forgotten = await transaction.forget(first_minted(since_ms), gone, MOST_AT_ONCE)
    return forgotten >= MOST_AT_ONCE


def kept_since_ms(watermarks: Iterable[Watermark]) -> int:
    """Of all partitions: what is from before may be forgotten."""
    return min(mark.last_stamp_ms for mark in watermarks) - _KEPT_MS


def forgettable(ended: Mapping[ExperimentId, datetime], since_ms: int) -> list[ExperimentId]:
    """Those whose customers may be forgotten."""
    return [one for one, at in ended.items() if at.timestamp() * 1000 < since_ms]
