"""The simulated experiments are what they say they are, their verdicts those that ship, and every figure is printed."""

import json
from argparse import ArgumentParser
from math import inf

import numpy as np
import pytest

from projections.statistics.latency import latency
from projections.statistics.sums import Sums
from tests.bench import experiments
from tests.bench.experiments_figures import median, share
from tests.bench.experiments_folded import DEAD, KINDS, Lot
from tests.bench.experiments_intervals import POPULATIONS, a_tally, always_valid_logs, truth
from tests.bench.experiments_looks import Found, Plan, first, found, is_paused, is_won, judged
from tests.bench.experiments_world import (
    Crowd,
    Dealer,
    Looks,
    at_looks,
    crowd,
    hashed_buckets,
    log_latency,
    once,
    success,
)

HALVES = (5_000, 5_000)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_customers_are_in_the_arms_in_which_the_hash_puts_them() -> None:
    dealer = Dealer(np.array([hashed_buckets(1_200, salt) for salt in range(20)]))
    blocks = list(dealer.dealt((7_000, 1_000, 2_000), 12, 2_000))
    assert [block.shape for block in blocks] == [(5, 2_000), (5, 2_000), (2, 2_000)]
    shares = np.bincount(np.concatenate(blocks).ravel()) / 24_000
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.01)


def test_every_look_sees_one_customer_more(rng: np.random.Generator) -> None:
    arms = rng.integers(3, size=(4, 50)).astype(np.int8)
    looks = once(rng, arms, (0.5, 0.5, 0.5))
    assert np.array_equal(sum(arm.customers for arm in looks), np.tile(np.arange(1.0, 51), (4, 1)))


def test_a_crowd_pays_as_it_is_told_to_and_ends_with_the_same_sums_in_any_order() -> None:
    arms = (np.arange(300) % 2).astype(np.int8)
    ends = []
    for is_burst in (True, False):
        who = Crowd(is_burst=is_burst)
        looks = crowd(np.random.default_rng(1), arms, 2, who, success((0.9, 0.9), who))
        ends.append([[float(np.ravel(field)[-1]) for field in arm[:4]] for arm in looks])
        assert all((np.diff(np.ravel(arm.payments)) >= 0).all() for arm in looks)
    assert ends[0] == ends[1]
    (customers, payments, successes, squared) = ends[0][0]
    assert customers == 150
    assert 150 < successes < payments < squared


@pytest.mark.parametrize("is_burst", [True, False])
def test_the_sums_of_a_crowd_are_those_of_its_customers_at_every_look(is_burst: bool) -> None:
    """Each payment is worth its customer's number, so that the sums tell who has paid how often."""
    arms, many = np.zeros(40, np.int8), 3
    who = Crowd(many_share=0.5, many=many, is_burst=is_burst)
    (looks,) = crowd(np.random.default_rng(1), arms, 1, who, lambda *told: told[2] + 1.0)
    worth = np.diff(np.ravel(looks.total), prepend=0.0).astype(int)
    for look in range(len(worth)):
        times = np.bincount(worth[: look + 1])
        values = times * np.arange(len(times))
        seen = [float(np.ravel(field)[look]) for field in looks]
        assert seen == [
            np.count_nonzero(times),
            times.sum(),
            values.sum(),
            times @ times,
            values @ values,
            times @ values,
        ]


def test_latencies_are_slower_by_what_they_are_told_to_be(rng: np.random.Generator) -> None:
    arms = (np.arange(20_000) % 2).astype(np.int8)
    draw = log_latency((1.0, 1.5), timeouts=0.0)
    control, treatment = crowd(rng, arms, 2, Crowd(many_share=0.0), draw)
    slower = treatment.rate[0, -1] - control.rate[0, -1]
    assert np.exp(slower) == pytest.approx(1.5, rel=0.05)


def test_looks_that_are_far_apart_end_at_the_planned_sample(rng: np.random.Generator) -> None:
    control, _ = at_looks(rng, 4, 20, 10_000, (0.9, 0.91))
    assert np.asarray(control.payments)[:, -1].tolist() == [10_000.0] * 4


def several(rng: np.random.Generator) -> list[tuple[Looks, Plan]]:
    """Experiments in which much is found: some good arms, some bad ones, customers who differ, a plan soon reached."""
    halves = rng.integers(2, size=(3, 240)).astype(np.int8)
    three = rng.integers(3, size=(3, 330)).astype(np.int8)
    who = Crowd(many_share=0.3, many=4)
    return [
        (once(rng, halves, (0.6, 0.9)), Plan(HALVES, 100)),
        (once(rng, halves, (0.9, 0.6)), Plan(HALVES, 100)),
        (once(rng, three, (0.6, 0.3, 0.9)), Plan((3_334, 3_333, 3_333), 120)),
        (once(rng, three, (0.6, 0.9, 0.9)), Plan((3_334, 3_333, 3_333), 120)),
        (crowd(rng, halves[0], 2, who, success((0.5, 0.95), who)), Plan(HALVES, 250)),
    ]


