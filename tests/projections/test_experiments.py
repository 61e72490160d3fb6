"""What a payment contributes to its experiment, and that sums over customers do not depend on how they were made."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.memory.experiments import MemoryExperiments
from infra.memory.projections import MemoryDeadLetters
from projections.contributions import Contribution, contribution, of_customers
from projections.experiments import evolve
from projections.statistics.latency import log_units
from schemas.base import Event
from schemas.envelope import Window
from schemas.exposure import Exposure, Figures
from tests.projections.exposed import (
    EXPERIMENT,
    FATES,
    REVIEWED,
    SETTLED,
    a_history,
    an_intake,
    assigned,
    compensated,
    folded,
    late,
    on_the_log,
)
from tests.projections.story import (
    BETA,
    SECOND,
    awaiting,
    declined,
    failed,
    in_doubt,
    not_sent,
    paid,
    raw,
    recorded,
    requested,
    routed,
    started,
    succeeded,
)

BEGUN = (requested(), assigned(), routed(), started())
COST_ALPHA, COST_BETA = 49_900 * 200, 49_900 * 190


def exposure_after(*events: Event) -> Exposure | None:
    exposure = None
    for offset, event in enumerate(events):
        exposure = evolve(exposure, recorded(event, offset))
    return exposure


def after(*events: Event) -> Contribution | None:
    exposure = exposure_after(*BEGUN, *events)
    assert exposure is not None
    return contribution(exposure)


def a_success(*, first: bool = True, latency_ms: int | None = 120, cost: int = COST_ALPHA) -> Contribution:
    return Contribution(
        succeeded=True,
        first_succeeded=first,
        latency_ms=latency_ms,
        currency="INR",
        charged_minor=49_900,
        cost=cost,
    )


def given_back(one: Contribution) -> Contribution:
    return one._replace(is_given_back=True, given_back_minor=49_900, currency="INR")


def test_a_payment_outside_experiments_is_nothing_to_them() -> None:
    assert exposure_after(requested(), routed(), started(), succeeded(), paid()) is None


def test_a_payment_counts_from_its_first_outcome_on() -> None:
    assert after() is None
    assert after(succeeded()) == a_success()
    assert after(succeeded(), paid()) == a_success()
    assert after(declined()) == after(declined(), failed()) == Contribution(latency_ms=90)


def test_a_chain_that_goes_on_is_not_a_failure_yet_and_takes_as_long_as_all_its_calls() -> None:
    assert after(declined(), started(SECOND, BETA)) is None
    assert after(declined(), started(SECOND, BETA), succeeded(SECOND, BETA)) == a_success(
        first=False, latency_ms=210, cost=COST_BETA
    )
    assert after(not_sent(), started(SECOND, BETA), declined(SECOND, BETA)) == Contribution(latency_ms=93)


def test_in_doubt_is_no_success_until_it_is_settled_and_keeps_the_latency_of_its_call() -> None:
    assert after(in_doubt()) == Contribution(latency_ms=2500, is_unknown=True)
    assert after(in_doubt(), succeeded(verified=True), paid()) == a_success(latency_ms=2500)
    assert after(in_doubt(), declined(verified=True), failed()) == Contribution(latency_ms=2500)


def test_what_the_customer_has_to_do_counts_when_it_is_done() -> None:
    assert after(awaiting()) is None
    assert after(awaiting(), succeeded(verified=True), paid()) == a_success(latency_ms=80)
    assert after(awaiting(), REVIEWED) == Contribution(latency_ms=80, in_review=True)


def test_a_payment_in_review_is_no_success_and_is_told_apart() -> None:
    assert after(in_doubt(), REVIEWED) == Contribution(latency_ms=2500, in_review=True)
    assert after(in_doubt(), REVIEWED, SETTLED, failed()) == Contribution(latency_ms=2500)


def test_a_late_success_counts_only_where_it_is_kept() -> None:
    assert after(declined(), failed(), late(kept=False)) == given_back(Contribution(latency_ms=90))
    kept = after(declined(), failed(), late(kept=True), paid())
    assert kept is not None
    assert (kept.succeeded, kept.first_succeeded) == (True, True)


def test_a_second_success_that_goes_back_leaves_the_first_one_what_it_is() -> None:
    told = after(
        in_doubt(), started(SECOND, BETA), succeeded(SECOND, BETA), paid(SECOND, BETA), late(kept=False)
    )
    assert told == given_back(a_success(first=False, latency_ms=2620, cost=COST_BETA))


def test_a_charge_that_is_given_back_is_counted_with_its_amount_from_the_decision_on() -> None:
    decided = after(declined(), failed(), late(kept=False))
    assert decided == after(declined(), failed(), late(kept=False), compensated())
    assert decided == after(declined(), failed(), compensated()) == given_back(Contribution(latency_ms=90))
    kept = after(declined(), failed(), late(kept=True), paid())
    assert kept is not None
    assert not kept.is_given_back


def test_a_call_that_nobody_saw_end_has_no_latency() -> None:
    assert after(succeeded(verified=True), paid()) == a_success(latency_ms=None)


def test_a_void_record_says_nothing() -> None:
    exposure = exposure_after(*BEGUN)
    void = recorded(succeeded(), 9, window=Window(valid_from_ms=0, valid_until_ms=1))
    assert evolve(exposure, void) is exposure


def test_a_payment_that_is_started_afresh_outside_the_experiment_leaves_it() -> None:
    exposure = exposure_after(requested(), assigned(), routed())
    exposure = evolve(exposure, recorded(routed(), 3, epoch=2))
    exposure = evolve(exposure, recorded(started(), 4, epoch=2))
    exposure = evolve(exposure, recorded(succeeded(), 5, epoch=2))
    assert exposure is not None
    assert exposure.is_withdrawn
    assert contribution(exposure) is None


def test_a_payment_that_is_started_afresh_is_in_the_experiment_of_then() -> None:
    exposure = exposure_after(requested(), assigned(), routed())
    exposure = evolve(exposure, recorded(assigned("control", experiment="exp_2"), 3, epoch=2))
    exposure = evolve(exposure, recorded(routed(), 4, epoch=2))
    assert exposure is not None
    assert (exposure.experiment_id, exposure.is_withdrawn) == ("exp_2", False)
    assert exposure.fees_bps == {"alpha": 200, "beta": 190}


def test_an_assignment_from_before_there_were_results_is_left_out() -> None:
    assert exposure_after(assigned(customer="")) is None


def test_an_arm_has_the_sums_over_its_customers() -> None:
    one = of_customers(Figures(), Figures(exposed=2, payments=2, succeeded=1, timed=1, log_units=7_000))
    two = of_customers(
        Figures(exposed=2, payments=2, succeeded=1, timed=1, log_units=7_000),
        Figures(exposed=3, payments=3, succeeded=2, first_succeeded=1, timed=2, log_units=14_000),
    )
    both = Counter(one)
    both.update(two)
    assert {name: count for name, count in both.items() if count} == {
        "assigned": 1,
        "customers": 1,
        "payments": 3,
        "payments_squared": 9,
        "succeeded": 2,
        "succeeded_squared": 4,
        "succeeded_product": 6,
        "first_succeeded": 1,
        "first_succeeded_squared": 1,
        "first_succeeded_product": 3,
        "timed_customers": 1,
        "timed": 2,
        "timed_squared": 4,
        "log": 14_000,
        "log_squared": 14_000**2,
        "log_product": 28_000,
    }


# Laws


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 40), min_size=1), stop=st.integers(0, 400))
async def test_any_prefix_in_any_batches_comes_to_the_same_sums(
    seed: int, sizes: list[int], stop: int
) -> None:
    records = a_history(seed)[:stop]
    whole, tallies = await folded(records)
    store, log = MemoryExperiments(), on_the_log(records)
    intake, place, turn = an_intake(store, log), 0, 0
    while place < len(records):
        size = sizes[turn % len(sizes)]
        again = records[max(0, place - size) : place + size]  # as Faust repeats some after a restart
        await intake.absorb(again)
        place, turn = place + size, turn + 1
    assert (await store.tallies(EXPERIMENT))[0] == tallies
    assert store.customers == whole.customers
    assert store.exposures == whole.exposures


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
async def test_the_sums_are_those_of_the_payments_as_they_came_out(seed: int) -> None:
    """By another way: all customers at the end, and nothing of how they came there."""
    store, tallies = await folded(a_history(seed))
    told = {payment: contribution(exposure) for payment, exposure in store.exposures.items()}
    for variant, tally in tallies.items():
        ours = {p: e for p, e in store.exposures.items() if e.variant == variant}
        counted = {payment: one for payment in ours if (one := told[payment]) is not None}
        by_customer: dict[str, list[Contribution]] = {}
        for payment, one in counted.items():
            by_customer.setdefault(ours[payment].customer_id, []).append(one)
        paid_often = [len(one) for one in by_customer.values()]
        successes = [sum(each.succeeded for each in one) for one in by_customer.values()]
        logs = [
            sum(log_units(each.latency_ms) for each in one if each.latency_ms is not None)
            for one in by_customer.values()
        ]
        assert tally["exposed"] == len(ours)
        assert tally["assigned"] == len({one.customer_id for one in ours.values()})
        assert (tally["customers"], tally["payments"]) == (len(by_customer), len(counted))
        assert tally["payments_squared"] == sum(n * n for n in paid_often)
        assert tally["succeeded"] == sum(successes)
        assert tally["succeeded_squared"] == sum(n * n for n in successes)
        assert tally["succeeded_product"] == sum(n * s for n, s in zip(paid_often, successes, strict=True))
        assert (tally["log"], tally["log_squared"]) == (sum(logs), sum(n * n for n in logs))
        assert tally["unknown"] == sum(one.is_unknown for one in counted.values())
        assert tally["given_back"] == sum(one.is_given_back for one in counted.values())
        assert tally["given_back:INR"] == sum(one.given_back_minor for one in counted.values())
        assert tally["cost:INR"] == sum(one.cost for one in counted.values())
        bins = {name: count for name, count in tally.items() if name.startswith("latency:")}
        assert sum(bins.values()) == tally["timed"]


async def test_a_record_that_cannot_be_read_is_a_dead_letter_and_those_behind_it_count() -> None:
    records = [raw(recorded(event, offset)) for offset, event in enumerate((*BEGUN, *FATES[0]))]
    records[2] = records[2]._replace(value=b"{")
    letters, store = MemoryDeadLetters(), MemoryExperiments()
    intake = an_intake(store, on_the_log(records), letters)
    await intake.absorb(records)
    assert [letter.position.offset for letter in letters.published] == [2]
    assert intake.counts.dead == 1
    (tally,) = (await store.tallies(EXPERIMENT))[0].values()
    assert tally["succeeded"] == 1


async def test_a_gap_is_filled_from_the_log_first() -> None:
    records = a_history(7)
    store = MemoryExperiments()
    intake = an_intake(store, on_the_log(records))
    last = {record.partition: record for record in records}
    await intake.absorb(last.values())
    assert (await store.tallies(EXPERIMENT))[0] == (await folded(records))[1]
    assert intake.counts.fetched_from_gaps > 0


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: "-".join(type(one).__name__ for one in fate))
def test_a_payment_never_counts_twice(fate: tuple[Event, ...]) -> None:
    once = after(*fate)
    assert after(*(event for event in fate for _ in range(2))) == once
