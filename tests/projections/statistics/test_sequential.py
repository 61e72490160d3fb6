"""What may be looked at at any time: its formulas against quadrature and exact laws, its error rates by simulation.

`./dev bench experiments` measures the rates at full length; here a seed and a margin keep the suite quick.
"""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from projections.statistics.effective import counts
from projections.statistics.horizon import Fraction, fraction, horizon_z, log_horizon_p
from projections.statistics.mixture import Effects, Scale, always_valid_p, always_valid_z, log_evidence
from projections.statistics.sequential import (
    DIFFERENCES,
    confidence_sequence,
    harm_evidence,
    is_harmful,
    is_ripe,
    sequential,
    signed_root,
)
from projections.statistics.sums import Sums, paid_once
from projections.statistics.winning import winning, winning_log_p

LOOKED_FOR = (Effects(0.0, 0.05, 0.7), Effects(0.2, 0.1, 0.3))


@pytest.mark.parametrize(("z", "error"), [(0.0, 0.1), (3.0, 0.05), (-4.0, 0.02), (9.0, 0.3), (30.0, 0.01)])
def test_the_evidence_is_the_likelihood_ratio_averaged_over_the_effects_looked_for(
    z: float, error: float
) -> None:
    def averaged(center: float, deviation: float) -> mpmath.mpf:
        def weighed(effect: mpmath.mpf) -> mpmath.mpf:
            ratio = mpmath.exp((effect * z - effect**2 / (2 * error)) / error)
            return ratio * mpmath.npdf(effect, center, deviation) / mpmath.ncdf(center / deviation)

        peak = max(z * error, 0.0)
        edges = {0.0, peak, peak + 8 * error, center, center + 3 * deviation, center + 9 * deviation}
        return mpmath.quad(weighed, sorted(edges))

    exact = mpmath.log(sum(weight * averaged(*effects) for *effects, weight in LOOKED_FOR))
    assert float(log_evidence(z, error**2, LOOKED_FOR)) == pytest.approx(float(exact), rel=1e-6, abs=1e-9)


def test_the_confidence_sequence_ends_where_one_scale_alone_is_significant() -> None:
    variance, alpha = 0.01**2, 0.05
    z = float(always_valid_z(variance, (Scale(0.02, 1.0),), 1 - alpha))
    information = 0.02**2 / variance
    ratio = np.exp(information * z**2 / (2 * (1 + information))) / np.sqrt(1 + information)
    assert ratio == pytest.approx(1 / alpha)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.data())
def test_the_signed_root_turns_with_the_arms_and_is_about_z(n: int, m: int, data: st.DataObject) -> None:
    control = counts(data.draw(st.integers(0, n)), n)
    treatment = counts(data.draw(st.integers(0, m)), m)
    if 0 < control.successes + treatment.successes < n + m:
        assert float(signed_root(control, treatment)) == pytest.approx(
            -float(signed_root(treatment, control))
        )
        assert (
            np.sign(signed_root(control, treatment)) == np.sign(treatment.rate - control.rate)
            or abs(treatment.rate - control.rate) < 1e-6
        )


@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        ((9 * 10**11, 10**12), (900_001_000_000, 10**12)),
        ((10**12, 10**12), (10**12 - 3, 10**12)),
        ((10**12 - 7, 10**12), (10**9 - 2, 10**9)),
        ((10**9, 10**12), (5, 11)),
    ],
)
def test_the_signed_root_of_a_trillion_customers_keeps_its_digits(
    control: tuple[int, int], treatment: tuple[int, int]
) -> None:
    def log_likelihood(arm: tuple[int, int], rate: mpmath.mpf) -> mpmath.mpf:
        successes, trials = arm
        failed = (trials - successes) * mpmath.log(1 - rate) if successes < trials else 0
        return successes * mpmath.log(rate) + failed

    with mpmath.workdps(60):
        rates = [mpmath.mpf(successes) / trials for successes, trials in (control, treatment)]
        both = mpmath.mpf(control[0] + treatment[0]) / (control[1] + treatment[1])
        ratio = sum(
            log_likelihood(arm, rate) - log_likelihood(arm, both)
            for arm, rate in zip((control, treatment), rates, strict=True)
        )
        exact = float(mpmath.sign(rates[1] - rates[0]) * mpmath.sqrt(2 * ratio))
    assert float(signed_root(counts(*control), counts(*treatment))) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("trials", [10, 8 * 10**7, 10**9, 10**12])
@pytest.mark.parametrize(("here", "there"), [(0, 0), (0, 1), (3, 0), (7, 2)])
def test_rare_failures_are_judged_as_rare_successes_are(trials: int, here: int, there: int) -> None:
    """What succeeds always but a few times is the other way round what fails so."""
    seldom = judged_by(paid_once(here, trials), paid_once(there, trials), trials)
    mostly = judged_by(paid_once(trials - there, trials), paid_once(trials - here, trials), trials)
    assert np.isfinite(mostly).all()
    assert mostly == pytest.approx(seldom, rel=1e-9)


def judged_by(control: Sums, treatment: Sums, planned: int) -> list[float]:
    low, high = confidence_sequence(control, treatment)
    evidence, log_p = harm_evidence(control, treatment), winning_log_p(control, treatment, planned)
    estimate = sequential(control, treatment).difference.estimate or 0.0
    return [float(one) for one in (evidence, log_p, low, high, estimate)]


