"""A record that a projection could not take in, and takes in at the second try."""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from infra.clock import SystemClock
from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.postgres.payments import PaymentViews, PostgresPaymentSink
from infra.postgres.verifying import unreadable
from infra.settings import Settings
from projections.payments import evolve
from projections.project import Projection
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Position
from schemas.errors import FilledByReplay, LogBroken
from schemas.views import DeadLetter, PaymentHistory
from streams.command_line.dead_letters import IN_A_TABLE, tell
from streams.dead_letters import KafkaDeadLetters
from streams.replay.letters import Letter, letter, letter_box, letters, retry
from streams.replay.source import Source
from streams.replay.trail import trail
from tests.bench.history import life, messages_of
from tests.projections.outcomes import SUCCESS
from tests.projections.story import BEGIN
from tests.streams.replay.world import World, messages
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration
_numbers = count(1)


class Projected:
    """A payments projection in a database of its own, whose worker could not read one record of the newest payment."""

    def __init__(self, stack: Stack) -> None:
        name = f"letters_{os.getpid()}_{next(_numbers)}"
        url = urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}").geturl()
        self.settings = Settings.from_environment({**stack.env, "DATABASE_URL": str(url)})

    async def open(self, stack: AsyncExitStack, broken: int) -> None:
        settings = self.settings
        await make_topics(settings)
        await migrate(settings.database_url)
        publisher = Publisher(settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        self.database = await Database.connect(settings.database_url)
        stack.push_async_callback(self.database.close)
        reader = LogReader(settings.kafka_bootstrap_servers)
        stack.push_async_callback(reader.stop)

        clock = SystemClock()
        self.payment = clock.payment_id()
        partition = partition_for(self.payment)
        messages = messages_of(self.payment, life(SUCCESS, "alpha", "bank", clock.now()))
        await publisher.publish(PAYMENTS_TOPIC, partition, messages)
        end = await reader.end_offset(PAYMENTS_TOPIC, partition)
        records = await reader.read(PAYMENTS_TOPIC, partition, 0, end, timeout_s=30)
        told = [*records]
        told[broken] = SimpleNamespace(
            **{
                name: getattr(records[broken], name)
                for name in ("topic", "partition", "offset", "timestamp", "key")
            },
            headers=records[broken].headers,
            value=b"{",
        )
        dead = KafkaDeadLetters(publisher, settings.projection_consumer_group)
        sink = PostgresPaymentSink(self.database)
        await Projection(PAYMENTS_TOPIC, sink, reader, dead, partition_for).absorb(told)

    async def shown(self) -> PaymentHistory | None:
        history, _ = await PaymentViews(self.database, partition_for).find(self.payment)
        return history

    async def folded(self) -> PaymentHistory | None:
        history = None
        source = Source(bootstrap_servers=self.settings.kafka_bootstrap_servers, topic=PAYMENTS_TOPIC)
        for recorded in (await trail(source, self.settings.database_url, self.payment)).records:
            history = evolve(history, recorded)
        return history

    async def left_out(self) -> frozenset[tuple[int, int]]:
        return await unreadable(self.database, PAYMENTS_TOPIC)

    async def bury(self, letter: DeadLetter) -> None:
        """As if the projection had met it."""
        publisher = Publisher(self.settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
        await publisher.start()
        await KafkaDeadLetters(publisher, self.settings.projection_consumer_group).publish([letter])
        await publisher.stop()

    async def letter(self) -> Letter:
        return [one async for one in letters(letter_box(self.settings)) if one.key == self.payment][-1]


@pytest.fixture
async def projected(stack: Stack) -> AsyncIterator[Projected]:
    projected = Projected(stack)
    async with AsyncExitStack() as exits:
        await projected.open(exits, broken=-1)
        yield projected


async def test_what_can_be_read_by_now_is_taken_in_and_nothing_is_counted_twice(projected: Projected) -> None:
    before = await projected.shown()
    assert before is not None
    assert before.payment.status == "PENDING_VERIFICATION"
    assert await retry(projected.settings, await projected.letter()) == (
        "taken in",
        "restart the projection workers, which may remember it as it was",
    )
    after = await projected.shown()
    assert after is not None
    assert after.payment.status == "SUCCESS"
    assert after == await projected.folded()
    await retry(projected.settings, await projected.letter())
    assert await projected.shown() == after


async def test_what_was_taken_in_after_all_is_no_longer_left_out_where_rows_are_compared(
    projected: Projected,
) -> None:
    position = (await projected.letter()).position
    place, before = (position.partition, position.offset), await projected.left_out()
    assert place in before
    await retry(projected.settings, await projected.letter())
    assert await projected.left_out() == before - {place}


async def test_a_record_in_a_partition_that_is_not_its_keys_changes_nothing_of_that_payment(
    projected: Projected,
) -> None:
    before, told = await projected.shown(), await projected.letter()
    elsewhere = (told.position.partition + 1) % PAYMENT_PARTITIONS
    stray = DeadLetter(
        position=replace(told.position, partition=elsewhere),
        stamp_ms=0,
        reason="Unreadable: its key belongs in another partition",
        key=projected.payment.encode(),
        value=b"{}",
        headers=(),
    )
    await projected.bury(stray)
    assert await retry(projected.settings, await projected.letter()) == (
        "still unreadable",
        "its key belongs in another partition",
    )
    assert await projected.shown() == before


async def test_a_payment_is_not_made_again_of_fewer_records_than_are_known_of_it(
    projected: Projected,
) -> None:
    before, told = await projected.shown(), await projected.letter()
    nowhere = replace(told, position=replace(told.position, offset=2**40))
    with pytest.raises(LogBroken, match=f"offset {2**40} of partition {told.position.partition}"):
        await retry(projected.settings, nowhere)
    assert await projected.shown() == before


async def test_nothing_is_put_into_a_database_that_a_replay_filled(projected: Projected) -> None:
    before, told = await projected.shown(), await projected.letter()
    await projected.database.fetch(
        "INSERT INTO watermarks (projection, version, topic, partition) VALUES ('replay', 1, '', 0)"
    )
    with pytest.raises(FilledByReplay):
        await retry(projected.settings, told)
    assert await projected.shown() == before


async def test_a_letter_says_why_and_where_its_record_lies(projected: Projected) -> None:
    letter = await projected.letter()
    assert letter.position.topic == PAYMENTS_TOPIC
    assert (letter.value, letter.headers["ce_type"]) == ("{", "PaymentSucceeded")
    assert letter.reason.startswith("Unreadable: ")


async def test_one_letter_is_read_by_itself_whatever_became_of_those_before_it(stack: Stack) -> None:
    box = World(stack.env, partitions=1)
    await box.open()
    first, second = messages(1)[:2]
    await box.publish_in_a_transaction(first)
    await box.publish([second])
    with pytest.raises(LogBroken):
        _ = [one async for one in letters(box.source)]
    found = await letter(box.source, 2)
    assert found is not None
    assert (found.number, found.key) == (2, (second[0] or b"").decode())
    assert await letter(box.source, 3) is None


@pytest.mark.parametrize("as_json", [True, False])
async def test_a_list_is_told_while_it_is_read_and_held_by_nobody(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    told = ""

    async def found() -> AsyncGenerator[Letter, None]:
        nonlocal told
        for number in range(2 * IN_A_TABLE + 1):
            if number == IN_A_TABLE + 1:
                told = capsys.readouterr().out
            yield Letter(
                number=number,
                stamp=BEGIN,
                reader="others" if number == 3 else "audit",
                reason=f"reason {number}.",
                position=Position(topic="t", partition=0, offset=number),
                key="k",
                value="{",
                headers={},
            )

    await tell(found(), "audit", as_json)
    later = capsys.readouterr().out
    assert ("reason 0." in told, "reason 3." in told + later) == (True, False)
    assert all(f"reason {number}." in told + later for number in (IN_A_TABLE, 2 * IN_A_TABLE))
