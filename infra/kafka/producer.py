"""Sends records and waits, bounded, until every one is acknowledged; replaces its producer when that fails.

An idempotent aiokafka producer retries a batch until the broker is back, whatever its timeouts say, and can be wedged
for good by an OutOfOrderSequenceNumber (aiokafka#1017). So the wait is ours, its expiry is *ambiguous*, and the
producer is then abandoned with what it still holds: nothing is sent again, neither by it nor by its successor.
"""

import asyncio
import contextvars
from collections.abc import Sequence
from contextlib import suppress

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from infra.metrics import APPENDS, PRODUCERS_REPLACED
from schemas.codec import Headers
from schemas.errors import AppendAmbiguous, LogUnavailable

log = structlog.get_logger(__name__)

Message = tuple[bytes | None, bytes, Headers]
"""Key, value, headers."""

_OPEN_TIMEOUT_S = 5.0
_MISSES_MAX = 5
"""One partition without a leader is not the producer's fault; so many misses in a row are."""
_REOPEN_DELAYS_S = (0.1, 0.25, 0.5, 1.0)


class Publisher:
    def __init__(self, bootstrap_servers: str, acknowledgement_timeout_ms: int = 2000) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._timeout_s = acknowledgement_timeout_ms / 1000
        self._producer: AIOKafkaProducer | None = None
        self._opened = asyncio.Event()
        self._reopening: asyncio.Task[None] | None = None
        self._abandoning: asyncio.Task[None] | None = None
        self._acknowledged_in_all = 0
        self._missed_in_a_row = 0

    async def start(self) -> None:
        """Returns when the broker answers or 5 s have passed; goes on trying by itself after that."""
        self._reopening = asyncio.create_task(self._reopen(None))
        with suppress(TimeoutError):
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                await self._opened.wait()

    async def stop(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
        if self._producer is not None:
            with suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_OPEN_TIMEOUT_S):
                    await self._producer.stop()

    @property
    def is_available(self) -> bool:
        return self._producer is not None

    async def publish(
        self, topic: str, partition: int | None, messages: Sequence[Message]
    ) -> list[RecordMetadata]:
        """Send in order, to one partition; return when all are acknowledged.

        Raises LogUnavailable if nothing was handed to the producer, else AppendAmbiguous.
        """
        producer, acknowledged_before = None, self._acknowledged_in_all
        sent: list[asyncio.Future[RecordMetadata]] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._opened.wait()
                producer = self._producer
                assert producer is not None
                for key, value, headers in messages:
                    sent.append(await producer.send(topic, value, key, partition, headers=headers))
                for future in sent:  # mostly one batch: the first wait is the only one
                    with suppress(KafkaError):
                        await future
        except (TimeoutError, KafkaError) as error:
            self._missed_in_a_row += 1
            if self._acknowledged_in_all == acknowledged_before or self._missed_in_a_row >= _MISSES_MAX:
                self._replace(producer)
            if not sent:
                APPENDS.labels("unavailable").inc()
                raise LogUnavailable("the broker does not answer") from error
            APPENDS.labels("ambiguous").inc()
            raise AppendAmbiguous(f"not acknowledged within {self._timeout_s:g} s") from error
        acknowledged = [self._acknowledged(future, producer) for future in sent]
        self._acknowledged_in_all += 1
        self._missed_in_a_row = 0
        APPENDS.labels("acknowledged").inc()
        return acknowledged

    def _acknowledged(
        self, future: "asyncio.Future[RecordMetadata]", producer: AIOKafkaProducer
    ) -> RecordMetadata:
        error = future.exception()
        if error is None:
            return future.result()
        self._replace(producer)
        APPENDS.labels("ambiguous").inc()
        raise AppendAmbiguous(f"{type(error).__name__} from the broker") from error

    def _replace(self, producer: AIOKafkaProducer | None) -> None:
        if producer is not None and producer is self._producer:
            self._producer = None
            self._opened.clear()
            # Not in the context of the request that happened to notice: its log lines are not that request's.
            self._reopening = asyncio.create_task(self._reopen(producer), context=contextvars.Context())

    async def _reopen(self, broken: AIOKafkaProducer | None) -> None:
        if broken is not None:
            PRODUCERS_REPLACED.inc()
            log.warning("producer abandoned: an acknowledgement did not come")
            self._abandoning = asyncio.create_task(_abandon(broken))
        attempt = 0
        while self._producer is None:
            try:
                self._producer = await _open(self._bootstrap_servers)
                self._opened.set()
                log.info("log is open for appends")
            except (TimeoutError, KafkaError, OSError) as error:
                log.warning("no broker answers", error=type(error).__name__, attempt=attempt + 1)
                await asyncio.sleep(_REOPEN_DELAYS_S[min(attempt, len(_REOPEN_DELAYS_S) - 1)])
                attempt += 1


async def _open(bootstrap_servers: str) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        max_batch_size=131_072,
        linger_ms=0,
        request_timeout_ms=5000,
        retry_backoff_ms=50,
        metadata_max_age_ms=30_000,
    )
    try:
        async with asyncio.timeout(_OPEN_TIMEOUT_S):
            await producer.start()
    except BaseException:
        await _abandon(producer)
        raise
    return producer


async def _abandon(producer: AIOKafkaProducer) -> None:
    """`stop()` would first flush what the producer holds, perhaps for ever; what is held is ambiguous and must not be
    sent later than it has to, so the sender is closed under it. aiokafka has no public way to do that."""
    producer._closed = True
    closings = [producer._sender.close()] if producer._sender is not None else []
    for closing in (*closings, producer.client.close()):
        with suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                await closing
