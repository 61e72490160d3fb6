"""A payment whose beginning is only in the files of an export, and whose end is only on the topic, is one payment."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from infra.clock import SystemClock
from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.producer import Message
from infra.kafka.reader import LogReader
from infra.local.stack import Stack
from infra.memory.projections import MemoryDeadLetters
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.postgres.payments import PostgresPaymentSink
from projections.project import Projection
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import LogBroken
from schemas.ids import PaymentId
from streams.replay.explanation import explain
from streams.replay.export import export
from streams.replay.plan import Asked, Seam
from streams.replay.source import Source
from streams.replay.timeline import timeline
from streams.replay.trail import Trail, state_at, trail
from streams.replay.verify import Verified, projected, verify
from tests.bench.history import life, messages_of
from tests.product import own_servers
from tests.projections.outcomes import SUCCESS
from tests.streams.replay.world import World

pytestmark = pytest.mark.integration

AWAY = "postgres://127.0.0.1:1/away"
FIRST_FILE, SEAM = 20, 43
"""Where the first file ends, and the second and last one: after three of five records of the payment."""
_partitions = iter(range(PAYMENT_PARTITIONS))
"""A test takes the beginning of one away, so that each has its own."""
_clock = SystemClock()


class Partition:
    """Sixteen payments, all that it ever had, of which one is told in two halves; and a read model of them."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.number = next(_partitions)
        name = f"/cold_{self.number}"
        self.url = str(urlsplit(stack.env["DATABASE_URL"])._replace(path=name).geturl())
        self.world = World({**stack.env, "DATABASE_URL": self.url}, PAYMENT_PARTITIONS, PAYMENTS_TOPIC)
        self.source, self.folder = self.world.source, folder
        self.cold = replace(self.source, cold=str(folder))
        self.payment, *self._others = islice(
            (one for one in iter(_clock.payment_id, None) if partition_for(one) == self.number), 16
        )

    async def open(self) -> None:
        await self.world.open()
        told = life_of(self.payment)
        others = [message for payment in self._others for message in life_of(payment)]
        await self.world.publish([*others[:40], *told[:3], *others[40:60]], self.number)
        await asyncio.sleep(0.01)  # stamps have milliseconds
        await self.world.publish([*told[3:], *others[60:]], self.number)
        await self._project()
        for until in (FIRST_FILE, SEAM):
            asked = Asked(topic=self.source.topic, until=until, partitions=frozenset({self.number}))
            plan = await self.source.plan(asked)
            await asyncio.to_thread(partial(export, self.source, plan, self.folder, "parquet", 1))

    async def _project(self) -> None:
        await migrate(self.url)
        async with AsyncExitStack() as stack:
            database = await Database.connect(self.url)
            stack.push_async_callback(database.close)
            reader = LogReader(self.source.bootstrap_servers)
            stack.push_async_callback(reader.stop)
            end = await reader.end_offset(self.source.topic, self.number)
            sink = PostgresPaymentSink(database)
            live = Projection(self.source.topic, sink, reader, MemoryDeadLetters(), partition_for)
            await live.absorb(await reader.read(self.source.topic, self.number, 0, end))

    async def retire(self, before: int) -> None:
        await self.world.retire(before, self.number)

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.parquet"))

    async def verified(self, source: Source) -> Verified:
        plan = await projected(source, self.url)
        return await asyncio.to_thread(partial(verify, source, plan, self.url, 1))


def life_of(payment: PaymentId) -> list[Message]:
    return messages_of(payment, life(SUCCESS, "alpha", "bank", _clock.now() - timedelta(seconds=1)))


@pytest.fixture(scope="module")
def servers() -> Iterator[Stack]:
    """On those that all tests share the payments' topic keeps its beginning."""
    with own_servers("cold") as stack:
        yield stack


@pytest.fixture
async def told(servers: Stack, tmp_path: Path) -> Partition:
    told = Partition(servers, tmp_path)
    await told.open()
    return told


def shown(found: Trail) -> tuple[object, ...]:
    """What `history`, `explain`, and `state` at the moment of each record say."""
    moments = [World.moment(record.stamp_ms) for record in found.records]
    states = [state_at(found.records, moment) for moment in moments]
    return timeline(found.records), explain(found.records), states