def test_a_verdict_that_is_counted_is_the_first_that_the_judge_would_give(rng: np.random.Generator) -> None:
    seen = []
    for looks, plan in several(rng):
        counted = found(looks, plan)
        for run in range(len(counted.won)):
            each = [judged(looks, run, look, plan) for look in range(np.shape(looks[0].total)[1])]
            assert counted.won[run] == first(np.array([[is_won(one) for one in each]]))[0]
            assert counted.paused[run] == first(np.array([[is_paused(one) for one in each]]))[0]
        seen.append(counted)
    together = Found(*(np.concatenate(one) for one in zip(*seen, strict=True)))
    for some in (together.won, together.paused):
        assert 4 <= np.sum(some < inf) < some.size


def test_others_rules_are_those_of_the_textbooks() -> None:
    """Of 200 payments 180 succeed, and 164: eight points, z = -2.3."""
    trials = np.array([[99.0, 200.0]])
    control, treatment = (
        Sums(trials, trials, total, trials, total, total)
        for total in (np.array([[99.0, 180.0]]), np.array([[80.0, 164.0]]))
    )
    counted = found([control, treatment], Plan(HALVES, 1_000))
    assert (counted.point_rule[0], counted.z_pauses[0], counted.z_wins[0]) == (2, 2, inf)
    turned = found([treatment, control], Plan(HALVES, 1_000))
    assert (turned.point_rule[0], turned.z_pauses[0], turned.z_wins[0]) == (inf, inf, 2)


def test_a_share_and_a_median_tell_what_chance_may_have_done() -> None:
    assert share("", np.arange(100) < 20).error == pytest.approx(1.96 * 0.04)
    numbers = np.append(np.arange(1.0, 100.0), inf)
    found_median = median("", numbers)
    assert (found_median.measured, found_median.error) == (51, 10)
    assert median("", np.array([1.0, inf, inf])).measured is None
    assert not median("", np.array([1.0, inf, inf]), 5.0).is_met


def test_a_simulated_arm_is_counted_as_the_fold_counts_it(rng: np.random.Generator) -> None:
    tally = a_tally(rng, POPULATIONS[2], 1)
    assert tally["customers"] == 100 < tally["payments"] < tally["payments_squared"]
    assert tally["first_succeeded"] < tally["succeeded"] < tally["payments"]
    bins = sum(count for name, count in tally.items() if name.startswith("latency:"))
    assert bins == tally["timed"] == tally["payments"]


def test_a_sequence_of_latency_is_the_one_that_results_show(rng: np.random.Generator) -> None:
    arms = (np.arange(400) % 2).astype(np.int8)
    control, treatment = crowd(rng, arms, 2, Crowd(), log_latency((1.0, 1.1)))
    bounds = always_valid_logs(control, treatment)
    last = [Sums(*(float(np.ravel(field)[-1]) for field in arm)) for arm in (control, treatment)]
    shown = latency(last[0], last[1]).always_valid_ratio
    assert [shown.lower, shown.upper] == pytest.approx([float(np.exp(one[0, -1])) for one in bounds])


def test_an_interval_of_which_nobody_has_said_the_truth_is_an_error() -> None:
    with pytest.raises(LookupError):
        truth(("variants", 0, "conversion"))


async def test_an_arm_that_is_not_what_was_paid_is_found(rng: np.random.Generator) -> None:
    lot = await Lot(rng, 1, [kind for kind in KINDS if kind.title == DEAD][:1]).play()
    assert lot.wrong_arms == 0
    for payments in lot.paid.values():
        payments.popitem()
    await lot.check()
    assert lot.wrong_arms == 1


def test_the_command_prints_every_figure_beside_its_target(capfd: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser()
    experiments.add_arguments(parser)
    assert experiments.run(parser.parse_args(["--scale", "0.002", "--json"])) in (0, 1)
    out, err = capfd.readouterr()
    figures = json.loads(out)["figures"]
    assert len(figures) > 140
    assert all({"name", "measured", "target", "bound", "error", "beside"} <= set(one) for one in figures)
    exact = {one["name"]: one["measured"] for one in figures if one["target"] == 0}
    assert set(exact.values()) == {0.0}
    assert len(exact) == 2
    assert "power for +1 point" in err


def test_a_scale_that_cannot_be_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser()
    experiments.add_arguments(parser)
    assert experiments.run(parser.parse_args(["--scale", "0"])) == 2
    assert capfd.readouterr().err.startswith("--scale:")
