"""Read your writes: a payment as it is at a token at least, from the projection or, where that lags, from the log.

https://www.rfc-editor.org/rfc/rfc7240 (`Prefer: wait`) bounds the wait; `FOLDED_ON_TOP_MAX` bounds what follows it.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal, Protocol

from projections.absorption import decoded
from projections.payments import evolve
from projections.ports import Log
from schemas.base import Value
from schemas.envelope import Position
from schemas.errors import ReadTooFarBehind, Unavailable, Unreadable
from schemas.ids import PaymentId, minted_at
from schemas.views import PaymentHistory, Watermark

FOLDED_ON_TOP_MAX = 5000
"""Records of one partition read on top of the projection for one answer: some 10 ms of work."""
POLL_S = 0.015
FRESH = timedelta(seconds=60)
"""An id minted more recently may be of a payment whose end, or all of it, has yet to be projected."""


class Views(Protocol):
    """Raises StoreUnavailable."""

    async def find(self, payment_id: PaymentId) -> tuple[PaymentHistory | None, Watermark]:
        """The payment, and how far its partition's projection had come when it was read."""

    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]: ...


class PaymentReading(Value, frozen=True, kw_only=True):
    history: PaymentHistory | None
    source: Literal["projection", "log"]
    next_offset: int
    """Every record of the payment below this offset is in the answer."""


class PaymentReader:
    def __init__(
        self,
        topic: str,
        views: Views,
        log: Log,
        partition_of: Callable[[str], int],
        now: Callable[[], datetime],
    ) -> None:
        self._topic = topic
        self._views = views
        self._log = log
        self._partition_of = partition_of
        self._now = now
        self._progress = Progress(topic, views)

    async def read(self, payment_id: PaymentId, at_least: Position | None, wait_s: float) -> PaymentReading:
        """With `at_least`, an answer that includes that record, if it is one of the payment's partition.

        Raises StoreUnavailable, LogUnavailable, ReadTooFarBehind.
        """
        partition = self._partition_of(payment_id)
        history, watermark = await self._views.find(payment_id)
        through = await self._needed(payment_id, partition, at_least, is_settled=_is_settled(history))
        if through > watermark.next_offset:
            if await self._progress.reach(partition, through, wait_s):
                history, watermark = await self._views.find(payment_id)
            if through > watermark.next_offset:
                return await self._on_top(payment_id, partition, history, watermark.next_offset, through)
        return _reading(history, "projection", watermark.next_offset)

    async def _needed(
        self, payment_id: PaymentId, partition: int, at_least: Position | None, is_settled: bool
    ) -> int:
        """The offset that the answer must reach, exclusively; 0 when any answer will do."""
        if at_least is not None and (at_least.topic, at_least.partition) == (self._topic, partition):
            return at_least.offset + 1
        if not is_settled and self._now() - minted_at(payment_id) < FRESH:
            return await self._log.end_offset(self._topic, partition)
        return 0

    async def _on_top(
        self, payment_id: PaymentId, partition: int, history: PaymentHistory | None, start: int, stop: int
    ) -> PaymentReading:
        # A token of the future cannot be one of ours: what is there is all there is.
        stop = min(stop, await self._log.end_offset(self._topic, partition))
        if stop - start > FOLDED_ON_TOP_MAX:
            raise ReadTooFarBehind(f"the projection is {stop - start} records behind")
        key = payment_id.encode()
        for record in await self._log.read(self._topic, partition, start, stop) if stop > start else ():
            if record.key == key:
                with suppress(Unreadable):
                    history = evolve(history, decoded(record))
        return _reading(history, "log", max(start, stop))


def _reading(
    history: PaymentHistory | None, source: Literal["projection", "log"], next_offset: int
) -> PaymentReading:
    exists = history is not None and history.payment.sequence > 0
    return PaymentReading(history=history if exists else None, source=source, next_offset=next_offset)


class Progress:
    """Waits for watermarks, with one poll for everybody who waits and none when nobody does."""

    def __init__(self, topic: str, views: Views) -> None:
        self._topic = topic
        self._views = views
        self._waiting: dict[asyncio.Future[None], tuple[int, int]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def reach(self, partition: int, next_offset: int, wait_s: float) -> bool:
        """Whether the partition's watermark came to `next_offset` within the wait. Raises StoreUnavailable."""
        arrival = asyncio.get_running_loop().create_future()
        self._waiting[arrival] = (partition, next_offset)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(wait_s):
                await arrival
            return True
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(arrival, None)

    async def _poll(self) -> None:
        while self._waiting:
            try:
                self._wake(await self._views.watermarks())
            except Unavailable as error:
                for arrival in self._waiting:
                    if not arrival.done():
                        arrival.set_exception(error)
                return
            await asyncio.sleep(POLL_S)

    def _wake(self, watermarks: Mapping[tuple[str, int], Watermark]) -> None:
        for arrival, (partition, next_offset) in self._waiting.items():
            watermark = watermarks.get((self._topic, partition))
            if watermark is not None and watermark.next_offset >= next_offset and not arrival.done():
                arrival.set_result(None)


def _is_settled(history: PaymentHistory | None) -> bool:
    return history is not None and history.payment.status in ("SUCCESS", "FAILURE")
