"""Records as somebody wants to see them go by: those that are asked for, each in one line."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from infra.kafka.following import follow
from infra.kafka.reader import LogReader
from projections.absorption import decoded
from projections.ports import RawRecord
from schemas.base import Value
from schemas.errors import Unreadable
from schemas.payment import PaymentRequested
from streams.replay.timeline import what

PAYMENTS_REMEMBERED = 100_000
"""Of a merchant: of one whose request was longer ago nobody knows whose it is."""


class Wanted(Value, frozen=True, kw_only=True):
    """All that is given has to hold."""

    keys: frozenset[str] = frozenset()
    """A payment's id, or that of whatever a topic is about."""
    types: frozenset[str] = frozenset()
    merchants: frozenset[str] = frozenset()


class Seen(Value, frozen=True, kw_only=True):
    stamp: datetime
    topic: str
    partition: int
    offset: int
    key: str
    type: str
    what: str
    is_void: bool = False


class Watch:
    """Remembers whose payments it has seen, since only a payment's request says which merchant's it is."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._of_merchants: OrderedDict[str, None] = OrderedDict()

    def see(self, record: RawRecord) -> Seen | None:
        """None for what nobody asked for."""
        key = (record.key or b"").decode(errors="replace")
        if self._wanted.keys and key not in self._wanted.keys:
            return None
        seen, merchant = _seen(record, key)
        if merchant in self._wanted.merchants:
            self._remember(key)
        if self._wanted.merchants and key not in self._of_merchants:
            return None
        if self._wanted.types and seen.type not in self._wanted.types:
            return None
        return seen

    def _remember(self, key: str) -> None:
        self._of_merchants[key] = None
        if len(self._of_merchants) > PAYMENTS_REMEMBERED:
            self._of_merchants.popitem(last=False)


async def watch(
    bootstrap_servers: str, topics: Sequence[str], since: datetime | None, wanted: Wanted
) -> AsyncIterator[Seen]:
    """Without end, from a moment on, or from now. Raises LogUnavailable."""
    looking = Watch(wanted)
    starts = await _starts(bootstrap_servers, topics, since)
    async with aclosing(follow(bootstrap_servers, starts)) as batches:
        async for batch in batches:
            for record in batch:
                if (seen := looking.see(record)) is not None:
                    yield seen


async def _starts(
    bootstrap_servers: str, topics: Sequence[str], since: datetime | None
) -> dict[tuple[str, int], int]:
    reader = LogReader(bootstrap_servers)
    try:
        ends = {
            (topic, partition): end
            for topic in topics
            for partition, end in (await reader.end_offsets(topic)).items()
        }
        if since is None:
            return ends
        stamp_ms = round(since.timestamp() * 1000)
        return {place: await reader.offset_at(*place, stamp_ms) for place in ends}
    finally:
        await reader.stop()


def _seen(record: RawRecord, key: str) -> tuple[Seen, str | None]:
    """And the merchant, where the record says one."""
    merchant = None
    try:
        recorded = decoded(record)
    except Unreadable as error:
        told, type_, is_void = f"nobody can read it: {error}", "?", False
    else:
        type_, is_void = type(recorded.event).__name__, recorded.is_void
        told = what(recorded.event) or (record.value or b"").decode(errors="replace")
        if isinstance(recorded.event, PaymentRequested):
            merchant = recorded.event.order.merchant_id
    seen = Seen(
        stamp=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=key,
        type=type_,
        what=told,
        is_void=is_void,
    )
    return seen, merchant
