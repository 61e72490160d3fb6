"""A partition's tallies: what they are is decided by the log alone, and how much memory they take is bounded."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from infra.memory.projections import RawRecord
from projections.hot_metrics import fold
from projections.shard import CELLS_MAX, KEPT, Shard
from projections.windows import RollingWindows
from schemas.base import Event
from schemas.metrics import BUCKETS_KEPT, Buckets, Cell
from tests.projections.outcomes import DOUBT, NOW, SUCCESS, UPI, an_empty_shard, outcomes, records, told
from tests.projections.story import BEGIN, BEGIN_MS, junk, paid, raw, recorded

events: st.SearchStrategy[Event] = st.builds(
    lambda outcome, gateway, seconds, issuer: told(
        outcome, gateway=gateway, at=BEGIN - timedelta(seconds=seconds), issuer=issuer
    ),
    outcomes,
    st.sampled_from(["alpha", "beta"]),
    st.integers(0, 600),
    st.sampled_from([None, "okbank", "axis"]),
)


def folded(run: list[RawRecord]) -> Shard:
    shard = an_empty_shard()
    assert fold(shard, run) == []
    return shard


def filled(buckets: Buckets) -> Buckets:
    return {bucket: cells for bucket, cells in buckets.items() if cells}


@given(st.lists(events, max_size=30), st.randoms(use_true_random=False))
def test_in_whatever_order_outcomes_come_the_tallies_are_the_same(told: list[Event], chance: object) -> None:
    shuffled = list(told)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert filled(folded(records(told)).buckets) == filled(folded(records(shuffled)).buckets)


@given(st.lists(events, max_size=20), st.integers(1, 5))
def test_in_whatever_batches_they_come_the_changes_add_up_to_the_tallies(
    told: list[Event], size: int
) -> None:
    shard, copy, run = an_empty_shard(), Buckets(), records(told)
    for first in range(0, len(run), size):
        fold(shard, run[first : first + size])
        changes = shard.take_changes()
        for bucket, tallies in changes.tallies.items():
            cells = copy.setdefault(bucket, {})
            for cell, tally in tallies.items():
                cells.pop(cell, None)
                if tally:
                    cells[cell] = dict(tally)
    assert filled(copy) == filled(shard.buckets) == filled(folded(run).buckets)


def test_buckets_of_more_than_an_hour_ago_leave_and_are_not_counted_any_more() -> None:
    late = told(SUCCESS, at=BEGIN + timedelta(hours=2))
    shard = folded(records([told(SUCCESS)]) + records([late], 1, BEGIN_MS + 7_200_000))
    assert set(shard.buckets) == {NOW + 720}
    assert shard.take_changes().left == {NOW}
    fold(shard, records([told(DOUBT)], 2, BEGIN_MS + 7_200_000))
    assert set(shard.buckets) == {NOW + 720}
    assert shard.counts.out_of_range == 1


def test_an_attempt_of_the_future_counts_nothing() -> None:
    assert folded(records([told(SUCCESS, at=BEGIN + timedelta(minutes=5))])).buckets == {}


def test_a_partition_keeps_no_more_buckets_than_it_needs() -> None:
    shard = an_empty_shard()
    for step in range(2 * KEPT):
        at = timedelta(seconds=10 * step)
        stamp_ms = BEGIN_MS + 10_000 * step
        fold(shard, records([told(SUCCESS, at=BEGIN + at)], step, stamp_ms))
    assert BUCKETS_KEPT <= len(shard.buckets) <= KEPT
    assert shard.cells == 2


def test_finer_cells_that_are_too_many_leave_and_those_in_use_stay() -> None:
    shard = an_empty_shard()
    for number in range(3 * CELLS_MAX):
        issuers = ["okbank", f"bank{number}"]
        fold(shard, records([told(SUCCESS, issuer=name) for name in issuers], 2 * number))
    family = {cell.value for cells in shard.buckets.values() for cell in cells if cell.kind == "issuer"}
    assert len(family) <= CELLS_MAX
    assert "okbank" in family
    assert shard.counts.evicted > 0
    assert shard.buckets[NOW][UPI]["succeeded"] == 6 * CELLS_MAX
    assert shard.buckets[NOW][Cell("alpha", "UPI", "issuer", "okbank")]["succeeded"] == 3 * CELLS_MAX


def test_what_left_is_told_as_gone() -> None:
    shard = an_empty_shard()
    issuers = [told(SUCCESS, issuer=f"bank{number}") for number in range(CELLS_MAX + 1)]
    fold(shard, records(issuers[:CELLS_MAX]))
    shard.take_changes()
    fold(shard, records(issuers[CELLS_MAX:], CELLS_MAX))
    gone = [cell for cell, tally in shard.take_changes().tallies[NOW].items() if tally is None]
    assert len(gone) == shard.counts.evicted > 0


def test_a_record_that_nobody_can_read_is_dead_and_those_behind_it_count() -> None:
    shard = an_empty_shard()
    (good,) = records([told(SUCCESS)], 3)
    dead = fold(shard, [junk(0, 0), junk(0, 1, value=None), good._replace(offset=2, value=b"{"), good])
    assert [letter.position.offset for letter in dead] == [0, 1, 2]
    assert shard.next_offset == 4
    assert shard.buckets[NOW][UPI]["succeeded"] == 1


def test_events_that_are_no_outcomes_are_passed_by_without_being_decoded() -> None:
    shard = an_empty_shard()
    assert fold(shard, [raw(recorded(paid(), 0))._replace(value=b"not even JSON")]) == []
    assert shard.next_offset == 1


# Windows


def windowed(buckets: Buckets, now: int) -> RollingWindows:
    windows = RollingWindows(now)
    for bucket, cells in buckets.items():
        for cell, tally in cells.items():
            windows.put(bucket, cell, tally)
    return windows


moments = st.lists(st.tuples(st.integers(0, 500), st.integers(-400, 400), st.integers(0, 3)), max_size=40)


@given(moments)
def test_windows_that_roll_are_what_windows_made_anew_would_be(steps: list[tuple[int, int, int]]) -> None:
    now, rolling, told = NOW, RollingWindows(NOW), Buckets()
    for later, bucket, count in steps:
        if later > 400 or later % 3 == 0:
            now += later
            rolling.advance(now)
        told.setdefault(now + bucket, {})[UPI] = {"succeeded": count} if count else {}
        rolling.put(now + bucket, UPI, told[now + bucket][UPI])
        anew = windowed({b: cells for b, cells in told.items() if b > now - BUCKETS_KEPT}, now)
        assert rolling.sums(UPI) == anew.sums(UPI)
        assert rolling.history(UPI) == anew.history(UPI)
        assert set(rolling.cells()) == set(anew.cells())


def test_a_window_is_of_event_time_and_ends_with_the_bucket_of_now() -> None:
    shard = folded(records([told(SUCCESS), told(SUCCESS, at=BEGIN - timedelta(minutes=4))]))
    counts = [tally.get("succeeded", 0) for tally in windowed(shard.buckets, NOW).sums(UPI)]
    assert counts == [1, 2, 2, 2]
    counts = [tally.get("succeeded", 0) for tally in windowed(shard.buckets, NOW + 360).sums(UPI)]
    assert counts == [0, 0, 0, 0]


def test_time_that_goes_back_stands_still() -> None:
    windows = windowed({NOW: {UPI: {"succeeded": 1}}}, NOW)
    windows.advance(NOW - 100)
    assert windows.now == NOW
