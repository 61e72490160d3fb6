"""What a gateway's answer proves about an attempt, and what may be asked of it."""

from datetime import datetime, timedelta

from commands.payment_state import Attempt, Open, Settled
from commands.settlement import keeps
from schemas.charge import Burned, Burning, Found, InUse, LookUp, NotFound, Unreachable
from schemas.outcome import AwaitingCustomer, Declined, InDoubt, NotSent, Outcome, Succeeded
from schemas.payment import AttemptStarted
from schemas.verification import Verdict

MOST_CHECKS_BY_HINT = 20
"""Hints of gateways beyond that are not followed: the schedule goes on without them."""


def verdict_of(attempt: Attempt, looked: LookUp, burning: Burning | None) -> tuple[Verdict, Outcome | None]:
    """What the gateway's answer proves; the outcome is None where it proves nothing."""
    started = attempt.started
    match looked:
        case NotFound() if attempt.is_settled:
            return "not_sent", attempt.outcome  # the last look at what had failed: nothing has come of it
        case Unreachable():
            return "unreachable", None
        case Found(outcome=Succeeded() | AwaitingCustomer()) if _is_another(started, looked):
            # Of a failed attempt even that is certain: it is money that has to go back.
            return "mismatched", looked.outcome if _is_late(attempt, looked) else None
        case Found(outcome=Succeeded() as succeeded):
            return "succeeded", succeeded
        case Found(outcome=Declined() as declined):
            return "declined", declined
        case Found(outcome=NotSent() as not_sent):
            return "not_sent", not_sent
        case Found(outcome=AwaitingCustomer() | InDoubt()):
            return "still_pending", None
    match burning:
        case Burned():
            return "not_sent", NotSent(reason="burned")
        case InUse():
            return "still_pending", None
        case Unreachable():
            return "unreachable", None
        case _:
            return "not_found_yet", None


def _is_another(started: AttemptStarted, found: Found) -> bool:
    return (found.amount_minor, found.currency) != (started.amount_minor, started.currency)


def _is_late(attempt: Attempt, found: Found) -> bool:
    return attempt.is_settled and isinstance(found.outcome, Succeeded)


def may_burn(attempt: Attempt, looked: LookUp, lookup_lag_ms: int, at: datetime) -> bool:
    """Whether *not found* is to be believed: the call has ended, and the gateway has had its own time to know of it."""
    lag = timedelta(milliseconds=attempt.started.timeout_ms + lookup_lag_ms)
    is_believed = isinstance(looked, NotFound) and at >= attempt.started.started_at + lag
    return is_believed and not attempt.is_settled and not _is_known_there(attempt)


def heeds_hint(attempt: Attempt, at: datetime) -> bool:
    """Whether a notification that proves nothing is a reason to ask off the schedule: not before its first moment,
    which is a limit of the payment method, and not without end."""
    if isinstance(attempt.outcome, Succeeded):
        return False
    first_at = attempt.started.first_check_at or attempt.started.started_at
    return attempt.checks < MOST_CHECKS_BY_HINT and (attempt.is_settled or at >= first_at)


def _is_known_there(attempt: Attempt) -> bool:
    """The gateway has named it once: that it is not found now is a lie or a lag."""
    return attempt.gateway_reference is not None


def needs_capture(attempt: Attempt, looked: LookUp, state: Open | Settled) -> bool:
    """Whether money that is only authorised is to be taken: not another amount, nor what would be given back."""
    if not isinstance(looked, Found) or _is_another(attempt.started, looked):
        return False
    return looked.needs_capture and (isinstance(state, Open) or keeps(attempt, state))
