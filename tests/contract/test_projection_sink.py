"""What the projection promises over any sink: everything once, in order, and all or nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from infra.kafka.partition import partition_for
from infra.memory.projections import MemoryDeadLetters, MemoryPayments, MemoryRecords, RawRecord
from infra.postgres.database import Database
from infra.postgres.payments import PaymentViews, PostgresPaymentSink
from projections.payments import evolve
from projections.ports import Sink
from projections.project import Projection
from projections.verifications import work
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC, decode
from schemas.envelope import Position, Recorded, Window
from schemas.errors import LogUnavailable, Unavailable
from schemas.ids import PaymentId
from schemas.payment import (
    LateSuccessDetected,
    PaymentTakenOver,
    ReviewRequested,
    VerificationPerformed,
)
from schemas.verification import VerificationWork
from schemas.views import DeadLetter, PaymentChanges, PaymentHistory
from tests.databases import new_database
from tests.projections.story import (
    ALPHA,
    BEGIN,
    BEGIN_MS,
    BETA,
    FIRST,
    SECOND,
    WINDOW,
    declined,
    failed,
    handed_over,
    in_doubt,
    new_payment_id,
    paid,
    raw,
    recorded,
    renamed,
    requested,
    routed,
    started,
    succeeded,
)

STORIES: list[list[Event]] = [
    [requested(), routed(), started(), succeeded(), paid()],
    [
        requested(),
        routed(),
        started(),
        declined(),
        started(SECOND, BETA, 20),
        succeeded(SECOND, BETA),
        paid(SECOND, BETA),
    ],
    [requested(), routed(), started(), declined(), failed()],
    [requested(), routed(), started(), in_doubt(), handed_over(FIRST)],
    [started()],
]

FIRST_CHECK, LAST_CHECK = BEGIN + timedelta(seconds=5), BEGIN + timedelta(days=3)
_planned = replace(started(), first_check_at=FIRST_CHECK, final_check_at=LAST_CHECK)
_checked = VerificationPerformed(
    attempt_id=FIRST, check=1, verdict="still_pending", next_check_at=BEGIN + timedelta(seconds=15)
)
VERIFIED_STORIES: list[list[Event]] = [
    [requested(), routed(), _planned, succeeded(), paid()],
    [requested(), routed(), _planned, declined(), failed()],
    [requested(), _planned, in_doubt(), handed_over(FIRST), _checked],
    [requested(), _planned, in_doubt(), _checked, ReviewRequested(unsettled=(FIRST,))],
    [
        requested(),
        _planned,
        declined(),
        failed(),
        LateSuccessDetected(attempt_id=FIRST, gateway=ALPHA, gateway_reference="reference", kept=False),
    ],
    [requested()],
    [_planned],
]


class Store:
    """A sink, its views, and what it knows of owners, errors and the work that is due."""

    def __init__(
        self,
        sink: Sink,
        views: MemoryPayments | PaymentViews,
        owner: Callable[..., Awaitable[tuple[int, int, bool]]],
        errors: Callable[[], Awaitable[list[tuple[int, int]]]],
        work: Callable[[], Awaitable[dict[PaymentId, VerificationWork]]],
    ) -> None:
        self.sink, self.views, self.owner, self.errors, self.work = sink, views, owner, errors, work


def memory_store() -> Store:
    memory = MemoryPayments(partition_for)

    async def owner(key_hash: str, merchant: str = "merchant") -> tuple[int, int, bool]:
        row = memory.owners[merchant, key_hash]
        return row.epoch, row.owned_until_ms, row.handed_over

    async def errors() -> list[tuple[int, int]]:
        return sorted((partition, offset) for _, partition, offset in memory.errors)

    async def work() -> dict[PaymentId, VerificationWork]:
        return dict(memory.work)

    return Store(memory, memory, owner, errors, work)


def postgres_store(database: Database) -> Store:
    async def owner(key_hash: str, merchant: str = "merchant") -> tuple[int, int, bool]:
        sql = "SELECT epoch, owned_until_ms, handed_over FROM reservations WHERE merchant_id = $1 AND key_hash = $2"
        (row,) = await database.fetch(sql, merchant, key_hash)
        return tuple(row)

    async def errors() -> list[tuple[int, int]]:
        rows = await database.fetch('SELECT partition, "offset" FROM projection_errors ORDER BY 1, 2')
        return [tuple(row) for row in rows]

    async def work() -> dict[PaymentId, VerificationWork]:
        sql = "SELECT *, to_timestamp(due_at_ms / 1000.0) AS due_at FROM verifications"
        rows = await database.fetch(sql)
        return {
            row["payment_id"]: msgspec.convert(
                {name: row[name] for name in VerificationWork.__struct_fields__}, VerificationWork
            )
            for row in rows
        }

    return Store(PostgresPaymentSink(database), PaymentViews(database, partition_for), owner, errors, work)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def server(request: pytest.FixtureRequest) -> str | None:
    """Where Postgres is to be asked; None for the twin in memory."""
    if request.param == "memory":
        return None
    return str(request.getfixturevalue("stack").env["DATABASE_URL"])


@pytest.fixture
async def store(server: str | None) -> AsyncIterator[Store]:
    if server is None:
        yield memory_store()
        return
    database = await Database.connect(await new_database(server), min_size=1, max_size=3)
    yield postgres_store(database)
    await database.close()


class World:
    """A log, a projection over it and the store it fills."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.log = MemoryRecords()
        self.dead_letters = MemoryDeadLetters()
        self.projection = self.another_worker()
        self.records: list[RawRecord] = []

    def another_worker(self) -> Projection:
        return Projection(PAYMENTS_TOPIC, self.store.sink, self.log, self.dead_letters, partition_for)

    def append(self, record: RawRecord) -> RawRecord:
        topic, partition, _, stamp_ms, key, value, headers = record
        appended = self.log.append(topic, partition, stamp_ms, key, value, headers)
        self.records.append(appended)
        return appended

    def tell(self, payment: PaymentId, *events: Event) -> list[RawRecord]:
        return [
            self.append(raw(recorded(renamed(event, payment), number, payment=payment)))
            for number, event in enumerate(events)
        ]

    def folded(self) -> dict[PaymentId, PaymentHistory]:
        """What must be in the store, straight from the log."""
        histories: dict[PaymentId, PaymentHistory] = {}
        for record in self.records:
            position = Position(topic=record.topic, partition=record.partition, offset=record.offset)
            told = decode(record.value, record.headers, position, record.timestamp)
            payment_id = PaymentId(told.envelope.aggregate_id)
            histories[payment_id] = evolve(histories.get(payment_id), told)
        return histories

    def due(self) -> dict[PaymentId, VerificationWork]:
        """What must be in the store of the work that is due."""
        return {
            payment_id: due
            for payment_id, history in self.folded().items()
            if (due := work(history)).due_at is not None
        }

    async def stored(self) -> dict[PaymentId, PaymentHistory | None]:
        return {payment_id: (await self.store.views.find(payment_id))[0] for payment_id in self.folded()}


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


