"""What a payment's attempts would have come to under other retries, as far as those that were made tell.

Its first attempt is as it was. After that history tells as long as the other policy would have gone where history went;
where it would have gone on elsewhere, or longer, or would not have waited, nobody knows.
"""

from datetime import timedelta
from math import nan

from commands.routing.alternative import Rerouted
from commands.routing.retry import attempt_timeout_ms, may_cascade, next_candidate
from schemas.ids import GatewayId
from schemas.outcome import Declined, NotSent, NotSentReason
from schemas.routing import Candidate
from schemas.views import AttemptView
from streams.what_if.journeys import Journey


def first_otherwise(journey: Journey, other: Rerouted) -> float:
    """1 or 0, or not a number."""
    if other.retries == journey.routed.policy or not other.candidates:
        return journey.first_succeeded
    first = next((one for one in other.candidates if one.gateway == journey.attempts[0].gateway), None)
    if first is not None and _would_not_wait(
        journey.attempts[0], attempt_timeout_ms(first, other.retries, 0)
    ):
        return nan
    return journey.first_succeeded


def any_otherwise(journey: Journey, other: Rerouted) -> float:
    """Whether the payment would have been paid: 1 or 0, or not a number."""
    attempts, recorded = journey.attempts, [one.gateway for one in journey.routed.candidates]
    order = other.had_it_been(attempts[0].gateway)
    if other.retries == journey.routed.policy and [one.gateway for one in order] == recorded:
        return journey.any_succeeded
    shut: frozenset[GatewayId] = frozenset()
    for place, attempt in enumerate(attempts):
        tried = frozenset(one.gateway for one in attempts[: place + 1])
        candidate = next((one for one in order if one.gateway == attempt.gateway), None)
        if candidate is None or _would_not_wait(attempt, _timeout_ms(journey, candidate, other, place)):
            return nan
        goes_on = _goes_on(attempt, retry_on_timeout=other.retries.retry_on_timeout)
        followed_by = attempts[place + 1].gateway if place + 1 < len(attempts) else None
        shut |= _passed_over(recorded, tried, followed_by)
        elapsed_ms = _elapsed_ms(journey, place)
        then = next_candidate(order, tried, other.retries, elapsed_ms, shut) if goes_on else None
        if then is None:
            return _paid_within(journey, place)
        if then.gateway != followed_by:
            return nan
    raise AssertionError("the last attempt is followed by none")


def _paid_within(journey: Journey, place: int) -> float:
    """By one of the attempts up to this one, after which there would have been no other."""
    if journey.payment.status != "SUCCESS":
        return journey.any_succeeded
    return float(any(one.attempt_id == journey.payment.paid_by for one in journey.attempts[: place + 1]))


def _goes_on(attempt: AttemptView, *, retry_on_timeout: bool) -> bool:
    """By what was known at the time: what verification found out came later."""
    if attempt.verified or attempt.status == "IN_DOUBT":
        return retry_on_timeout
    if attempt.status == "DECLINED" and attempt.decline is not None:
        return may_cascade(Declined(decline=attempt.decline))
    if attempt.status == "NOT_SENT" and attempt.detail is not None:
        reason: NotSentReason = attempt.detail  # type: ignore[assignment]  # a view holds it as a word
        return may_cascade(NotSent(reason=reason))
    return False


def _passed_over(
    recorded: list[GatewayId], tried: frozenset[GatewayId], followed_by: GatewayId | None
) -> frozenset[GatewayId]:
    """Gateways that came first and were not tried: their circuits had opened, or they were out of service."""
    if followed_by is None or followed_by not in recorded:
        return frozenset()
    return frozenset(recorded[: recorded.index(followed_by)]) - tried


def _would_not_wait(attempt: AttemptView, timeout_ms: int) -> bool:
    """Whether it took longer than the other policy gives it, and no less than history gave."""
    given_ms = attempt.timeout_ms or timeout_ms
    return timeout_ms < given_ms and (attempt.latency_ms is None or attempt.latency_ms > timeout_ms)


def _timeout_ms(journey: Journey, candidate: Candidate, other: Rerouted, place: int) -> int:
    begun_ms = _elapsed_ms(journey, place - 1) if place else 0
    return attempt_timeout_ms(candidate, other.retries, begun_ms)


def _elapsed_ms(journey: Journey, place: int) -> int:
    """From the request to the end of that attempt."""
    attempts, since = journey.attempts, journey.payment.created_at
    if place + 1 < len(attempts):
        return (attempts[place + 1].started_at - since) // timedelta(milliseconds=1)
    last = attempts[place]
    return (last.started_at - since) // timedelta(milliseconds=1) + (last.latency_ms or 0)
