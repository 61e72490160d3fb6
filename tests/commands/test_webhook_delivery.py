"""When a webhook is sent again, and when no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.webhook_delivery import (
    GIVEN_UP_AFTER_MS,
    JITTER,
    LONGEST_RETRY_AFTER_S,
    RETRIES_AFTER_S,
    after,
)
from schemas.delivery import Again, Answered, Delivered, GivenUp, SendResult, Unreached

A_DAY_S = 86_400
FAILED = Answered(status=500)


def retried_after_s(result: SendResult, attempt: int = 1, draw: float = 0.5) -> float:
    following = after(result, attempt, GIVEN_UP_AFTER_MS, draw)
    assert isinstance(following, Again)
    return following.after_ms / 1000


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_answer_of_the_two_hundreds_delivers(status: int) -> None:
    assert after(Answered(status=status), 1, GIVEN_UP_AFTER_MS, 0.5) == Delivered()


@pytest.mark.parametrize(
    "result",
    [
        *(Answered(status=status) for status in (100, 301, 302, 307, 400, 401, 404, 408, 429, 500, 503)),
        *(Unreached(reason=reason) for reason in ("timeout", "dns", "tls", "connect", "refused_target")),
    ],
)
def test_whatever_else_is_answered_or_is_not_is_tried_again(result: SendResult) -> None:
    assert isinstance(after(result, 1, GIVEN_UP_AFTER_MS, 0.5), Again)


def test_a_receiver_that_is_gone_is_believed_at_once() -> None:
    assert after(Answered(status=410), 1, GIVEN_UP_AFTER_MS, 0.5) == GivenUp(reason="gone")


def test_the_schedule_takes_three_days_and_pauses_never_grow_shorter() -> None:
    assert 2.9 * A_DAY_S < sum(RETRIES_AFTER_S) < 3.1 * A_DAY_S
    assert list(RETRIES_AFTER_S) == sorted(RETRIES_AFTER_S)
    assert sum(RETRIES_AFTER_S) * (1 + JITTER) <= GIVEN_UP_AFTER_MS / 1000


def test_after_the_last_retry_it_is_exhausted() -> None:
    assert isinstance(after(FAILED, len(RETRIES_AFTER_S), GIVEN_UP_AFTER_MS, 0.5), Again)
    assert after(FAILED, len(RETRIES_AFTER_S) + 1, GIVEN_UP_AFTER_MS, 0.5) == GivenUp(reason="exhausted")


def test_what_would_be_retried_after_its_time_is_exhausted_now() -> None:
    assert after(FAILED, 3, 60_000, 0.5) == GivenUp(reason="exhausted")


@given(attempt=st.integers(1, len(RETRIES_AFTER_S)), draw=st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_its_share_of_the_pause(attempt: int, draw: float) -> None:
    pause_s = RETRIES_AFTER_S[attempt - 1]
    retried_s = retried_after_s(FAILED, attempt, draw)
    assert pause_s * (1 - JITTER) - 0.001 <= retried_s <= pause_s * (1 + JITTER) + 0.001


def test_a_longer_pause_that_the_receiver_asks_for_is_kept() -> None:
    assert retried_after_s(Answered(status=429, retry_after_s=120)) == 120


def test_a_shorter_one_does_not_hurry_us() -> None:
    assert retried_after_s(Answered(status=503, retry_after_s=0)) == RETRIES_AFTER_S[0]


def test_nobody_may_ask_for_more_than_a_day() -> None:
    assert retried_after_s(Answered(status=503, retry_after_s=999_999_999)) == LONGEST_RETRY_AFTER_S
