"""A score: a sum of terms, each of which moves it in the direction that it says."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.routing.scoring import score, terms, worth
from schemas.ids import GatewayId
from schemas.routing import Candidate
from schemas.routing_configuration import ScoringWeights

EVEN = ScoringWeights(uncertainty=1, latency=1, cost=1, affinity=1, priority=1)
WEIGHTS = ScoringWeights()


def a_candidate(**given: Any) -> Candidate:
    return Candidate(
        **{"gateway": GatewayId("alpha"), "priority": 1, "fee_bps": 100, "timeout_ms": 2_500, **given}
    )


def scored(weights: ScoringWeights = WEIGHTS, **given: Any) -> float:
    return score(terms(a_candidate(**given), weights))


candidates = st.builds(
    a_candidate,
    priority=st.integers(0, 1_000),
    fee_bps=st.integers(0, 10_000),
    alpha=st.floats(1, 1e6),
    beta=st.floats(1, 1e6),
    fit=st.floats(-1, 1),
    latency_ms=st.none() | st.floats(0, 60_000),
    affinity=st.floats(-1, 1),
)


@given(candidates)
@settings(max_examples=100, deadline=None)
def test_terms_add_up_to_the_score(candidate: Candidate) -> None:
    parts = terms(candidate, WEIGHTS)
    assert score(parts) == pytest.approx(sum(msgspec.structs.astuple(parts)))
    assert score(parts) == pytest.approx(parts.success + parts.uncertainty + worth(parts))


def test_every_term_is_in_points_of_success_rate() -> None:
    parts = terms(
        a_candidate(alpha=3, beta=1, fit=0.02, latency_ms=250.0, affinity=-0.5, fee_bps=150, priority=7), EVEN
    )
    assert parts.success == 0.75
    assert parts.uncertainty == pytest.approx((3 * 1 / (4**2 * 5)) ** 0.5)
    assert (parts.fit, parts.latency, parts.cost) == (0.02, -0.25, -1.5)
    assert (parts.affinity, parts.priority) == (-0.5, -7)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"alpha": 92.0, "beta": 8.0}, {"alpha": 90.0, "beta": 10.0}),
        ({"alpha": 9.0, "beta": 1.0}, {"alpha": 90.0, "beta": 10.0}),
        ({"fit": 0.01}, {"fit": 0.0}),
        ({"latency_ms": 200.0}, {"latency_ms": 300.0}),
        ({"fee_bps": 150}, {"fee_bps": 200}),
        ({"affinity": 1.0}, {"affinity": -1.0}),
        ({"priority": 1}, {"priority": 2}),
    ],
)
def test_more_success_less_knowledge_latency_cost_and_a_higher_place_score_more(
    better: dict[str, Any], worse: dict[str, Any]
) -> None:
    assert scored(**better) > scored(**worse)


@given(candidates)
@settings(max_examples=50, deadline=None)
def test_weights_of_nothing_leave_the_rate_and_the_fit(candidate: Candidate) -> None:
    nothing = ScoringWeights(uncertainty=0, latency=0, cost=0, affinity=0, priority=0)
    mean = candidate.alpha / (candidate.alpha + candidate.beta)
    assert score(terms(candidate, nothing)) == pytest.approx(mean + candidate.fit)


@given(candidates)
@settings(max_examples=50, deadline=None)
def test_what_is_known_ten_times_better_scores_less_at_the_same_rate(candidate: Candidate) -> None:
    known = replace(candidate, alpha=candidate.alpha * 10, beta=candidate.beta * 10)
    before, after = terms(candidate, WEIGHTS), terms(known, WEIGHTS)
    assert after.uncertainty < before.uncertainty
    assert after.success == pytest.approx(before.success)
