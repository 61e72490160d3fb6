"""A read model that was made again is what the log says, also after a stop."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import count
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Message, Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.postgres.payments import PaymentViews
from infra.settings import Settings
from projections.absorption import readable
from projections.payments import evolve
from schemas.codec import PAYMENTS_TOPIC
from schemas.ids import PaymentId
from schemas.views import PaymentHistory
from streams.replay.errors import Stopped, StoreTaken
from streams.replay.into_postgres import PAYMENTS, into_postgres, prepare
from streams.replay.plan import Asked, Part, Plan, Stored
from streams.replay.source import Source
from tests.bench.history import life, messages_of
from tests.projections.outcomes import DOUBT, SUCCESS
from tests.projections.story import paid, requested, started
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration
_numbers = count(1)


class World:
    """A part of the payments' topic, and a database that there is not yet."""

    def __init__(self, stack: Stack) -> None:
        self.settings = Settings.from_environment(stack.env)
        name = f"replayed_{os.getpid()}_{next(_numbers)}"
        self.url = str(urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}").geturl())
        self.source = Source(bootstrap_servers=self.settings.kafka_bootstrap_servers, topic=PAYMENTS_TOPIC)
        self.payments: list[PaymentId] = []
        self.plan = Plan(topic=PAYMENTS_TOPIC, parts=())

    async def open(self) -> None:
        """Forty lives, each partly before and partly after all others of its partition, and a record that is none."""
        await make_topics(self.settings)
        self._reader = LogReader(self.settings.kafka_bootstrap_servers)
        clock = SystemClock()
        before = await self._reader.end_offsets(PAYMENTS_TOPIC)
        begun: dict[int, list[Message]] = {}
        ended: dict[int, list[Message]] = {}
        for number in range(40):
            payment = clock.payment_id()
            messages = messages_of(payment, life((SUCCESS, DOUBT)[number % 2], "alpha", "bank", clock.now()))
            begun.setdefault(partition_for(payment), []).extend(messages[:3])
            ended.setdefault(partition_for(payment), []).extend(messages[3:])
            self.payments.append(payment)
        publisher = Publisher(self.settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
        await publisher.start()
        for partition in begun:
            messages = [*begun[partition], (b"junk", b"{", []), *ended[partition]]
            await publisher.publish(PAYMENTS_TOPIC, partition, messages)
        await publisher.stop()
        after = await self._reader.end_offsets(PAYMENTS_TOPIC)
        parts = [Part(partition=one, start=before[one], stop=after[one]) for one in sorted(begun)]
        self.plan = Plan(topic=PAYMENTS_TOPIC, parts=tuple(parts))

    async def close(self) -> None:
        await self._reader.stop()

    async def replayed(self, processes: int = 1, stop_after: int | None = None) -> int:
        def tell(read: int) -> None:
            if stop_after is not None and read >= stop_after:
                raise Stopped

        plan = await prepare(PAYMENTS, self.url, self.plan)
        return await asyncio.to_thread(
            partial(into_postgres, PAYMENTS, self.source, plan, self.url, processes, tell)
        )

    async def shown(self) -> dict[PaymentId, PaymentHistory | None]:
        database = await Database.connect(self.url)
        views = PaymentViews(database, partition_for)
        shown = {payment: (await views.find(payment))[0] for payment in self.payments}
        await database.close()
        return shown

    async def folded(self) -> dict[PaymentId, PaymentHistory | None]:
        folded: dict[PaymentId, PaymentHistory | None] = {}
        for part in self.plan.parts:
            for record in await self._reader.read(PAYMENTS_TOPIC, part.partition, part.start, part.stop):
                if record.key != b"junk":
                    payment = PaymentId(record.key.decode())
                    folded[payment] = evolve(folded.get(payment), readable(record))
        return folded

    async def fetch(self, sql: str) -> Sequence[tuple[object, ...]]:
        database = await Database.connect(self.url)
        rows = [tuple(row) for row in await database.fetch(sql)]
        await database.close()
        return rows


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    world = World(stack)
    await world.open()
    yield world
    await world.close()


@pytest.mark.parametrize("processes", [1, 2])
async def test_every_row_is_the_fold_of_the_payments_records(world: World, processes: int) -> None:
    dead = await world.replayed(processes)
    assert dead == len(world.plan.parts)
    assert await world.shown() == await world.folded()


async def test_after_a_stop_it_goes_on_and_comes_to_the_same(world: World) -> None:
    with pytest.raises(Stopped):
        await world.replayed(stop_after=1)
    assert (await prepare(PAYMENTS, world.url, world.plan)).records < world.plan.records
    await world.replayed()
    assert await world.shown() == await world.folded()
    assert (await prepare(PAYMENTS, world.url, world.plan)).records == 0


async def test_what_comes_later_is_folded_upon_what_is_there(world: World) -> None:
    whole = world.plan
    world.plan, _ = halves(whole)
    await world.replayed()
    world.plan = whole
    await world.replayed()
    assert await world.shown() == await world.folded()


def halves(plan: Plan) -> tuple[Plan, Plan]:
    """Of each partition the first half of its records, and the second."""
    middles = [(part, (part.start + part.stop) // 2) for part in plan.parts]
    return (
        replace(plan, parts=tuple(replace(part, stop=middle) for part, middle in middles)),
        replace(plan, parts=tuple(replace(part, start=middle) for part, middle in middles)),
    )


async def test_an_earlier_start_than_that_of_the_database_is_refused_and_begins_nothing(world: World) -> None:
    whole, (_, second) = world.plan, halves(world.plan)
    world.plan = replace(second, parts=second.parts[:1])
    await world.replayed()
    (begun,) = world.plan.parts
    world.plan = whole
    with pytest.raises(StoreTaken, match=f"-{begun.partition} from offset {begun.start} on, and"):
        await world.replayed()
    assert (await prepare(PAYMENTS, world.url, second)).parts[1:] == second.parts[1:]


async def test_what_goes_beyond_the_end_that_is_asked_for_is_not_taken_for_it(world: World) -> None:
    first, _ = halves(world.plan)
    await world.replayed()
    part = first.parts[0]
    with pytest.raises(StoreTaken, match=f"-{part.partition} up to offset .* and {part.stop} was asked for"):
        await prepare(PAYMENTS, world.url, first)


async def test_the_same_start_or_a_later_one_goes_on_behind_what_is_there(world: World) -> None:
    whole, (first, second) = world.plan, halves(world.plan)
    assert (await prepare(PAYMENTS, world.url, first)).stored is None
    world.plan = first
    await world.replayed()
    same = await prepare(PAYMENTS, world.url, whole)
    assert same.stored == Stored(records=first.records, is_longer=False)

    last = [replace(part, start=part.stop - 1) for part in whole.parts]
    later = await prepare(PAYMENTS, world.url, replace(whole, parts=tuple(last)))
    assert later.stored == Stored(records=first.records, is_longer=True)
    assert later.parts == same.parts == second.parts
    world.plan = later
    await world.replayed()
    world.plan = whole
    assert await world.shown() == await world.folded()


async def test_a_database_from_before_starts_were_kept_is_whole_only_from_where_it_has_come_to(
    world: World,
) -> None:
    whole, (first, second) = world.plan, halves(world.plan)
    world.plan = first
    await world.replayed()
    await world.fetch("DELETE FROM watermarks WHERE projection = 'replay of payments'")
    with pytest.raises(StoreTaken):
        await prepare(PAYMENTS, world.url, whole)
    assert (await prepare(PAYMENTS, world.url, second)).parts == second.parts


async def test_what_postgres_cannot_hold_is_left_out_and_those_behind_it_are_taken_in(world: World) -> None:
    payment = SystemClock().payment_id()
    partition = partition_for(payment)
    beyond = replace(started(), number=2**40)
    publisher = Publisher(world.settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
    await publisher.start()
    await publisher.publish(PAYMENTS_TOPIC, partition, messages_of(payment, [requested(), beyond, paid()]))
    await publisher.stop()
    end = (await world.source.plan(Asked(topic=PAYMENTS_TOPIC, since="earliest"))).parts[partition].stop
    world.plan = replace(world.plan, parts=(Part(partition=partition, start=end - 3, stop=end),))
    assert await world.replayed() == 1
    assert await world.fetch("SELECT status FROM payments") == [("SUCCESS",)]


async def test_nobody_acts_on_what_was_made_by_a_replay(world: World) -> None:
    await world.replayed()
    assert await world.fetch(
        "SELECT (SELECT count(*) FROM reservations), (SELECT count(*) FROM verifications)"
    ) == [(0, 0)]


async def test_a_database_that_a_product_works_with_is_refused(world: World) -> None:
    await world.replayed()
    await world.fetch(
        "INSERT INTO reservations (merchant_id, key_hash, fingerprint, payment_id, owned_until_ms)"
        "VALUES ('m', 'k', 'f', 'p', 1)"
    )
    with pytest.raises(StoreTaken):
        await world.replayed()


async def test_a_database_that_a_product_has_only_begun_with_is_refused_before_its_first_payment(
    world: World,
) -> None:
    await migrate(world.url)
    await world.fetch(
        "INSERT INTO watermarks (projection, version, topic, partition) VALUES ('audit', 1, 't', 0)"
    )
    with pytest.raises(StoreTaken):
        await world.replayed()