def test_p_values_are_the_evidence_turned_over() -> None:
    assert always_valid_p(np.array([-1.0, 0.0, np.log(20)])).tolist() == pytest.approx([1, 1, 0.05])


def test_a_dead_treatment_is_stopped_after_ten_customers_or_a_few_more() -> None:
    """And never before ten."""
    assert not is_harmful(paid_once(9, 9), paid_once(0, 9))
    assert is_harmful(paid_once(10, 10), paid_once(0, 10))
    assert is_harmful(paid_once(18, 20), paid_once(6, 20))


def test_one_customer_who_pays_fifty_times_is_no_reason_to_stop() -> None:
    control = Sums(10, 10, 9, 10, 9, 9)
    treatment = Sums(10, 59, 9, 9 + 50**2, 9, 9)
    assert not is_ripe(control, treatment)
    assert not sequential(control, treatment).is_harmful


@pytest.mark.parametrize("rate", [0.85, 0.95])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_harmless_treatments_are_rarely_paused_or_called_winners_however_often_looked_at(
    rate: float, share: float
) -> None:
    control, treatment = played(rate, rate, share, runs=300, customers=3_000)
    assert is_harmful(control, treatment).any(axis=1).mean() <= 0.04 + 0.02
    planned = 3_000 * min(share, 1 - share)
    ripe = is_ripe(control, treatment, 100)
    won = ripe & (winning_log_p(control, treatment, planned) <= np.log(0.025))
    assert won.any(axis=1).mean() <= 0.025 + 0.02


def test_confidence_sequences_hold_the_truth_at_all_looks_together() -> None:
    control, treatment = played(0.9, 0.87, 0.5, runs=300, customers=3_000)
    begun = is_ripe(control, treatment)
    low, high = confidence_sequence(control, treatment)
    missed = begun & ((low > -0.03) | (high < -0.03))
    assert missed.any(axis=1).mean() <= 0.05


def played(
    control_rate: float, treatment_rate: float, share: float, runs: int, customers: int
) -> tuple[Sums, Sums]:
    """A look after every customer."""
    rng = np.random.default_rng(6)
    treated = rng.random((runs, customers)) < share
    succeeded = rng.random(treated.shape) < np.where(treated, treatment_rate, control_rate)
    return (
        paid_once(np.cumsum(succeeded & ~treated, 1), np.cumsum(~treated, 1)),
        paid_once(np.cumsum(succeeded & treated, 1), np.cumsum(treated, 1)),
    )


@pytest.mark.parametrize("alpha", [0.2, 0.025, 1e-6])
@pytest.mark.parametrize("t", [0.1, 0.9, 1.0, 1.5, 4.0])
def test_a_z_at_the_winners_line_has_the_p_value_of_the_line(alpha: float, t: float) -> None:
    reached = Fraction(np.asarray(t))
    assert float(np.exp(log_horizon_p(horizon_z(reached, alpha), reached))) == pytest.approx(alpha, rel=1e-6)


def test_a_brownian_motion_crosses_the_winners_lines_no_more_often_than_they_say() -> None:
    rng = np.random.default_rng(8)
    steps = 2_000
    t = np.arange(1, 3 * steps + 1) / steps
    motion = np.cumsum(rng.standard_normal((1_500, len(t))), axis=1) / steps**0.5
    reached = Fraction(t)
    for alpha in (0.05, 0.2):
        crossed = (motion / np.sqrt(t) >= horizon_z(reached, alpha)).any(axis=1).mean()
        assert 0.6 * alpha <= crossed <= alpha + 2 * (alpha / 1_500) ** 0.5


def test_the_winners_test_is_nearly_as_strong_as_a_single_look() -> None:
    """+1 point from .90 with 10,000 customers an arm is found with 67 % by one look, with 62 % by many."""
    successes = np.arange(8_800.0, 9_401)
    likely = np.outer(binom.pmf(successes, 10_000, 0.90), binom.pmf(successes, 10_000, 0.91))
    grid = np.meshgrid(successes, successes, indexing="ij")
    arms = [paid_once(one, np.full_like(one, 10_000.0)) for one in grid]
    found = winning_log_p(arms[0], arms[1], 10_000) <= np.log(0.025)
    assert likely[found].sum() >= 0.60


def test_the_smaller_arm_decides_how_far_an_experiment_is() -> None:
    assert float(fraction(9_000.0, 1_000.0, 2_000.0).t) == 0.5
    assert winning(paid_once(900, 1_000), paid_once(90, 100), 200).reached == pytest.approx(101 / 200)


def test_evidence_grows_with_the_harm() -> None:
    successes = np.arange(0.0, 101)
    evidence = harm_evidence(
        paid_once(np.full(101, 90.0), np.full(101, 100.0)), paid_once(successes, np.full(101, 100.0))
    )
    assert (np.diff(evidence) < 0).all()
    assert np.isfinite(evidence).all()


def test_the_sequence_is_never_surer_than_one_look() -> None:
    assert (always_valid_z(np.geomspace(1e-8, 1, 50), DIFFERENCES, 0.95) > 1.96).all()
