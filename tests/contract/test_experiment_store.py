"""What every store of experiments' figures promises: figures and watermarks change together, and no update is lost."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

import pytest
from msgspec.structs import replace

from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.memory.experiments import MemoryExperiments
from infra.memory.projections import MemoryDeadLetters
from infra.postgres.database import Database
from infra.postgres.experiments import PostgresExperiments
from projections.experiment_intake import ExperimentIntake
from projections.experiment_retention import forget
from projections.ports import ExposureSink
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import Unreadable
from schemas.experiment_end import SeenEnd
from schemas.exposure import ArmKey, CustomerKey, Exposure, Figures, Tally
from schemas.ids import ExperimentId, PaymentId, first_minted
from schemas.views import Watermark
from tests.projections.exposed import EXPERIMENT, LAST_MINTED, a_history, a_long_history, folded, on_the_log
from tests.projections.story import new_payment_id

ARM = ArmKey(EXPERIMENT, "treatment")
ONE, TWO = CustomerKey(*ARM, "cus_1"), CustomerKey(*ARM, "cus_2")


class Store(ExposureSink, Protocol):
    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]: ...

    def turn(self) -> AbstractAsyncContextManager[bool]: ...

    async def since_last_turn_s(self) -> float | None: ...

    async def ends(self, experiments: list[ExperimentId]) -> Mapping[ExperimentId, SeenEnd]: ...

    async def keep_end(self, experiment_id: ExperimentId, end: SeenEnd) -> None: ...

    async def forget_end(self, experiment_id: ExperimentId, version: int) -> None: ...

    async def changes(self, experiments: list[ExperimentId]) -> Mapping[ExperimentId, int]: ...

    async def tallies(
        self, experiment_id: ExperimentId
    ) -> tuple[Mapping[str, Tally], Mapping[int, Watermark]]: ...


@pytest.fixture
def store(database: Database | None) -> Store:
    return MemoryExperiments() if database is None else PostgresExperiments(database)


def mark(next_offset: int) -> Watermark:
    return Watermark(next_offset=next_offset, last_stamp_ms=1_000 + next_offset)


def an_exposure(customer: str = "cus_1") -> Exposure:
    return Exposure(experiment_id=EXPERIMENT, variant="treatment", customer_id=customer, epoch=1)


async def put(store: Store, partition: int, tally: Tally, next_offset: int, **exposures: Exposure) -> None:
    async with store.transaction(PAYMENTS_TOPIC, [partition]) as transaction:
        await transaction.store(
            exposures={PaymentId(name): exposure for name, exposure in exposures.items()},
            arms={(ARM, partition): tally},
            watermarks={partition: mark(next_offset)},
        )


async def test_a_partition_that_was_never_read_begins_at_its_first_record(store: Store) -> None:
    async with store.transaction(PAYMENTS_TOPIC, [3, 4]) as transaction:
        assert {p: one.next_offset for p, one in transaction.watermarks.items()} == {3: 0, 4: 0}
    assert await store.tallies(EXPERIMENT) == ({}, {})
    assert await store.changes([EXPERIMENT]) == {}


async def test_what_is_stored_is_read_back_with_how_far_it_reaches(store: Store) -> None:
    await put(store, 3, Tally({"payments": 2, "latency:200": 1}), 5, pay_1=an_exposure())
    async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        assert transaction.watermarks[3].next_offset == 5
        found = await transaction.load([PaymentId("pay_1"), PaymentId("pay_2")])
        assert found == {"pay_1": an_exposure()}
    tallies, marks = await store.tallies(EXPERIMENT)
    assert tallies == {"treatment": Tally({"payments": 2, "latency:200": 1})}
    assert marks[3] == mark(5)
    assert (await store.watermarks())[PAYMENTS_TOPIC, 3].next_offset == 5


async def test_how_far_the_log_was_read_is_told_of_an_experiment_of_which_nothing_was_counted(
    store: Store,
) -> None:
    await put(store, 3, Tally(payments=1), 5)
    assert await store.tallies(ExperimentId("exp_other")) == ({}, {3: mark(5)})


async def test_an_arm_is_the_sum_of_its_parts_and_of_what_was_added_to_each(store: Store) -> None:
    await put(store, 3, Tally({"payments": 2, "log_squared": 10**20, "cost:INR": 7}), 1)
    await put(store, 4, Tally({"payments": -1, "log_squared": 10**20, "cost:INR": -7}), 1)
    before = await store.changes([EXPERIMENT])
    await put(store, 3, Tally({"payments": 1, "cost:INR": 5}), 2)
    tallies, _ = await store.tallies(EXPERIMENT)
    assert tallies == {"treatment": Tally({"payments": 2, "log_squared": 2 * 10**20, "cost:INR": 5})}
    assert (await store.changes([EXPERIMENT]))[EXPERIMENT] > before[EXPERIMENT]


async def test_nothing_is_stored_of_a_transaction_that_does_not_end_well(store: Store) -> None:
    async def fail() -> None:
        async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
            await transaction.add_to_customers({ONE: Figures(exposed=1)})
            await transaction.store(
                exposures={PaymentId("pay_1"): an_exposure()},
                arms={(ARM, 3): Tally(payments=1)},
                watermarks={3: mark(1)},
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (await store.tallies(EXPERIMENT))[0] == {}
    async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        assert transaction.watermarks[3].next_offset == 0
        assert await transaction.add_to_customers({ONE: Figures(payments=1)}) == {ONE: Figures(payments=1)}


async def test_a_value_that_cannot_be_stored_is_named(store: Store) -> None:
    with pytest.raises(Unreadable):
        async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
            await transaction.add_to_customers({CustomerKey(*ARM, "a\0b"): Figures(exposed=1)})
    with pytest.raises(Unreadable):
        await put(store, 3, Tally(), 1, pay_1=an_exposure("a\0b"))


async def test_what_somebody_wrote_as_an_escape_is_a_text_like_any_other(store: Store) -> None:
    customer = CustomerKey(*ARM, r"a\u0000b")
    async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        await transaction.add_to_customers({customer: Figures(exposed=1)})
    await put(store, 3, Tally(), 1, pay_1=an_exposure(r"\\u0000"))
    async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        found = await transaction.add_to_customers({customer: Figures(exposed=1)})
        exposures = await transaction.load([PaymentId("pay_1")])
    assert found[customer].exposed == 2
    assert exposures[PaymentId("pay_1")].customer_id == r"\\u0000"


async def test_each_of_two_who_change_a_customer_at_once_is_told_what_its_own_change_made(
    store: Store,
) -> None:
    async def add(partition: int) -> list[int]:
        seen = []
        for _ in range(20):
            async with store.transaction(PAYMENTS_TOPIC, [partition]) as transaction:
                keys = [ONE, TWO] if partition == 3 else [TWO, ONE]
                now = await transaction.add_to_customers({key: Figures(payments=1) for key in keys})
                assert now.keys() == {ONE, TWO}
                seen.append(now[ONE].payments)
        return seen

    seen = await asyncio.gather(add(3), add(4), add(5))
    assert sorted(number for one in seen for number in one) == list(range(1, 61))


async def test_what_is_forgotten_is_gone_in_batches_the_oldest_first_and_arms_stay_as_they_are(
    store: Store,
) -> None:
    ids = [new_payment_id(number, 1_000 * number) for number in range(1, 6)]
    await put(store, 3, Tally({"payments": 5}), 5, **{payment_id: an_exposure() for payment_id in ids})
    other = CustomerKey(ExperimentId("exp_2"), "treatment", "cus_1")
    async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        await transaction.add_to_customers({key: Figures(exposed=1) for key in (ONE, TWO, other)})

    async def forgotten(most: int) -> int:
        async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
            return await transaction.forget(first_minted(4_000), [EXPERIMENT], most)

    assert await forgotten(2) == 2
    async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        assert set(await transaction.load(ids)) == set(ids[2:])
    assert [await forgotten(2), await forgotten(2)] == [1, 0]
    async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        assert set(await transaction.load(ids)) == set(ids[3:])
        assert await transaction.add_to_customers({ONE: Figures(payments=1), other: Figures(payments=1)}) == {
            ONE: Figures(payments=1),
            other: Figures(exposed=1, payments=1),
        }
    assert (await store.tallies(EXPERIMENT))[0] == {"treatment": Tally({"payments": 5})}


async def test_a_replay_from_the_beginning_comes_to_what_was_counted_and_forgotten_meanwhile(
    store: Store,
) -> None:
    records = a_long_history(seed=13)
    intake = ExperimentIntake(PAYMENTS_TOPIC, store, on_the_log(records), MemoryDeadLetters(), partition_for)
    for begin in range(0, len(records), 50):
        await intake.absorb(records[begin : begin + 50])
        await forget(store, PAYMENTS_TOPIC, PAYMENT_PARTITIONS, {EXPERIMENT: LAST_MINTED})
    whole, tallies = await folded(records)
    assert (await store.tallies(EXPERIMENT))[0] == tallies
    async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        kept = await transaction.load(list(whole.exposures))
        assert len(kept) < len(whole.exposures)
        nobody = Figures()
        assert set((await transaction.add_to_customers(dict.fromkeys(whole.customers, nobody))).values()) == {
            nobody
        }


async def test_of_two_who_would_judge_one_does_until_its_turn_ends(store: Store) -> None:
    async with store.turn() as ours, store.turn() as theirs:
        assert (ours, theirs) == (True, False)
    async with store.turn() as ours:
        assert ours


async def test_a_turn_that_ended_well_is_known_to_everybody(store: Store) -> None:
    assert await store.since_last_turn_s() is None

    async def fail() -> None:
        async with store.turn():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with store.turn():
        async with store.turn():
            pass
        assert await store.since_last_turn_s() is None
    elapsed_s = await store.since_last_turn_s()
    assert elapsed_s is not None
    assert 0 <= elapsed_s < 60


async def test_who_sees_an_end_first_says_when_it_was_until_it_is_forgotten_or_another_version_has_one(
    store: Store,
) -> None:
    first = SeenEnd(version=3, at=LAST_MINTED, offsets={0: 7, 11: 0})
    await store.keep_end(EXPERIMENT, first)
    await store.keep_end(EXPERIMENT, replace(first, at=first.at + timedelta(days=1), offsets={0: 9}))
    await store.keep_end(EXPERIMENT, replace(first, version=2))
    assert await store.ends([EXPERIMENT, ExperimentId("exp_other")]) == {EXPERIMENT: first}
    later = replace(first, version=5, offsets={0: 8})
    await store.keep_end(EXPERIMENT, later)
    await store.forget_end(EXPERIMENT, 3)
    assert await store.ends([EXPERIMENT]) == {EXPERIMENT: later}
    await store.forget_end(EXPERIMENT, 5)
    assert await store.ends([EXPERIMENT]) == {}


async def test_workers_of_different_partitions_come_to_the_same_sums_as_one(store: Store) -> None:
    """Their customers are the same ones; each worker takes its records in small batches, some of them twice."""
    records = a_history(seed=11, payments=150)
    log = on_the_log(records)

    async def work(ours: range) -> None:
        intake = ExperimentIntake(PAYMENTS_TOPIC, store, log, MemoryDeadLetters(), partition_for)
        mine = [record for record in records if record.partition in ours]
        for begin in range(0, len(mine), 7):
            await intake.absorb(mine[max(0, begin - 3) : begin + 7])

    await asyncio.gather(work(range(4)), work(range(4, 8)), work(range(8, 12)))
    assert (await store.tallies(EXPERIMENT))[0] == (await folded(records))[1]


async def test_of_two_workers_that_have_the_same_partition_for_a_moment_nothing_counts_twice(
    store: Store,
) -> None:
    records = a_history(seed=12, payments=100)
    log = on_the_log(records)

    async def work(size: int) -> None:
        intake = ExperimentIntake(PAYMENTS_TOPIC, store, log, MemoryDeadLetters(), partition_for)
        for begin in range(0, len(records), size):
            await intake.absorb(records[begin : begin + size])

    await asyncio.gather(work(5), work(13))
    assert (await store.tallies(EXPERIMENT))[0] == (await folded(records))[1]
