"""The table that is rebuilt is the table that was healed, row for row; half a rebuild is none."""

from collections.abc import Sequence

import asyncpg
import pytest

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.postgres.database import Database
from infra.postgres.payments import PostgresPaymentSink
from infra.postgres.rebuild import AnotherRebuild, Installed, reservation_rebuild
from infra.postgres.reservations import PostgresReservations
from projections.owners import owners_in
from projections.payments import evolve
from projections.ports import RawRecord
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Recorded, Window
from schemas.errors import StoreUnavailable
from schemas.ids import customer_token
from schemas.payment import PaymentTakenOver
from schemas.reservation import Reservation
from schemas.views import PaymentChanges, PaymentHistory
from tests.projections.story import (
    FIRST,
    WINDOW,
    declined,
    handed_over,
    in_doubt,
    new_payment_id,
    paid,
    raw,
    recorded,
    renamed,
    requested,
    started,
    succeeded,
)

pytestmark = pytest.mark.integration

CLAIMED = PaymentTakenOver(claim_id="claim", by="payment_verifier")
LATER = Window(valid_from_ms=WINDOW.valid_until_ms, valid_until_ms=WINDOW.valid_until_ms + 20_000)
COLUMNS = "merchant_id, key_hash, fingerprint, payment_id, epoch, owned_until_ms, handed_over, created_at"

Story = list[tuple[int, Event]]
"""Events with their epochs."""
STORIES: list[Story] = [
    [(1, requested()), (1, started()), (1, succeeded()), (1, paid())],
    [
        (1, requested()),
        (1, started()),
        (1, in_doubt()),
        (1, handed_over(FIRST)),
        (2, CLAIMED),
        (2, handed_over(FIRST)),
    ],
    [
        (1, requested()),
        (1, started()),
        (2, CLAIMED),
        (1, in_doubt()),
        (1, handed_over(FIRST)),
        (2, declined()),
    ],
    [(1, started()), (2, CLAIMED), (2, requested()), (2, handed_over(FIRST))],
    [(1, started()), (2, CLAIMED)],
]


def payments(stories: Sequence[Story]) -> list[list[Recorded[Event]]]:
    """Each story as a payment of its own, with a key of its own."""
    return [_payment(number, story) for number, story in enumerate(stories, start=1)]


def _payment(number: int, story: Story) -> list[Recorded[Event]]:
    payment = new_payment_id(number)
    return [
        recorded(
            requested(key_hash=f"key {number}") if event == requested() else renamed(event, payment),
            offset,
            payment=payment,
            epoch=epoch,
            window=WINDOW if epoch == 1 else LATER,
            stamp_ms=(WINDOW if epoch == 1 else LATER).valid_until_ms - 1000 + offset,
        )
        for offset, (epoch, event) in enumerate(story)
    ]


async def heal(database: Database, told: Sequence[Recorded[Event]]) -> None:
    """As the projection does."""
    history: PaymentHistory | None = None
    for record in told:
        history = evolve(history, record)
    assert history is not None
    async with PostgresPaymentSink(database).transaction(PAYMENTS_TOPIC, [0]) as transaction:
        await transaction.store(PaymentChanges(owners=[history.payment]))


async def rebuild(url: str, *stretches: Sequence[Recorded[Event]]) -> Installed:
    async with reservation_rebuild(url) as rebuilding:
        await rebuilding.take_out_of_service()
        for stretch in stretches:
            records: list[RawRecord] = [raw(record) for record in stretch]
            assert await rebuilding.merge(owners_in(records, partition_for).owners) == 0
        return await rebuilding.install()


async def rows(database: Database) -> list[tuple[object, ...]]:
    found = await database.fetch(f"SELECT {COLUMNS} FROM reservations ORDER BY merchant_id, key_hash")
    return [tuple(row) for row in found]


async def structure(database: Database) -> list[tuple[object, ...]]:
    """Every column, index, trigger and option of the table and of its partitions."""
    found = await database.fetch(
        """
        SELECT c.relname, c.reloptions, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid),
            (SELECT array_agg(format('%s %s %s %s %s', attname, format_type(atttypid, atttypmod), attnotnull,
                 attcollation, pg_get_expr(adbin, adrelid)) ORDER BY attnum)
             FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
             WHERE attrelid = c.oid AND attnum > 0),
            (SELECT array_agg(pg_get_indexdef(indexrelid) ORDER BY pg_get_indexdef(indexrelid))
             FROM pg_index WHERE indrelid = c.oid),
            (SELECT array_agg(pg_get_triggerdef(t.oid) ORDER BY pg_get_triggerdef(t.oid))
             FROM pg_trigger AS t WHERE tgrelid = c.oid)
        FROM pg_class AS c WHERE c.relname LIKE 'reservations%' ORDER BY c.relname
        """
    )
    return [tuple(row) for row in found]