async def test_rows_equal_a_fold_of_the_log_however_it_is_cut_into_batches(world: World) -> None:
    for number in range(40):
        world.tell(new_payment_id(number), *STORIES[number % len(STORIES)])
    for size, begin in ((7, 0), (1, 70), (500, 71)):
        for start in range(begin, len(world.records) if size == 500 else begin + 70, size):
            await world.projection.absorb(world.records[start : min(start + size, len(world.records))])

    assert await world.stored() == world.folded()


async def test_the_work_that_is_due_follows_from_the_log_however_it_is_cut(world: World) -> None:
    for number in range(40):
        world.tell(new_payment_id(number), *VERIFIED_STORIES[number % len(VERIFIED_STORIES)])
    for start in range(0, len(world.records), 3):
        await world.projection.absorb(world.records[start : start + 3])

    assert await world.store.work() == world.due()
    assert await world.stored() == world.folded()


async def test_a_batch_that_comes_again_changes_nothing(world: World) -> None:
    records = world.tell(new_payment_id(1), *STORIES[1])
    await world.projection.absorb(records)
    await world.projection.absorb(records)
    await world.another_worker().absorb(records)

    assert await world.stored() == world.folded()
    assert world.projection.counts.known_already == len(records)


async def test_a_gap_is_fetched_first(world: World) -> None:
    for number in range(30):
        world.tell(new_payment_id(number), *STORIES[0])
    await world.projection.absorb(world.records[-20:])
    await world.projection.absorb(world.records[:-20])

    assert await world.stored() == world.folded()
    assert world.projection.counts.fetched_from_gaps > 0


async def test_a_hole_inside_a_batch_is_fetched_as_well(world: World) -> None:
    records = world.tell(new_payment_id(1), *STORIES[1])
    await world.projection.absorb([*records[:2], *records[4:]])

    assert await world.stored() == world.folded()
    assert world.projection.counts.fetched_from_gaps == 2


async def test_a_gap_that_cannot_be_fetched_stops_everything_behind_it(world: World) -> None:
    records = world.tell(new_payment_id(1), *STORIES[0])
    with pytest.raises(LogUnavailable):
        await world.projection.absorb([records[0], records[1]._replace(offset=99)])

    history, watermark = await world.store.views.find(new_payment_id(1))
    assert history is not None
    assert (history.payment.offsets, watermark.next_offset) == ((0,), 1)


