"""What is forgotten of exposed payments changes no figure, neither then nor in a replay."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.memory.experiments import MemoryExperiments
from projections.experiment_retention import COUNTED_FOR, forget
from projections.experiments import evolve
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import ALWAYS
from schemas.ids import minted_ms
from tests.projections.exposed import (
    DAY_MS,
    EXPERIMENT,
    LAST_MINTED,
    a_long_history,
    an_intake,
    assigned,
    folded,
    on_the_log,
)
from tests.projections.story import BEGIN, BEGIN_MS, recorded, started, succeeded

COUNTED_MS = COUNTED_FOR // timedelta(milliseconds=1)


def test_an_event_counts_until_sixty_days_after_its_payment_was_minted() -> None:
    first = evolve(None, recorded(assigned()))
    exposure = evolve(first, recorded(started(), 1))
    last = recorded(succeeded(), 2, window=ALWAYS, stamp_ms=BEGIN_MS + COUNTED_MS - 1)
    assert evolve(exposure, last) is not exposure
    late = recorded(succeeded(), 2, window=ALWAYS, stamp_ms=BEGIN_MS + COUNTED_MS)
    assert evolve(exposure, late) is exposure
    assert evolve(None, recorded(assigned(), 2, window=ALWAYS, stamp_ms=BEGIN_MS + COUNTED_MS)) is None


async def test_nothing_is_forgotten_before_every_partition_was_read() -> None:
    records = a_long_history(1)
    store = MemoryExperiments()
    unread = records[-1].partition
    await an_intake(store, on_the_log(records)).absorb([one for one in records if one.partition != unread])
    before = dict(store.exposures)
    assert not await forget(store, PAYMENTS_TOPIC, PAYMENT_PARTITIONS, {EXPERIMENT: BEGIN})
    assert store.exposures == before


async def test_payments_of_which_something_may_still_be_told_are_kept() -> None:
    store, _ = await folded(a_long_history(2))
    read_until_ms = min(mark.last_stamp_ms for mark in store.marks.values())
    before = set(store.exposures)
    await forget(store, PAYMENTS_TOPIC, PAYMENT_PARTITIONS, {})
    forgotten = before - set(store.exposures)
    assert forgotten
    assert all(minted_ms(payment) + COUNTED_MS + DAY_MS < read_until_ms for payment in forgotten)
    assert all(minted_ms(payment) + COUNTED_MS + DAY_MS >= read_until_ms for payment in store.exposures)


async def test_customers_of_an_experiment_are_kept_as_long_as_its_last_payment_counts() -> None:
    store, tallies = await folded(a_long_history(3))
    read_until_ms = min(mark.last_stamp_ms for mark in store.marks.values())
    just = BEGIN + timedelta(milliseconds=read_until_ms - BEGIN_MS - COUNTED_MS)
    await forget(store, PAYMENTS_TOPIC, PAYMENT_PARTITIONS, {EXPERIMENT: just})
    assert store.customers
    await forget(store, PAYMENTS_TOPIC, PAYMENT_PARTITIONS, {EXPERIMENT: just - timedelta(days=2)})
    assert not store.customers
    assert (await store.tallies(EXPERIMENT))[0] == tallies


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 60), min_size=1))
async def test_figures_with_things_forgotten_in_between_are_those_of_a_replay_that_forgets_nothing(
    seed: int, sizes: list[int]
) -> None:
    records = a_long_history(seed)
    ended = {EXPERIMENT: LAST_MINTED}
    store, log = MemoryExperiments(), on_the_log(records)
    intake, place, turn = an_intake(store, log), 0, 0
    while place < len(records):
        size = sizes[turn % len(sizes)]
        await intake.absorb(records[place : place + size])
        await forget(store, PAYMENTS_TOPIC, PAYMENT_PARTITIONS, ended)
        place, turn = place + size, turn + 1
    assert (await store.tallies(EXPERIMENT))[0] == (await folded(records))[1]
