"""Whether a payment may be tried again, and where."""

import pytest

from commands.routing.retry import LEAST_TIMEOUT_MS, attempt_timeout_ms, may_cascade, next_candidate
from schemas.outcome import Outcome
from schemas.routing_configuration import RetryPolicy
from tests.builders import awaiting, declined, in_doubt, not_sent, retryable_decline, routed, success

CANDIDATES = routed("alpha", "beta", "gamma").candidates


@pytest.mark.parametrize(
    ("outcome", "may"),
    [
        (success(), False),
        (declined(), False),
        (retryable_decline(), True),
        (not_sent("connect"), True),
        (not_sent("too_busy"), True),
        (not_sent("switched_off"), True),
        (not_sent("window_closed"), False),
        (not_sent("burned"), False),
        (awaiting(), False),
        (in_doubt(), False),
    ],
)
def test_only_what_certainly_charged_nobody_may_cascade(outcome: Outcome, may: bool) -> None:
    assert may_cascade(outcome) is may


def test_the_next_candidate_is_the_first_that_was_not_tried() -> None:
    candidate = next_candidate(CANDIDATES, frozenset({"alpha"}), RetryPolicy(), 0)
    assert candidate is not None
    assert candidate.gateway == "beta"


@pytest.mark.parametrize(
    ("tried", "policy", "elapsed_ms"),
    [
        ({"alpha", "beta", "gamma"}, RetryPolicy(max_attempts=10), 0),
        ({"alpha"}, RetryPolicy(max_attempts=1), 0),
        ({"alpha"}, RetryPolicy(enabled=False), 0),
        ({"alpha"}, RetryPolicy(latency_budget_ms=1_000), 1_000 - LEAST_TIMEOUT_MS + 1),
    ],
)
def test_there_is_no_next_one_without_a_candidate_an_attempt_or_time_left(
    tried: set[str], policy: RetryPolicy, elapsed_ms: int
) -> None:
    assert next_candidate(CANDIDATES, frozenset(tried), policy, elapsed_ms) is None


@pytest.mark.parametrize(
    ("elapsed_ms", "timeout_ms"), [(0, 2_500), (9_000, 1_000), (9_900, LEAST_TIMEOUT_MS)]
)
def test_an_attempt_has_the_gateways_timeout_or_what_is_left_of_the_budget(
    elapsed_ms: int, timeout_ms: int
) -> None:
    assert attempt_timeout_ms(CANDIDATES[0], RetryPolicy(), elapsed_ms) == timeout_ms