async def test_the_watermark_is_that_of_the_last_record(world: World) -> None:
    records = world.tell(new_payment_id(1), *STORIES[0])
    await world.projection.absorb(records)

    _, watermark = await world.store.views.find(new_payment_id(1))
    assert (watermark.next_offset, watermark.last_stamp_ms) == (5, records[-1].timestamp)
    marks = await world.store.views.watermarks()
    assert marks[PAYMENTS_TOPIC, records[0].partition].next_offset == 5
    assert await world.store.views.offsets(new_payment_id(1)) == ((0, 1, 2, 3, 4), 5)


async def test_attempts_and_decisions_can_be_read_by_themselves(world: World) -> None:
    await world.projection.absorb(world.tell(new_payment_id(1), *STORIES[1]))

    history = world.folded()[new_payment_id(1)]
    assert await world.store.views.attempts(new_payment_id(1)) == history.attempts
    assert await world.store.views.decisions(new_payment_id(1)) == history.decisions
    assert await world.store.views.attempts(new_payment_id(2)) == ()
    assert await world.store.views.find(new_payment_id(2)) is not None


async def test_two_workers_in_turn_never_trust_what_they_remember(world: World) -> None:
    records = world.tell(new_payment_id(1), *STORIES[1])
    other = world.another_worker()
    for number, record in enumerate(records):
        await (other if number % 2 else world.projection).absorb([record])

    assert await world.stored() == world.folded()


async def test_two_workers_at_once_count_everything_once(world: World) -> None:
    for number in range(20):
        world.tell(new_payment_id(number), *STORIES[number % len(STORIES)])
    workers = [world.another_worker() for _ in range(3)]
    await asyncio.gather(*(worker.absorb(world.records) for worker in workers))

    assert await world.stored() == world.folded()
    assert sum(worker.counts.taken_in for worker in workers) == len(world.records)


def nul_in_a_text(payment: PaymentId) -> RawRecord:
    return raw(recorded(replace(routed(), reason="bad\0text"), sequence=99, payment=payment))


def too_large_a_number(payment: PaymentId) -> RawRecord:
    return raw(recorded(requested(), payment=payment, epoch=2**80))


def not_json(payment: PaymentId) -> RawRecord:
    return raw(recorded(requested(), payment=payment))._replace(value=b'{"type":"PaymentRequested",')


def empty(payment: PaymentId) -> RawRecord:
    return raw(recorded(requested(), payment=payment))._replace(value=None)


def without_headers(payment: PaymentId) -> RawRecord:
    return raw(recorded(requested(), payment=payment))._replace(headers=[])


def another_key(payment: PaymentId) -> RawRecord:
    return raw(recorded(requested(), payment=payment))._replace(key=b"another")


def no_payment_id(payment: PaymentId) -> RawRecord:
    record = raw(recorded(requested(), payment=PaymentId("pay_!")))
    return record._replace(partition=partition_for(payment))


POISONS = [nul_in_a_text, too_large_a_number, not_json, empty, without_headers, another_key, no_payment_id]


@pytest.mark.parametrize("poison", POISONS)
async def test_a_poisonous_record_becomes_a_dead_letter_and_stops_nothing(
    world: World, poison: Callable[[PaymentId], RawRecord]
) -> None:
    payment = new_payment_id(1)
    before = world.tell(payment, requested(), routed())
    bad = world.append(poison(payment))
    world.records.remove(bad)
    after = world.tell(payment, started(), succeeded(), paid())
    await world.projection.absorb([*before, bad, *after])

    assert await world.stored() == world.folded()
    position = Position(topic=PAYMENTS_TOPIC, partition=bad.partition, offset=2)
    (letter,) = world.dead_letters.published
    assert (letter.position, letter.key, letter.value) == (position, bad.key, bad.value)
    assert await world.store.errors() == [(bad.partition, 2)]
    assert (await world.store.views.find(payment))[1].next_offset == 6


async def test_many_poisonous_records_are_one_dead_letter_each(world: World) -> None:
    payment = new_payment_id(1)
    bad = []
    for poison in POISONS:
        world.tell(payment, requested())
        bad.append(world.append(poison(payment)))
    await world.projection.absorb(world.records)

    told = [letter.position.offset for letter in world.dead_letters.published]
    assert sorted(told) == [record.offset for record in bad if record.partition == bad[0].partition]


@pytest.mark.parametrize("text", [r"bad\u0000text", r"\\u0000", "\\\\\\u0000"])
async def test_what_somebody_wrote_as_an_escape_is_no_poison(world: World, text: str) -> None:
    payment = new_payment_id(1)
    told = world.tell(payment, requested(), replace(routed(), reason=text))
    await world.projection.absorb(told)
    (decision,) = await world.store.views.decisions(payment)
    assert decision.reason == text
    assert not world.dead_letters.published


