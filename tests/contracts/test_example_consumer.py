"""The consumer that `docs/examples` shows, as it runs, on a real log."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from infra.clock import SystemClock
from infra.kafka.lag import GroupOffsets
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.topics import make_topics
from infra.local import ROOT
from infra.local.stack import Stack
from infra.settings import Settings
from schemas.codec import PAYMENTS_TOPIC, Headers, encode
from schemas.envelope import Outgoing, Window, unowned
from schemas.ids import PaymentId
from schemas.payment import Failure, PaymentEvent, PaymentFailed
from tests.builders import payment_succeeded
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration

EXAMPLE = ROOT / "docs" / "examples" / "settled_payments.py"
WITHIN_S = 120
FAILED = PaymentFailed(failure=Failure(code="expired_card", blame="customer", customer_may_retry=True))
ENDED = Window(valid_from_ms=0, valid_until_ms=1)
_clock = SystemClock()


@pytest.fixture
async def publisher(stack: Stack) -> AsyncIterator[Publisher]:
    settings = Settings.from_environment(stack.env)
    await make_topics(settings)
    publisher = Publisher(settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
    await publisher.start()
    yield publisher
    await publisher.stop()


def record(payment: PaymentId, event: PaymentEvent, window: Window | None = None) -> tuple[bytes, Headers]:
    envelope = unowned(_clock.event_id(), payment, _clock.now())
    return encode(Outgoing(envelope=replace(envelope, window=window or envelope.window), event=event))


async def put(publisher: Publisher, payment: PaymentId, *records: tuple[bytes, Headers]) -> int:
    """The offset of the last."""
    messages = [(payment.encode(), value, headers) for value, headers in records]
    places = await publisher.publish(PAYMENTS_TOPIC, partition_for(payment), messages)
    return int(places[-1].offset)


@asynccontextmanager
async def consumer(stack: Stack, group: str) -> AsyncIterator[Process]:
    command = (sys.executable, str(EXAMPLE), stack.env["KAFKA_BOOTSTRAP_SERVERS"], group)
    process = await asyncio.create_subprocess_exec(*command, cwd=Path("/"), stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(60):
            await process.wait()


async def told(process: Process, payment: PaymentId) -> str:
    """The next thing that it tells of the payment."""
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN_S):
        while line := (await process.stdout.readline()).decode():
            subject, _, rest = line.partition(" ")
            if subject == payment:
                return rest.rpartition(" ")[0]
    raise AssertionError("it ended")


async def committed(stack: Stack, group: str, payment: PaymentId, offset: int) -> None:
    groups = GroupOffsets(stack.env["KAFKA_BOOTSTRAP_SERVERS"])
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                offsets = await groups.offsets(group)
                if offsets.get((PAYMENTS_TOPIC, partition_for(payment)), 0) > offset:
                    return
                await asyncio.sleep(0.1)
    finally:
        await groups.stop()


async def test_it_tells_what_counts_and_neither_what_is_void_nor_what_it_does_not_know(
    stack: Stack, publisher: Publisher
) -> None:
    payment, group = _clock.payment_id(), _clock.event_id()
    value, headers = record(payment, FAILED)
    unknown = (value, [(n, b"PaymentForgotten" if n == "ce_type" else c) for n, c in headers])
    await put(publisher, payment, record(payment, FAILED, ENDED), unknown)
    await put(publisher, payment, record(payment, payment_succeeded()))
    async with consumer(stack, group) as process:
        assert await told(process, payment) == "charged"


async def test_it_goes_on_where_it_ended(stack: Stack, publisher: Publisher) -> None:
    payment, group = _clock.payment_id(), _clock.event_id()
    offset = await put(publisher, payment, record(payment, payment_succeeded()))
    async with consumer(stack, group) as process:
        assert await told(process, payment) == "charged"
        await committed(stack, group, payment, offset)
    await put(publisher, payment, record(payment, FAILED))
    async with consumer(stack, group) as process:
        assert await told(process, payment) == "not charged"
