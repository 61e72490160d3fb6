"""The bandit's propensities: that they are the probabilities they say, and what exploring may cost."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betainc, betaincinv

from commands.routing.bandit import Arm, probabilities_best, propensities
from schemas.routing_configuration import BanditPolicy

UNBOUNDED = BanditPolicy(enabled=True, sharpness=1, exploration_share=1, expected_loss=1)
EXPLORES = BanditPolicy(enabled=True)


def arm(alpha: float, beta: float, worth: float = 0.0) -> Arm:
    return Arm(alpha=alpha, beta=beta, worth=worth)


evidence = st.floats(1, 5_000, allow_subnormal=False)
worths = st.floats(-0.2, 0.2, allow_subnormal=False)
arms = st.lists(st.builds(Arm, alpha=evidence, beta=evidence, worth=worths), min_size=2, max_size=5)
policies = st.builds(
    BanditPolicy,
    sharpness=st.floats(0.5, 10),
    exploration_share=st.floats(0, 1),
    worse_by=st.floats(0, 1),
    expected_loss=st.floats(0, 0.1),
)


def mean(arm: Arm) -> float:
    return arm.alpha / (arm.alpha + arm.beta)


def certainly_worse(arms: list[Arm]) -> list[float]:
    """By how much each is worse than the best mean, with one standard deviation in its favour."""
    values = [mean(one) + one.worth for one in arms]
    deviations = [(mean(one) * (1 - mean(one)) / (one.alpha + one.beta + 1)) ** 0.5 for one in arms]
    return [
        max(max(values) - value - deviation, 0.0) for value, deviation in zip(values, deviations, strict=True)
    ]


def exactly(arms: list[Arm], sharpness: float) -> list[float]:
    """∫ ∏ⱼ Fⱼ dFᵢ by adaptive quadrature over the quantiles of i, in pieces: another Fⱼ may be steep."""
    return [_exactly(place, arms, sharpness) for place in range(len(arms))]


def _exactly(place: int, arms: list[Arm], sharpness: float) -> float:
    one, others = arms[place], arms[:place] + arms[place + 1 :]

    def below(arm: Arm, value: float) -> float:
        return float(betainc(arm.alpha * sharpness, arm.beta * sharpness, min(max(value - arm.worth, 0), 1)))

    def at(arm: Arm, quantile: float) -> float:
        return float(betaincinv(arm.alpha * sharpness, arm.beta * sharpness, quantile)) + arm.worth

    def all_below(quantile: float) -> float:
        product = 1.0
        for other in others:
            product *= below(other, at(one, quantile))
        return product

    ends = {below(one, at(other, quantile)) for other in others for quantile in (1e-6, 0.01, 0.5, 0.99)}
    pieces = sorted({0.0, 1.0} | ends)
    return sum(
        float(quad(all_below, begin, end, epsabs=1e-7)[0])
        for begin, end in pairwise(pieces)
        if end - begin > 1e-9
    )


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 1.5, 10.0])
@pytest.mark.parametrize(
    "arms",
    [
        [arm(1, 500), arm(1, 1)],
        [arm(1, 500), arm(2, 500)],
        [arm(500, 1), arm(500, 2)],
        [arm(500, 1), arm(300, 1, 0.001)],
        [arm(460_000, 40_000), arm(3, 1)],
        [arm(460_000, 40_000), arm(46_000, 4_010, 0.0002)],
        [arm(460_000, 40_000), arm(3, 1), arm(1, 500), arm(500, 1)],
        [arm(90, 10), arm(85, 15, 0.04), arm(3, 2, -0.01)],
        [arm(1, 1), arm(1, 1, 0.01)],
        [arm(1, 1), arm(1, 1, -0.8)],
        [arm(1, 1), arm(1, 1, -5)],
        [arm(10 + one, 1) for one in range(6)],
    ],
)
def test_they_are_what_exact_integration_says(arms: list[Arm], sharpness: float) -> None:
    exact = exactly(arms, sharpness)
    assert sum(exact) == pytest.approx(1, abs=1e-4)
    assert list(probabilities_best(arms, sharpness)) == pytest.approx(exact, abs=0.002)


@pytest.mark.parametrize(
    ("arms", "first"),
    [
        ([arm(2, 1), arm(1, 1)], 2 / 3),
        ([arm(3, 1), arm(2, 1)], 3 / 5),
        ([arm(1, 2), arm(2, 1)], 1 / 6),
        ([arm(1, 1, 0.5), arm(1, 1)], 7 / 8),
        ([arm(9, 1), arm(1, 1)], 9 / 10),
    ],
)
def test_they_are_what_can_be_worked_out_by_hand(arms: list[Arm], first: float) -> None:
    assert propensities(arms, UNBOUNDED) == pytest.approx((first, 1 - first), abs=0.002)


def test_a_single_gateway_is_certain_and_none_is_nothing() -> None:
    assert propensities([arm(1, 500)], EXPLORES) == (1.0,)
    assert propensities([], EXPLORES) == ()


@given(arms, policies)
@settings(max_examples=100, deadline=None)
def test_they_are_probabilities_and_sum_to_1(arms: list[Arm], policy: BanditPolicy) -> None:
    chances = propensities(arms, policy)
    assert all(0 <= chance <= 1 for chance in chances)
    assert sum(chances) == pytest.approx(1)


@given(evidence, evidence, worths, st.integers(2, 8), policies)
@settings(max_examples=50, deadline=None)
def test_equals_are_equally_likely(
    alpha: float, beta: float, worth: float, count: int, policy: BanditPolicy
) -> None:
    equal = [arm(alpha, beta, worth)] * count
    assert propensities(equal, policy) == pytest.approx([1 / count] * count)


@given(arms, st.data())
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_gateways_does_not_matter(arms: list[Arm], data: st.DataObject) -> None:
    places = data.draw(st.permutations(range(len(arms))))
    mixed = propensities([arms[place] for place in places], UNBOUNDED)
    chances = propensities(arms, UNBOUNDED)
    assert mixed == pytest.approx([chances[place] for place in places])


@given(arms, st.floats(0, 0.3), st.floats(0.5, 10))
@settings(max_examples=100, deadline=None)
def test_what_is_worth_more_is_no_less_likely(arms: list[Arm], more: float, sharpness: float) -> None:
    richer = [arm(arms[0].alpha, arms[0].beta, arms[0].worth + more), *arms[1:]]
    before, after = probabilities_best(arms, sharpness), probabilities_best(richer, sharpness)
    assert after[0] >= before[0] - 0.002
    assert all(after[1:] <= before[1:] + 0.002)


@given(arms, policies)
@settings(max_examples=200, deadline=None)
def test_exploring_keeps_within_its_two_budgets(arms: list[Arm], policy: BanditPolicy) -> None:
    chances, worse = propensities(arms, policy), certainly_worse(arms)
    share = sum(chance for chance, by in zip(chances, worse, strict=True) if by > 0 and by >= policy.worse_by)
    loss = sum(chance * by for chance, by in zip(chances, worse, strict=True))
    assert share <= policy.exploration_share + 1e-9
    assert loss <= policy.expected_loss + 1e-9


def test_without_a_budget_nothing_that_is_certainly_worse_is_tried() -> None:
    miser = BanditPolicy(exploration_share=0, worse_by=0)
    assert propensities([arm(90, 10), arm(80, 20)], miser) == (1.0, 0.0)


def test_what_may_still_be_as_good_costs_nothing() -> None:
    """Or nothing would ever be learned of it."""
    arms = [arm(46_000, 4_000), arm(3, 1)]
    assert propensities(arms, EXPLORES) == pytest.approx(probabilities_best(arms, EXPLORES.sharpness))


def test_what_nothing_is_known_of_is_held_to_the_budget_beside_a_good_gateway() -> None:
    assert propensities([arm(46_000, 4_000), arm(1, 1)], EXPLORES)[1] <= EXPLORES.exploration_share


@pytest.mark.parametrize(
    "arms", [[arm(46, 4), arm(40, 10)], [arm(460, 40), arm(455, 45)], [arm(9, 1), arm(2, 2), arm(7, 3)]]
)
def test_sharper_is_greedier(arms: list[Arm]) -> None:
    best = [probabilities_best(arms, sharpness)[0] for sharpness in (0.5, 1, 1.5, 3, 10)]
    assert best == sorted(best)
    assert best[-1] > best[0] + 0.02
