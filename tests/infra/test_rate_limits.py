"""The law of a rate limit, for any rate, any burst and any times at which somebody asks."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from infra.memory.rate_limits import LocalRateLimits
from schemas.rate_limit import Allowance, RateLimit

LIMITS = st.builds(
    RateLimit, name=st.just("any"), per_second=st.floats(0.01, 10_000), burst=st.integers(1, 50)
)
GAPS_US = st.lists(st.integers(0, 300_000), min_size=1, max_size=150)


def taken(limit: RateLimit, moments_us: list[int]) -> list[Allowance]:
    clock = iter(moments_us)
    limits = LocalRateLimits(lambda: next(clock) / 1000)
    return [limits.taken("somebody", limit) for _ in moments_us]


@given(limit=LIMITS, gaps_us=GAPS_US)
def test_in_no_span_of_time_is_more_let_through_than_a_burst_and_what_grew_back(
    limit: RateLimit, gaps_us: list[int]
) -> None:
    moments_us = list(accumulate(gaps_us))
    answers = taken(limit, moments_us)
    let_through = [at for at, one in zip(moments_us, answers, strict=True) if one.is_allowed]
    for first, since in enumerate(let_through):
        for count, until in enumerate(let_through[first:], start=1):
            assert count <= limit.burst + (until - since + 2) // limit.interval_us


@given(limit=LIMITS, gaps_us=GAPS_US)
def test_who_waits_as_long_as_he_is_told_is_let_through(limit: RateLimit, gaps_us: list[int]) -> None:
    moments_us = list(accumulate(gaps_us))
    last = taken(limit, moments_us)[-1]
    if not last.is_allowed:
        later_us = moments_us[-1] + last.more_after_s * 1_000_000
        assert taken(limit, [*moments_us, later_us])[-1].is_allowed


@given(limit=LIMITS, gaps_us=GAPS_US)
def test_what_is_left_is_what_can_be_had_at_once(limit: RateLimit, gaps_us: list[int]) -> None:
    moments_us = list(accumulate(gaps_us))
    left = taken(limit, moments_us)[-1].remaining
    more = taken(limit, [*moments_us, *[moments_us[-1]] * (left + 1)])[len(moments_us) :]
    assert [one.is_allowed for one in more] == [True] * left + [False]