async def test_wherever_the_log_is_cut_into_stretches_the_rows_are_those_that_the_projection_heals(
    url: str, database: Database
) -> None:
    all_told = payments(STORIES)
    for told in all_told:
        await heal(database, told)
    healed = await rows(database)
    assert len(healed) == len(STORIES)
    for cut in range(max(map(len, STORIES)) + 1):
        first = [record for told in all_told for record in told[:cut]]
        rest = [record for told in all_told for record in told[cut:]]
        done = await rebuild(url, first, rest)
        assert (done.keys, done.payments) == (len(STORIES), len(STORIES))
        assert await rows(database) == healed, cut


async def test_the_table_has_the_structure_that_it_was_migrated_to(url: str, database: Database) -> None:
    migrated = await structure(database)
    await rebuild(url)
    assert await structure(database) == migrated


async def test_an_attempt_without_its_request_is_owned_under_its_own_id(url: str, database: Database) -> None:
    (told,) = payments([[(1, started()), (2, CLAIMED)]])
    await rebuild(url, told)
    payment = new_payment_id(1)
    assert [row[:6] for row in await rows(database)] == [("", payment, "", payment, 2, LATER.valid_until_ms)]


async def test_what_is_due_names_the_row_that_its_payment_has_now(url: str, database: Database) -> None:
    lost, kept = payments([[(1, started())], [(1, requested()), (1, started())]])
    await database.fetch(
        """
        INSERT INTO verifications (payment_id, merchant_id, key_hash, gateway, due_at_ms, urgent)
        VALUES ($1, 'merchant', 'key 1', 'alpha', 7, true), ($2, 'merchant', 'key 2', 'alpha', 8, true)
        """,
        new_payment_id(1),
        new_payment_id(2),
    )
    await rebuild(url, lost, kept)
    due = await database.fetch(
        "SELECT merchant_id, key_hash, due_at_ms FROM verifications ORDER BY payment_id"
    )
    assert [tuple(row) for row in due] == [("", new_payment_id(1), 7), ("merchant", "key 2", 8)]


async def test_a_take_over_of_what_was_never_attempted_nor_requested_owns_nothing(
    url: str, database: Database
) -> None:
    await rebuild(url, *payments([[(2, CLAIMED)]]))
    assert await rows(database) == []


async def test_of_two_payments_under_one_key_the_attempted_one_is_told_of(
    url: str, database: Database
) -> None:
    unattempted = [recorded(requested(), 0, payment=new_payment_id(1))]
    paid_for = [
        recorded(event, n, payment=new_payment_id(2)) for n, event in enumerate([requested(), started()])
    ]
    done = await rebuild(url, unattempted, paid_for)
    assert (done.keys, done.payments) == (1, 2)
    assert [row[3] for row in await rows(database)] == [new_payment_id(2)]


@pytest.mark.safety
async def test_nobody_is_admitted_from_the_first_step_to_the_last(url: str, database: Database) -> None:
    reservations = PostgresReservations(database, SystemClock(), guard_ms=750)
    free = Reservation(
        merchant_id="m",
        key_hash="free",
        fingerprint="f",
        payment_id=new_payment_id(9),
        window_ms=1000,
        customer_id="c",
        customer=customer_token(new_payment_id(9)),
    )
    async with reservation_rebuild(url) as rebuilding:
        await rebuilding.take_out_of_service()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await reservations.reserve(free)
            with pytest.raises(StoreUnavailable):
                await reservations.claim(free, 1)
            with pytest.raises(StoreUnavailable):
                await reservations.find("m", "free")
            await rebuilding.merge(owners_in([raw(recorded(requested()))], partition_for).owners)
        await rebuilding.install()
    await reservations.reserve(free)


async def test_a_rebuild_that_ends_half_way_leaves_no_table_and_the_next_one_makes_it(
    url: str, database: Database
) -> None:
    (told,) = payments(STORIES[:1])
    async with reservation_rebuild(url) as rebuilding:
        await rebuilding.take_out_of_service()
        await rebuilding.merge(owners_in(map(raw, told), partition_for).owners)
    with pytest.raises(StoreUnavailable):
        await rows(database)
    for _ in range(2):
        assert (await rebuild(url, told)).keys == 1


@pytest.mark.safety
async def test_two_rebuilds_at_once_are_one(url: str) -> None:
    async with reservation_rebuild(url):
        with pytest.raises(AnotherRebuild):
            await rebuild(url)


async def test_what_postgres_cannot_hold_is_left_out_alone(url: str, database: Database) -> None:
    told = [recorded(requested(key_hash=key), 0, payment=new_payment_id(n)) for n, key in enumerate("ab\0c")]
    async with reservation_rebuild(url) as rebuilding:
        await rebuilding.take_out_of_service()
        owners = [owner for record in told for owner in owners_in([raw(record)], partition_for).owners]
        assert await rebuilding.merge(owners) == 1
        await rebuilding.install()
    assert [row[1] for row in await rows(database)] == ["a", "b", "c"]


@pytest.mark.parametrize("table", ["reservations", "reservations_07"])
async def test_the_table_cannot_be_emptied_at_a_stroke(url: str, database: Database, table: str) -> None:
    for _ in range(2):
        with pytest.raises(asyncpg.RaiseError, match="could be paid again"):
            await database.fetch(f"TRUNCATE {table}")
        await rebuild(url)
