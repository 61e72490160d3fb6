"""Whether, and where, a payment may be tried again: only after an outcome that proves nobody was charged."""

from schemas.outcome import Declined, NotSent, Outcome
from schemas.routing import Candidate
from schemas.routing_configuration import RetryPolicy

LEAST_TIMEOUT_MS = 200
"""An attempt with less time than this would mostly end in doubt, which is worse than no attempt."""


def may_cascade(outcome: Outcome) -> bool:
    match outcome:
        case Declined(decline=decline):
            return decline.retryable
        case NotSent(reason=reason):
            return reason not in ("window_closed", "burned")
        case _:
            return False


def next_candidate(
    candidates: tuple[Candidate, ...],
    tried: frozenset[str],
    policy: RetryPolicy,
    elapsed_ms: int,
    shut: frozenset[str] = frozenset(),
) -> Candidate | None:
    """The first candidate not yet tried and not shut since, if attempts and budget are left."""
    allowed = policy.max_attempts if policy.enabled else 1
    if len(tried) >= allowed or policy.latency_budget_ms - elapsed_ms < LEAST_TIMEOUT_MS:
        return None
    return next((candidate for candidate in candidates if candidate.gateway not in tried | shut), None)


def attempt_timeout_ms(candidate: Candidate, policy: RetryPolicy, elapsed_ms: int) -> int:
    """The gateway's own timeout, or what is left of the payment's budget, whichever is less."""
    return max(min(candidate.timeout_ms, policy.latency_budget_ms - elapsed_ms), LEAST_TIMEOUT_MS)