async def test_a_record_in_a_partition_that_is_not_its_own_is_poisonous(world: World) -> None:
    payment = new_payment_id(1)
    stray = raw(recorded(requested(), payment=payment))._replace(partition=(partition_for(payment) + 1) % 12)
    await world.projection.absorb([stray])

    assert (await world.store.views.find(payment))[0] is None
    assert len(world.dead_letters.published) == 1


@pytest.mark.parametrize("away", [-1, 1])
async def test_a_stray_record_does_nothing_to_those_in_their_own_partition(world: World, away: int) -> None:
    payment = next(
        payment for payment in map(new_payment_id, range(1, 50)) if 0 < partition_for(payment) < 11
    )
    own = world.tell(payment, requested(), routed(), started())
    stray = raw(recorded(started(), payment=payment))._replace(partition=partition_for(payment) + away)
    await world.projection.absorb([*own, stray])

    history, _ = await world.store.views.find(payment)
    assert history is not None
    assert history.payment.offsets == tuple(record.offset for record in own)
    (letter,) = world.dead_letters.published
    assert letter.position.partition == stray.partition


class Away:
    """Dead letters whose topic does not answer for a while."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.published: list[DeadLetter] = []

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self.times -= 1
        if self.times >= 0:
            raise LogUnavailable("away")
        self.published.extend(letters)


async def test_nothing_is_stored_while_dead_letters_cannot_be_published(world: World) -> None:
    away = Away(times=1)
    projection = Projection(PAYMENTS_TOPIC, world.store.sink, world.log, away, partition_for)
    payment = new_payment_id(1)
    records = [*world.tell(payment, requested()), world.append(not_json(payment))]
    world.records.pop()
    with pytest.raises(Unavailable):
        await projection.absorb(records)
    assert (await world.store.views.find(payment))[0] is None

    await projection.absorb(records)
    assert await world.stored() == world.folded()
    assert len(away.published) == 1


async def test_a_transaction_that_fails_stores_nothing(store: Store) -> None:
    history = evolve(None, recorded(requested()))

    async def fail() -> None:
        async with store.sink.transaction(PAYMENTS_TOPIC, [0]) as transaction:
            await transaction.store(
                PaymentChanges(
                    payments=[history.payment],
                    owners=[history.payment],
                    watermarks=dict(transaction.watermarks),
                )
            )
            raise ValueError("after all")

    with pytest.raises(ValueError, match="after all"):
        await fail()
    assert (await store.views.find(history.payment.payment_id))[0] is None


async def owner_after(world: World, *told: Recorded[Event]) -> tuple[int, int, bool]:
    await world.projection.absorb([world.append(raw(record)) for record in told])
    return await world.store.owner("hash")


async def test_the_ownership_index_is_healed_from_the_log(world: World) -> None:
    taken_over = PaymentTakenOver(claim_id="claim", by="payment_verifier")
    window = Window(valid_from_ms=0, valid_until_ms=BEGIN_MS + 60_000)

    assert await owner_after(world, recorded(requested(), 0)) == (1, WINDOW.valid_until_ms, False)
    assert await owner_after(world, recorded(handed_over(), 1)) == (1, BEGIN_MS + 10, True)
    assert await owner_after(world, recorded(taken_over, 2, epoch=2, window=window)) == (
        2,
        window.valid_until_ms,
        False,
    )
    assert await owner_after(world, recorded(handed_over(), 3)) == (2, window.valid_until_ms, False)


async def test_another_payment_of_the_same_key_never_takes_the_index_over(world: World) -> None:
    other = new_payment_id(2)
    await owner_after(world, recorded(requested(), 0))
    later = recorded(requested(), 0, payment=other, epoch=3)

    assert await owner_after(world, later) == (1, WINDOW.valid_until_ms, False)


async def test_a_payment_without_its_request_has_an_owner_of_its_own_until_the_request_arrives(
    world: World,
) -> None:
    payment = new_payment_id(1)
    await world.projection.absorb(world.tell(payment, routed(), started()))
    assert await world.store.owner(payment, "") == (1, WINDOW.valid_until_ms, False)
    assert (await world.store.work())[payment].key_hash == payment

    await world.projection.absorb([world.append(raw(recorded(requested(), 2, payment=payment)))])
    assert await world.store.owner("hash") == (1, WINDOW.valid_until_ms, False)
    due = (await world.store.work())[payment]
    assert (due.merchant_id, due.key_hash) == ("merchant", "hash")


async def test_a_route_without_anything_else_has_no_owner(world: World) -> None:
    await world.projection.absorb(world.tell(new_payment_id(1), routed()))

    with pytest.raises((KeyError, ValueError)):
        await world.store.owner(new_payment_id(1), "")
    assert await world.store.work() == {}
