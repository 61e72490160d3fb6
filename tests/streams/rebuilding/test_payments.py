"""The command as an operator types it: what is rebuilt is what was there, and nobody notices."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from signal import SIGKILL

import pytest

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.local.stack import Stack
from infra.postgres.database import Database
from schemas.codec import PAYMENTS_TOPIC
from schemas.ids import PaymentId
from schemas.views import PaymentView
from tests.projections.story import (
    paid,
    requested,
    routed,
    started,
    succeeded,
)
from tests.streams.rebuilding.world import EFFECTS, World, ends, rows_of

pytestmark = pytest.mark.integration

DONE, DIFFERS, REFUSED = 0, 1, 4


@pytest.fixture
def opened(stack: Stack) -> World:
    return World(stack)


@pytest.fixture
async def world(opened: World) -> AsyncIterator[World]:
    await opened.open()
    yield opened
    await opened.close()


async def test_what_is_rebuilt_is_what_was_there_and_takes_its_place(world: World) -> None:
    await world.tell(200)
    await world.catch_up()
    rows, effects = await world.rows(), await world.rows(EFFECTS)
    code, said = await world.types("payments")
    assert (code, "are alike" in said) == (DONE, True), said
    assert await world.rows() == rows
    assert await world.rows(EFFECTS) == effects
    assert await world.schemas() == {"payments_previous"}

    await world.tell(20)
    await world.catch_up()
    assert len((await world.rows())["payments"]) == len(rows["payments"]) + 20


async def test_a_live_row_that_is_wrong_is_shown_and_nothing_is_switched_until_that_is_accepted(
    world: World,
) -> None:
    payment, *_ = await world.tell(40)
    await world.catch_up()
    rows = await world.rows()
    await world.fetch("UPDATE payments SET routing_reason = 'a slip' WHERE payment_id = $1", payment)

    code, said = await world.types("payments")
    assert code == DIFFERS
    assert f"{payment} payments  routing_reason: 'a slip', rebuilt 'lowest priority number'" in said
    assert await world.rows() != rows
    code, _ = await world.types("payments", "--accept", "attempts")
    assert code == DIFFERS
    code, said = await world.types("payments", "--accept", "payments.routing_reason")
    assert code == DONE, said
    assert await world.rows() == rows


async def test_a_program_is_told_what_differs_and_what_stands(world: World) -> None:
    payment, *_ = await world.tell(4)
    await world.catch_up()
    await world.fetch("UPDATE payments SET routing_reason = 'a slip' WHERE payment_id = $1", payment)
    code, said = await world.types("payments", "--json")
    assert code == DIFFERS, said
    found = json.loads(said[said.index("{") :])
    assert (found["differ"], found["columns"]) == (1, {"payments.routing_reason": 1})
    assert found["examples"][0]["payment_id"] == payment
    code, said = await world.types("status", "--json")
    assert (code, json.loads(said)) == (DONE, {"behind": {"payments_next": 0}})


async def test_a_program_is_told_what_was_switched_back_and_what_was_dropped(world: World) -> None:
    await world.tell(4)
    await world.catch_up()
    await world.types("payments")
    for verb, told in (
        ("rollback", {"is_switched": True}),
        ("drop", {"dropped": ["payments_previous"]}),
        ("drop", {"dropped": []}),
    ):
        code, said = await world.types(verb, "--json")
        assert (code, json.loads(said[said.index("{") :])) == (DONE, told), said


@pytest.mark.parametrize("table", ["payments", "attempts", "routing_decisions"])
async def test_rows_that_are_missing_or_too_many_are_found(world: World, table: str) -> None:
    payment, *_ = await world.tell(8)
    await world.catch_up()
    await world.fetch(f"DELETE FROM {table} WHERE payment_id = $1", payment)
    code, said = await world.types("payments", "--verify-only")
    assert (code, f"{table}.*: 1 rows" in said) == (DIFFERS, True), said


async def test_verifying_only_keeps_what_was_made_and_changes_nothing_live(world: World) -> None:
    await world.tell(20)
    await world.catch_up()
    code, said = await world.types("payments", "--verify-only")
    assert (code, "stands beside" in said) == (DONE, True), said
    assert await world.schemas() == {"payments_next"}
    _, said = await world.types("status")
    assert "payments_next: 0 records behind the live tables" in said
    code, said = await world.types("drop")
    assert (code, "dropped payments_next" in said) == (DONE, True), said
    assert await world.schemas() == set()


async def test_the_last_records_are_compared_too_and_counted(world: World) -> None:
    await world.tell(20)
    await world.catch_up()
    _, said = await world.types("payments", "--verify-only")
    payment, *_ = await world.tell(20)
    await world.catch_up()
    alike = f"{len((await world.rows())['payments']):,} payments are alike"

    await world.fetch("UPDATE payments SET routing_reason = 'a slip' WHERE payment_id = $1", payment)
    code, said = await world.types("payments", "--verify-only")
    assert (code, payment in said) == (DIFFERS, True), said
    await world.fetch(
        "UPDATE payments SET routing_reason = 'lowest priority number' WHERE payment_id = $1", payment
    )
    await world.types("drop")
    for words in (("--verify-only",), ()):
        code, said = await world.types("payments", *words)
        assert (code, alike in said) == (DONE, True), said

    payment, *_ = await world.tell(20)
    await world.catch_up()
    await world.fetch("UPDATE payments SET routing_reason = 'a slip' WHERE payment_id = $1", payment)
    code, said = await world.types("drop")
    assert (code, await world.schemas()) == (DIFFERS, {"payments_previous"}), said


async def test_partitions_that_never_had_a_payment_do_not_hold_a_rebuild_up(world: World) -> None:
    payment, *_ = await world.tell(1)
    partition = partition_for(payment)
    end = await world.reader.end_offset(PAYMENTS_TOPIC, partition)
    await world.live.absorb(await world.reader.read(PAYMENTS_TOPIC, partition, end - 1, end))
    rows = await world.rows()
    code, said = await world.types("payments")
    assert code == DONE, said
    assert await world.rows() == rows


async def test_what_can_be_read_by_now_is_an_error_no_more_after_the_switch_and_one_again_after_the_way_back(
    world: World,
) -> None:
    await world.tell(4)
    await world.catch_up()
    payment, *_ = await world.tell(1)
    await world.misread(payment)
    await world.catch_up()
    errors = await world.rows(EFFECTS)
    code, said = await world.types("payments", "--accept", "payments", "--accept", "attempts")
    assert code == DONE, said
    code, said = await world.types_command("verify", "payments")
    assert (code, ": 0 differences" in said) == (DONE, True), said
    code, said = await world.types("rollback")
    assert code == DONE, said
    assert await world.rows(EFFECTS) == errors
    code, said = await world.types_command("verify", "payments")
    assert (code, ": 0 differences" in said) == (DONE, True), said


async def test_going_back_brings_the_previous_rows_up_to_date_and_may_be_undone(world: World) -> None:
    await world.tell(20)
    await world.catch_up()
    await world.types("payments")
    await world.tell(20)
    await world.catch_up()
    rows = await world.rows()
    for _ in range(2):
        code, said = await world.types("rollback")
        assert code == DONE, said
        assert await world.rows() == rows
        assert await world.schemas() == {"payments_previous"}


async def test_the_previous_rows_are_dropped_only_when_they_say_what_the_live_ones_say(world: World) -> None:
    payment, *_ = await world.tell(20)
    await world.catch_up()
    await world.types("payments")
    code, said = await world.types("payments")
    assert (code, "the previous generation stands" in said) == (REFUSED, True), said
    await world.fetch("UPDATE payments SET routing_reason = 'a slip' WHERE payment_id = $1", payment)
    code, _ = await world.types("drop")
    assert (code, await world.schemas()) == (DIFFERS, {"payments_previous"})
    await world.fetch(
        "UPDATE payments SET routing_reason = 'lowest priority number' WHERE payment_id = $1", payment
    )
    code, said = await world.types("drop")
    assert (code, await world.schemas()) == (DONE, set()), said


async def test_a_worker_forgets_what_it_remembers_of_rows_that_were_replaced(world: World) -> None:
    slow = await half_told(world)
    await world.catch_up()
    await world.fetch("UPDATE payments SET routing_reason = 'a slip' WHERE payment_id = $1", slow)
    world.live = world.another_live()
    await world.say(slow, [started()], already=2)
    await world.catch_up()
    assert (await reason_of(world, slow)) == "a slip"  # what it remembers is wrong now

    code, said = await world.types("payments", "--accept", "payments.routing_reason")
    assert code == DONE, said
    await world.say(slow, [succeeded(), paid()], already=3)
    await world.catch_up()
    assert (await reason_of(world, slow)) == "lowest priority number"


async def half_told(world: World) -> PaymentId:
    payment = SystemClock().payment_id()
    await world.say(payment, [requested(), routed()])
    return payment


async def reason_of(world: World, payment: PaymentId) -> str | None:
    history, _ = await world.views.find(payment)
    assert history is not None
    return history.payment.routing_reason


async def test_nobody_notices_a_rebuild_a_switch_and_a_way_back(world: World) -> None:
    told = await world.tell(100)
    await world.catch_up()
    async with traffic(world, told) as seen:
        for words in (("payments",), ("rollback",), ("rollback",)):
            code, said = await world.types(*words)
            assert code == DONE, said
    assert seen
    await world.catch_up()
    code, said = await world.types("drop")
    assert code == DONE, said
    code, said = await world.types("payments", "--verify-only")
    assert code == DONE, said


@asynccontextmanager
async def traffic(world: World, told: list[PaymentId]) -> AsyncIterator[list[PaymentView]]:
    """The live projection takes in payments, and others read them, all the time; what one of them raises is raised."""
    seen: list[PaymentView] = []
    chance, is_over = Random(7), asyncio.Event()

    async def live() -> None:
        while not is_over.is_set():
            told.extend(await world.tell(5))
            await world.catch_up()
            await asyncio.sleep(0.05)

    async def read() -> None:
        while not is_over.is_set():
            payment = chance.choice(told)
            history, watermark = await world.views.find(payment)
            if history is not None:
                assert await world.views.attempts(payment)
                await world.views.decisions(payment)
                offsets, next_offset = await world.views.offsets(payment)
                assert max(offsets) < next_offset
                assert watermark.next_offset <= next_offset
                seen.append(history.payment)
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group:
        for duty in (live, read, read, read):
            group.create_task(duty())
        yield seen
        is_over.set()


async def test_one_that_is_killed_at_any_moment_leaves_the_live_rows_whole_and_goes_on(world: World) -> None:
    await world.tell(2_000)
    await world.catch_up()
    rows = await world.rows()
    chance = Random(11)
    for _ in range(6):
        process = await world.begins("payments")
        await asyncio.sleep(1 + 4 * chance.random())
        if process.returncode is None:
            process.kill()
        await ends(process)
        assert await world.rows() == rows
        if "payments_previous" in await world.schemas():  # it was through before it was killed
            break
    code, said = await world.types("payments")
    assert code == (REFUSED if "the previous generation stands" in said else DONE), said
    assert await world.rows() == rows


async def test_a_worker_that_is_killed_during_rebuild_and_switches_loses_nothing(world: World) -> None:
    await world.tell(500)
    worker = world.worker()
    worker.start()
    await world.reaches_the_end()
    chance = Random(5)
    try:
        for words in (("payments",), ("rollback",), ("rollback",)):
            command = await world.begins(*words)
            await world.tell(50)
            await asyncio.sleep(2 + 4 * chance.random())
            worker.signal(SIGKILL)
            worker.start()
            code, said = await ends(command)
            assert code == DONE, said
        await world.reaches_the_end()
    finally:
        worker.close()
    code, said = await world.types("drop")
    assert code == DONE, said
    code, said = await world.types("payments", "--verify-only")
    assert code == DONE, said


async def test_verify_and_a_replay_find_what_is_live_during_a_switch_and_the_way_back_and_after_each(
    world: World,
) -> None:
    payment, *_ = await world.tell(100)
    await world.catch_up()
    for words in (("payments",), ("rollback",)):
        switched, verified = await asyncio.gather(
            world.types(*words), world.types_command("verify", "payments")
        )
        assert (switched[0], verified[0]) == (DONE, DONE), (switched, verified)

        await world.tell(20)
        await world.catch_up()
        code, said = await world.types_command("verify", "payments")
        assert (code, ": 0 differences" in said) == (DONE, True), said
        assert await replayed(world) == await world.rows()

        await world.fetch("UPDATE payments SET routing_reason = 'a slip' WHERE payment_id = $1", payment)
        code, said = await world.types_command("verify", "payments")
        assert (code, ": 1 differences" in said, payment in said) == (DIFFERS, True, True), said
        await world.fetch(
            "UPDATE payments SET routing_reason = 'lowest priority number' WHERE payment_id = $1", payment
        )


async def replayed(world: World) -> dict[str, list[str]]:
    """The rows that a replay beside comes to; the second one goes on from where the first one ended."""
    url = f"{world.settings.database_url}_beside"
    code, said = await world.types_command("replay", "payments", "--into", url)
    assert code == DONE, said
    database = await Database.connect(url)
    try:
        return await rows_of(database)
    finally:
        await database.close()


async def test_of_two_at_once_one_is_refused(world: World) -> None:
    await world.tell(200)
    await world.catch_up()
    both = [await world.begins("payments", "--verify-only") for _ in range(2)]
    answers = await asyncio.gather(*map(ends, both))
    assert {code for code, _ in answers} == {DONE, REFUSED}, answers


async def test_tables_that_were_migrated_meanwhile_are_not_switched_to(world: World) -> None:
    await world.tell(8)
    await world.catch_up()
    await world.types("payments", "--verify-only")
    await world.fetch("ALTER TABLE attempts ADD COLUMN mood text")
    code, said = await world.types("payments")
    assert (code, "attempts.mood" in said) == (REFUSED, True), said
    assert (await world.types("drop"))[0] == DONE
    code, said = await world.types("payments")
    assert code == DONE, said


async def test_a_log_that_ends_before_what_was_projected_is_refused(world: World) -> None:
    await world.tell(8)
    await world.catch_up()
    await world.fetch("UPDATE watermarks SET next_offset = next_offset + 1000000 WHERE partition = 3")
    code, said = await world.types("payments")
    assert (code, "records were lost" in said) == (REFUSED, True), said
