"""The simulated experiments are what they say they are, and the command prints what it found."""

import json
from argparse import ArgumentParser

import numpy as np
import pytest

from tests.bench import experiments
from tests.bench.experiments_world import Arms, Crowd, at_looks, crowd, hashed_buckets, once

RNG = np.random.default_rng(3)


def test_customers_are_in_the_arms_in_which_the_hash_puts_them() -> None:
    arms = Arms(hashed_buckets(1_200))
    blocks = list(arms.treated(0.1, 12, 2_000))
    assert [block.shape for block in blocks] == [(5, 2_000), (5, 2_000), (2, 2_000)]
    assert np.concatenate(blocks).mean() == pytest.approx(0.1, abs=0.01)


def test_every_look_sees_one_customer_more() -> None:
    treated = RNG.random((3, 50)) < 0.5
    control, treatment = once(RNG, treated, 0.5, 0.5)
    assert np.array_equal(
        np.broadcast_to(np.arange(1.0, 51), (3, 50)), control.customers + treatment.customers
    )


def test_a_crowd_pays_as_it_is_told_to_and_ends_with_the_same_sums_in_any_order() -> None:
    treated = np.arange(300) % 2 == 0
    ends = []
    for is_burst in (True, False):
        looks = crowd(np.random.default_rng(1), treated, 0.9, Crowd(is_burst=is_burst))
        ends.append([[float(np.ravel(field)[-1]) for field in arm[:4]] for arm in looks])
        assert all((np.diff(np.ravel(arm.payments)) >= 0).all() for arm in looks)
    assert ends[0] == ends[1]
    (customers, payments, successes, squared) = ends[0][0]
    assert customers == 150
    assert 150 < successes < payments < squared


def test_looks_that_are_far_apart_end_at_the_planned_sample() -> None:
    control, _ = at_looks(RNG, 4, 20, 10_000, (0.9, 0.91))
    assert np.asarray(control.payments)[:, -1].tolist() == [10_000.0] * 4


def test_the_command_prints_every_figure_beside_its_target(capfd: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser()
    experiments.add_arguments(parser)
    assert experiments.run(parser.parse_args(["--scale", "0.002", "--json"])) in (0, 1)
    out, err = capfd.readouterr()
    found = json.loads(out)["figures"]
    assert len(found) > 50
    assert all({"name", "measured", "target", "bound"} <= set(one) for one in found)
    assert "power for +1 point" in err


def test_a_scale_that_cannot_be_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser()
    experiments.add_arguments(parser)
    assert experiments.run(parser.parse_args(["--scale", "0"])) == 2
    assert capfd.readouterr().err.startswith("--scale:")
