"""Tells all that is on a small topic, and then whatever comes, without a consumer group: for every process that must
know all of it (circuits, configuration), whatever other processes know.

While the brokers are away nothing is forgotten: who listens keeps the last facts, and hears from here how old they are.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka.reader import Record
from infra.metrics import FACTS_UNREADABLE
from schemas.base import Event
from schemas.codec import decode
from schemas.envelope import Position, Recorded

log = structlog.get_logger(__name__)

STALE_AFTER_MS = 3_000
GIVEN_UP_AFTER_MS = 10_000
"""A consumer that has heard nothing for so long is replaced."""
REOPEN_DELAYS_S = (0.1, 0.25, 0.5, 1.0, 2.0)
_BATCH_MAX = 500
_ASKED_EVERY_MS = 500
"""A broker that has nothing answers so often, and that answer is the proof that there is nothing."""
_ANSWER_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 3.0


class Clock(Protocol):
    def elapsed_ms(self) -> float: ...


class TopicTail:
    """Of one partition. `take` is called with each record in offset order, in the event loop, and must not wait."""

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        take: Callable[[Recorded[Event]], None],
        clock: Clock,
        partition: int = 0,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._here = TopicPartition(topic, partition)
        self._take = take
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._caught_up = asyncio.Event()
        self._target: int | None = None
        self._polled_at: int | None = None
        self._heard_ms = self._current_ms = clock.elapsed_ms()
        self.next_offset = 0
        self.unreadable = 0
        FACTS_UNREADABLE.labels(topic)  # or its first one would be no increase
        self.trouble: str | None = "has not begun"
        """What keeps it from being current, in a word that may be shown to anyone; None once a broker has answered."""

    async def start(self, offset: int = 0, within_s: float = 5.0) -> bool:
        """Begin at `offset`. Whether all that was on the topic at the start was told within that time; if not, it goes
        on by itself."""
        assert self._task is None
        self.next_offset = offset
        self._heard_ms = self._current_ms = self._clock.elapsed_ms()
        self._task = asyncio.create_task(self._follow())
        return await self.caught_up(within_s)

    async def caught_up(self, within_s: float) -> bool:
        """Whether it has come, by then, to where the topic ended at its start."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._caught_up.wait()
        return self._caught_up.is_set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_STOP_TIMEOUT_S)
        if self._closing:
            await asyncio.wait(self._closing, timeout=_STOP_TIMEOUT_S)

    @property
    def is_caught_up(self) -> bool:
        return self._caught_up.is_set()

    @property
    def is_current(self) -> bool:
        """A broker has said, a moment ago, that there is nothing more."""
        return self.is_caught_up and self.behind_s * 1000 <= STALE_AFTER_MS

    @property
    def behind_s(self) -> float:
        """Since it was last known that nothing was missing; since the start, if it never was."""
        return max(0.0, self._clock.elapsed_ms() - self._current_ms) / 1000

    async def _follow(self) -> None:
        """For ever: one consumer after the other, each from where the last one came to."""
        failures = 0
        while True:
            before = self.next_offset
            try:
                await self._consume()
            except (TimeoutError, KafkaError, OSError) as error:
                self.trouble = type(error).__name__
            except Exception as error:  # a process without facts is worse than one that tries again
                self.trouble = type(error).__name__
                log.exception("a tail failed", topic=self._here.topic)
            failures = 0 if self.next_offset > before else failures + 1
            delay_s = REOPEN_DELAYS_S[min(failures, len(REOPEN_DELAYS_S) - 1)]
            log.warning("facts may grow old", topic=self._here.topic, reason=self.trouble, again_in_s=delay_s)
            await asyncio.sleep(delay_s)

    async def _consume(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_ASKED_EVERY_MS,
            request_timeout_ms=round(_ANSWER_TIMEOUT_S * 1000),
            retry_backoff_ms=50,
        )
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                await consumer.start()
                consumer.assign([self._here])
                if self._target is None:
                    self._target = int((await consumer.end_offsets([self._here]))[self._here])
                consumer.seek(self._here, self.next_offset)
            self._heard_ms = self._clock.elapsed_ms()
            while True:
                found = await consumer.getmany(self._here, timeout_ms=_ASKED_EVERY_MS, max_records=_BATCH_MAX)
                self._tell(found.get(self._here, []))
                self._note_progress(consumer)
                await asyncio.sleep(0)  # what was fetched already comes without a wait
        finally:
            # Not waited for: aiokafka may not end while no broker answers, and takes no notice of being cancelled.
            closing = asyncio.create_task(_close(consumer))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _tell(self, records: Sequence[Record]) -> None:
        for record in records:
            position = Position(topic=record.topic, partition=record.partition, offset=record.offset)
            try:
                recorded = decode(record.value, record.headers, position, record.timestamp)
                if not recorded.is_void:
                    self._take(recorded)
            except Exception as error:  # whatever a record does to us, it must not hide those behind it
                self.unreadable += 1
                FACTS_UNREADABLE.labels(record.topic).inc()
                log.warning(
                    "a record is left out",
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    reason=str(error),
                )
            self.next_offset = record.offset + 1

    def _note_progress(self, consumer: AIOKafkaConsumer) -> None:
        """Only an answer of a broker proves anything: aiokafka itself does not say that nobody answers it."""
        now_ms, polled_at = self._clock.elapsed_ms(), consumer.last_poll_timestamp(self._here)
        if polled_at is not None and polled_at != self._polled_at:  # None: a new consumer, not answered yet
            self._polled_at, self._heard_ms, self.trouble = polled_at, now_ms, None
            if self.next_offset >= (consumer.highwater(self._here) or 0):
                self._current_ms = now_ms
        elif now_ms - self._heard_ms > GIVEN_UP_AFTER_MS:
            raise TimeoutError("no broker answers")
        if self._target is not None and self.next_offset >= self._target:
            self._caught_up.set()


async def _close(consumer: AIOKafkaConsumer) -> None:
    with suppress(TimeoutError, KafkaError, OSError):
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await consumer.stop()
