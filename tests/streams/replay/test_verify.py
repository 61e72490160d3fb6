"""A read model that is what the log says is found to be, and every row that is not is named."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest

from infra.kafka.partition import partition_for
from infra.local.stack import Stack
from streams.replay.plan import Plan
from streams.replay.trail import trail
from streams.replay.verify import Difference, Found, Verified, projected, verify
from tests.projections.story import new_payment_id
from tests.streams.replay.test_into_postgres import World

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    """Its database was filled from the part of the log that it knows of."""
    world = World(stack)
    await world.open()
    await world.replayed()
    yield world
    await world.close()


async def verified(world: World, plan: Plan | None = None, processes: int = 1) -> Verified:
    work = partial(verify, world.source, plan or world.plan, world.url, processes)
    return await asyncio.to_thread(work)


@pytest.mark.parametrize("processes", [1, 2])
async def test_rows_that_are_what_the_log_says_do_not_differ(world: World, processes: int) -> None:
    found = await verified(world, processes=processes)
    assert (found.payments, found.differences, found.agrees) == (40, 0, True)


async def test_a_row_that_was_changed_lost_or_made_up_is_named(world: World) -> None:
    changed, attempted, lost = world.payments[:3]  # one that is lost must not hide one that was made up
    made_up = next(
        payment
        for number in range(1_000)
        if partition_for(payment := new_payment_id(number)) == partition_for(lost)
    )
    await world.fetch(f"UPDATE payments SET status = 'FAILURE' WHERE payment_id = '{changed}'")
    await world.fetch(f"UPDATE attempts SET latency_ms = 1 WHERE payment_id = '{attempted}'")
    await world.fetch(f"DELETE FROM payments WHERE payment_id = '{lost}'")
    await world.fetch(
        "INSERT INTO payments (payment_id, status, sequence, epoch, created_at, updated_at, attempts,"
        " owned_until_ms, handed_over, offsets)"
        f"VALUES ('{made_up}', 'SUCCESS', 1, 1, now(), now(), 0, 0, false, '{{0}}')"
    )
    found = await verified(world)
    expected = [
        Difference(payment_id=changed, kind="differs", fields=("payment.status",)),
        Difference(payment_id=attempted, kind="differs", fields=("attempts",)),
        Difference(payment_id=lost, kind="missing"),
        Difference(payment_id=made_up, kind="unexpected"),
    ]
    assert sorted(found.named, key=lambda one: one.payment_id) == sorted(
        expected, key=lambda one: one.payment_id
    )


def test_however_much_differs_it_is_counted_and_the_first_of_it_by_name_kept() -> None:
    found = Found()
    ids = sorted(new_payment_id(number) for number in range(1_000))
    for some in (ids[500:], ids[:500]):
        found.note(Difference(payment_id=payment_id, kind="missing") for payment_id in some)
    assert (found.differences, found.missing) == (1_000, Counter(map(partition_for, ids)))
    assert [one.payment_id for one in found.named] == ids[:100]


async def test_a_payment_that_lost_its_row_has_its_history_all_the_same(world: World) -> None:
    lost = world.payments[0]
    before = await trail(world.source, world.url, lost)
    assert before.records
    await world.fetch(f"DELETE FROM payments WHERE payment_id = '{lost}'")
    assert await trail(world.source, world.url, lost) == before


async def test_a_projection_that_goes_on_meanwhile_is_no_difference(world: World) -> None:
    """The plan was made before the second half was taken in."""
    halves = tuple(
        part.__class__(partition=part.partition, start=part.start, stop=(part.start + part.stop) // 2)
        for part in world.plan.parts
    )
    found = await verified(world, Plan(topic=world.plan.topic, parts=halves))
    assert found.differences == 0
    assert found.payments > 0


async def test_the_plan_is_what_the_live_projection_has_taken_in(world: World) -> None:
    plan = await projected(world.source, world.url)
    assert {part.partition: part.stop for part in plan.parts} == {
        part.partition: part.stop for part in world.plan.parts
    }
