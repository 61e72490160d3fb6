"""What is published: rates with their intervals, and whose fault what was."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from projections.figures import figures, routing_cell, wilson, window_figures
from projections.hot_metrics import fold
from projections.windows import RollingWindows
from schemas.base import Event
from schemas.metrics import Cell, ErrorCount, WindowFigures
from schemas.outcome import NotSent, Outcome, is_gateways_fault
from tests.projections.outcomes import (
    AWAITING,
    BUSY,
    DOUBT,
    NOW,
    SUCCESS,
    UNREACHED,
    UPI,
    an_empty_shard,
    decline,
    outcomes,
    records,
    told,
)
from tests.projections.story import BEGIN


def windows_of(*events: Event) -> RollingWindows:
    shard, windows = an_empty_shard(), RollingWindows(NOW)
    fold(shard, records(events))
    for bucket, cells in shard.buckets.items():
        for cell, tally in cells.items():
            windows.put(bucket, cell, tally)
    return windows


def of_an_hour(*events: Event) -> WindowFigures:
    return window_figures(windows_of(*events).sums(UPI))["60m"]


@pytest.mark.parametrize(("succeeded", "of"), [(0, 1), (1, 1), (7, 10), (0, 500), (9_312, 10_000)])
def test_the_interval_is_that_of_wilson(succeeded: int, of: int) -> None:
    exact = binomtest(succeeded, of).proportion_ci(0.95, method="wilson")
    assert wilson(succeeded, of) == pytest.approx((exact.low, exact.high))


def test_only_what_the_gateway_is_to_blame_for_counts_against_it() -> None:
    said = [
        SUCCESS,
        decline("customer"),
        decline("risk"),
        decline("caller"),
        decline("issuer"),
        BUSY,
        AWAITING,
    ]
    shown = of_an_hour(*map(told, said))
    assert (shown.attempts, shown.succeeded, shown.success_rate) == (7, 1, 1.0)

    shown = of_an_hour(*map(told, [*said, decline("gateway"), UNREACHED]))
    assert shown.gateway_faults == 2
    assert shown.success_rate == pytest.approx(1 / 3)
    assert shown.declined == {"customer": 1, "risk": 1, "caller": 1, "issuer": 1, "gateway": 1}


@pytest.mark.parametrize("reason", NotSent.__annotations__["reason"].__args__)
def test_what_was_not_sent_counts_against_it_exactly_where_the_outcome_says_so(reason: object) -> None:
    outcome = NotSent(reason=reason)  # type: ignore[arg-type]
    assert bool(of_an_hour(told(outcome)).gateway_faults) == is_gateways_fault(outcome)


def test_what_is_in_doubt_lowers_the_rate_until_it_is_settled() -> None:
    doubtful = [told(SUCCESS), told(DOUBT, latency_ms=2_500)]
    assert of_an_hour(*doubtful).success_rate == 0.5
    assert of_an_hour(*doubtful).latency_ms_p99 == pytest.approx(120, rel=0.01)

    shown = of_an_hour(*doubtful, told(SUCCESS, instead_of=DOUBT, verified=True))
    assert (shown.attempts, shown.in_doubt, shown.success_rate) == (2, 0, 1.0)


def test_a_correction_of_what_has_left_leaves_no_count_below_none() -> None:
    """Its cell was evicted in between, so that only the correction is in it."""
    late = [told(SUCCESS, instead_of=DOUBT), told(decline("gateway"), instead_of=SUCCESS)]
    shown = of_an_hour(*late, told(SUCCESS), told(AWAITING, instead_of=UNREACHED))
    assert shown.success_rate == 0.5
    assert (shown.attempts, shown.succeeded, shown.gateway_faults, shown.in_doubt) == (3, 1, 1, 0)
    assert all(error.count > 0 for error in shown.errors)
    assert shown.not_sent == 0


@given(st.lists(st.tuples(outcomes, st.none() | outcomes), max_size=8))
def test_whatever_was_evicted_rates_and_counts_are_what_they_can_be(
    story: list[tuple[Outcome, Outcome | None]],
) -> None:
    windows = windows_of(*(told(said, instead_of=before) for said, before in story if said != before))
    shown, routing = window_figures(windows.sums(UPI))["60m"], routing_cell(windows, UPI)
    counts = (shown.succeeded, shown.gateway_faults, shown.in_doubt, shown.not_sent, shown.awaiting_customer)
    assert min(*counts, routing.succeeded_15m, routing.failed_15m, *shown.declined.values()) >= 0
    assert all(min(counted) >= 0 for _, *counted in routing.history)
    if shown.success_rate is not None:
        assert shown.success_rate_low is not None
        assert shown.success_rate_high is not None
        assert 0 <= shown.success_rate_low <= shown.success_rate <= shown.success_rate_high <= 1


def test_errors_are_told_by_class_and_blame_the_most_frequent_first() -> None:
    assert of_an_hour(*map(told, [UNREACHED, decline(), decline(), DOUBT, SUCCESS])).errors == (
        ErrorCount(kind="declined", code="issuer_unavailable", count=2, blame="issuer"),
        ErrorCount(kind="in_doubt", code="read_timeout", count=1),
        ErrorCount(kind="not_sent", code="connect", count=1),
    )


def test_of_nothing_there_is_no_rate() -> None:
    nothing = figures({})
    assert (nothing.attempts, nothing.success_rate, nothing.latency_ms_p50) == (0, None, None)


def test_a_method_and_a_segment_have_their_history_and_other_cells_sums_of_fifteen_minutes() -> None:
    events = [
        told(said, at=BEGIN - timedelta(minutes=minutes), segment="small", issuer="okbank")
        for said, minutes in [(SUCCESS, 0), (DOUBT, 0), (decline("issuer"), 0), (UNREACHED, 20)]
    ]
    windows = windows_of(*events)
    history = ((NOW - 120, 0, 1), (NOW, 1, 1))
    for cell in (UPI, Cell("alpha", "UPI", "segment", "small")):
        shown = routing_cell(windows, cell)
        assert (shown.history, shown.succeeded_15m, shown.failed_15m) == (history, 1, 1)
        assert shown.latency_ms_p95 == pytest.approx(120, rel=0.01)
    issuer = routing_cell(windows, Cell("alpha", "UPI", "issuer", "okbank"))
    assert (issuer.history, issuer.succeeded_15m, issuer.failed_15m) == ((), 1, 1)
