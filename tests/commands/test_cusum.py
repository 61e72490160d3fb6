"""The CUSUMs, by their Markov chains: exact, so that no seed decides."""

import pytest

from commands.cusum import CHARTS
from tests.commands.markov import LEAST_RUN, best_charts, false_alarms, run_length, run_length_of_both

of_every_baseline = pytest.mark.parametrize("percent", CHARTS)


def test_there_are_charts_for_every_baseline() -> None:
    assert list(CHARTS) == list(range(80, 100))


@of_every_baseline
def test_the_table_is_that_of_the_markov_chain(percent: int) -> None:
    assert CHARTS[percent] == best_charts(percent)


@of_every_baseline
def test_each_chart_runs_for_two_million_calls_until_a_false_alarm(percent: int) -> None:
    for chart in CHARTS[percent]:
        assert run_length(chart, percent / 100) >= LEAST_RUN


@of_every_baseline
def test_of_ten_thousand_calls_at_most_one_percent_open_falsely(percent: int) -> None:
    fast, slow = CHARTS[percent]
    assert false_alarms(fast, percent / 100, 10_000) + false_alarms(slow, percent / 100, 10_000) <= 0.01


@of_every_baseline
def test_a_hard_outage_is_seen_in_about_ten_calls(percent: int) -> None:
    assert run_length_of_both(CHARTS[percent], 0.05) <= 14.5


@pytest.mark.parametrize(("rate", "calls"), [(0.7, 90), (0.5, 27), (0.3, 14), (0.05, 9)])
def test_at_a_baseline_of_90_percent_every_drop_is_seen_in_time(rate: float, calls: int) -> None:
    assert run_length_of_both(CHARTS[90], rate) <= calls


def test_the_chain_agrees_with_what_others_computed() -> None:
    """Exact run lengths of three charts, computed apart from ours."""
    for (weight, threshold), percent, calls in (
        ((5, 23), 95, 1.66e6),
        ((4, 24), 90, 1.13e6),
        ((3, 19), 85, 1.27e6),
    ):
        chart = type(CHARTS[90].fast)(weight, threshold)
        assert run_length(chart, percent / 100) == pytest.approx(calls, rel=0.01)


def test_a_failure_adds_its_weight_and_a_success_takes_one_away_but_never_below_zero() -> None:
    charts = CHARTS[90]
    assert charts.counted(0, 5, False) == (0, 4)
    assert charts.counted(0, 5, True) == (charts.fast.weight - 1, 5 + charts.slow.weight - 1)


@of_every_baseline
def test_no_change_of_baseline_raises_an_alarm(percent: int) -> None:
    charts = CHARTS[percent]
    for other in CHARTS.values():
        for fast in range(charts.fast.threshold):
            assert charts.rescaled(fast, 0, other)[0] < other.fast.threshold
        for slow in range(charts.slow.threshold):
            assert charts.rescaled(0, slow, other)[1] < other.slow.threshold