@pytest.mark.parametrize("left", [SEAM, SEAM - 2])
async def test_a_payment_is_told_as_before_its_beginning_left_the_topic_and_where_the_seam_is(
    told: Partition, left: int
) -> None:
    before = await trail(told.source, told.url, told.payment)
    assert len(before.records) == 5
    await told.retire(before=left)
    for url in (told.url, AWAY):
        after = await trail(told.cold, url, told.payment)
        assert shown(after) == shown(before)
        assert after.seams == (Seam(partition=told.number, offset=SEAM, is_compared=left < SEAM),)


async def test_what_is_typed_is_answered_as_before_and_says_where_the_seam_is(told: Partition) -> None:
    started = (await trail(told.source, told.url, told.payment)).records[2]
    at = World.moment(started.stamp_ms).isoformat()
    typed = [("history",), ("state", "--at", at), ("explain", "--json")]
    before = [await told.world.types(*words, told.payment) for words in typed]
    await told.retire(before=SEAM)
    seam = f"{PAYMENTS_TOPIC}-{told.number}: files to offset {SEAM - 1}, from {SEAM} on the topic, which begins there\n"
    for words, (code, said, complained) in zip(typed, before, strict=True):
        answer = await told.world.types(*words, told.payment, "--cold", str(told.folder))
        assert answer == (code, said, seam + complained)
    code, said, complained = await told.world.types("history", told.payment)
    assert (code, said, "offset 40 is not, or no longer, on the log" in complained) == (4, "", True), (
        complained
    )


async def test_a_payment_whose_beginning_left_the_topic_is_refused_without_the_files(told: Partition) -> None:
    await told.retire(before=SEAM)
    for url, named in (
        (told.url, "offset 40 is not, or no longer"),
        (AWAY, f"begins at offset {SEAM} by now"),
    ):
        with pytest.raises(LogBroken, match=named):
            await trail(told.source, url, told.payment)


def lose(files: list[Path]) -> None:
    files[0].unlink()


def lose_the_last(files: list[Path]) -> None:
    files[1].unlink()


def cut_short(files: list[Path]) -> None:
    content = files[1].read_bytes()
    files[1].write_bytes(content[: len(content) // 2])


def spoil(files: list[Path]) -> None:
    content = files[1].read_bytes()
    half = len(content) // 2
    files[1].write_bytes(content[:4] + bytes(half) + content[4 + half :])


def overlap(files: list[Path]) -> None:
    files[1].rename(files[1].with_name(files[1].name.replace(f"{FIRST_FILE:016}", f"{FIRST_FILE - 3:016}")))


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lose_the_last, f"the files end at offset {FIRST_FILE} .* begins at {SEAM} by now: there is a hole"),
        (cut_short, f"should have offsets {FIRST_FILE} to {SEAM - 1}"),
        (spoil, f"should have offsets {FIRST_FILE} to {SEAM - 1}"),
        (overlap, f"ends at offset {FIRST_FILE}, .* begins at {FIRST_FILE - 3}: they overlap"),
    ],
)
async def test_files_that_do_not_have_what_the_topic_lost_are_refused_by_their_offsets(
    told: Partition, harm: Callable[[list[Path]], None], named: str
) -> None:
    await told.retire(before=SEAM)
    harm(told.files())
    for url in (told.url, AWAY):
        with pytest.raises(LogBroken, match=named):
            await trail(told.cold, url, told.payment)


async def test_a_read_model_is_verified_against_the_files_and_then_the_topic(told: Partition) -> None:
    await told.retire(before=SEAM)
    found = await told.verified(told.cold)
    assert (found.records, found.payments, found.differences) == (80, 16, 0)
    with pytest.raises(LogBroken, match=f"begins at offset {SEAM} by now, and 0 was asked for"):
        await told.verified(told.source)
    lose(told.files())
    with pytest.raises(LogBroken, match=f"begins at offset {FIRST_FILE} by now, and 0 was asked for"):
        await told.verified(told.cold)
