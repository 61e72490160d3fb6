"""When a webhook is sent again, and when no more.

At least once, in no promised order. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from schemas.delivery import Again, Answered, Delivered, GivenUp, Next, SendResult

_MINUTE_S, _HOUR_S = 60, 3600
RETRIES_AFTER_S = (
    5,
    30,
    2 * _MINUTE_S,
    10 * _MINUTE_S,
    30 * _MINUTE_S,
    1 * _HOUR_S,
    2 * _HOUR_S,
    4 * _HOUR_S,
    6 * _HOUR_S,
    8 * _HOUR_S,
    10 * _HOUR_S,
    12 * _HOUR_S,
    14 * _HOUR_S,
    14 * _HOUR_S,
)
"""After the first attempt, and each after the one before: fifteen attempts in three days."""
JITTER = 0.2
"""Each of them is longer or shorter by up to so much of itself, so that what failed together returns apart."""
GIVEN_UP_AFTER_MS = 90 * _HOUR_S * 1000
"""Since it was first due: all of the schedule however the jitter falls, and those that wait behind an endpoint that is
paused for longer than that."""
UNREPORTED_MOST = 12
"""Claims in a row that nobody has reported on, before it is given up as *unreported*: what kills whoever sends it must
not do so for ever. The pause after each is twice as long as the one before, the first as long as a lease: so a
dispatcher that dies of something else has to die for most of a day before that costs a delivery."""
WAITING_MOST = 1_000_000
"""Of one subscription. What has been due longest is given up beyond it, as *backlog*: at 200 a second an hour and a
half of silence, and a gigabyte."""
LONGEST_RETRY_AFTER_S = 24 * _HOUR_S
"""A receiver may ask for a longer pause than the schedule's, up to this."""


def after(result: SendResult, attempt: int, left_ms: int, draw: float) -> Next:
    """`attempt` counts from 1, `left_ms` is the time until it is given up, `draw` uniform in [0, 1)."""
    if isinstance(result, Answered):
        if 200 <= result.status < 300:
            return Delivered()
        if result.status == 410:
            return GivenUp(reason="gone")
    if attempt > len(RETRIES_AFTER_S):
        return GivenUp(reason="exhausted")
    spread = 1 - JITTER + 2 * JITTER * draw
    after_ms = round(RETRIES_AFTER_S[attempt - 1] * spread * 1000)
    if isinstance(result, Answered) and result.retry_after_s is not None:
        after_ms = max(after_ms, min(result.retry_after_s, LONGEST_RETRY_AFTER_S) * 1000)
    return Again(after_ms=after_ms) if after_ms <= left_ms else GivenUp(reason="exhausted")
