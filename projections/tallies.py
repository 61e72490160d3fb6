"""What an outcome adds to its gateway's figures: counts, under the cells it belongs to, in the bucket of its start.

A tally is a sum of such counts, and integers only. Adding them is commutative and associative: events may come in any
order; an outcome that corrects an earlier one takes that back and adds itself, in the same bucket, and the sum is what
it would be if it had been so from the start. Statistics need no memory of an attempt: its events say all of this.
"""

from collections.abc import Mapping
from typing import NamedTuple, get_args

from projections.sketch import bin_of
from schemas.base import Event
from schemas.dimensions import Account, Dimensions, Earlier
from schemas.envelope import Recorded
from schemas.metrics import Cell, Tally, bucket_of
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptOutcome,
    AttemptSucceeded,
)

OUTCOMES = frozenset(kind.__name__ for kind in get_args(AttemptOutcome))
"""The types of the events that are counted; of others nothing but the type need be read."""

LATENCY = "ms:"
DECLINE_CODES = frozenset(
    {
        "cancelled_by_customer",
        "configuration_error",
        "expired_instrument",
        "gateway_busy",
        "gateway_error",
        "incorrect_credentials",
        "insufficient_funds",
        "invalid_instrument",
        "invalid_request",
        "issuer_declined",
        "issuer_unavailable",
        "limit_exceeded",
        "method_not_eligible",
        "payment_failed",
        "rejected_by_gateway",
        "risk_declined",
        "timed_out",
    }
)
"""The unified codes; any other is counted as `other`, so that no log can make a tally large."""


GATEWAYS_OWN = ("not_sent:dns", "not_sent:tls", "not_sent:connect")
"""As `is_gateways_fault` in schemas/outcome.py: what it never got. Other things were not sent for our own reasons."""


class Observation(NamedTuple):
    bucket: int
    """The number of the ten seconds since 1970 in which the attempt started."""
    cells: tuple[Cell, ...]
    counts: Tally


def observe(recorded: Recorded[Event]) -> Observation | None:
    """None for what counts nothing: no outcome, a void one, or one from before events told where they are counted."""
    event = recorded.event
    if not isinstance(event, AttemptOutcome) or event.account is None or recorded.is_void:
        return None
    return Observation(
        bucket=bucket_of(event.account.started_at),
        cells=_cells(event.gateway, event.account.dimensions),
        counts=_counts(event, event.account),
    )


def add(tally: Tally, more: Mapping[str, int], times: int = 1) -> None:
    for key, count in more.items():
        total = tally.get(key, 0) + count * times
        if total:
            tally[key] = total
        else:
            tally.pop(key, None)


def health(tally: Mapping[str, int]) -> tuple[int, int, int]:
    """Succeeded, the gateway's own faults, and in doubt.

    A correction of what was counted in a cell that has left since takes back what is not there: less than none is none.
    """
    faults = doubts = 0
    for words, count in tally.items():
        if count < 0:
            continue
        if words.startswith("declined:gateway:") or words in GATEWAYS_OWN:
            faults += count
        elif words.startswith("in_doubt:"):
            doubts += count
    return max(0, tally.get("succeeded", 0)), faults, doubts


def _counts(event: AttemptOutcome, account: Account) -> Tally:
    counts = {_words(event): 1}
    if account.instead_of is not None:
        add(counts, {_words_before(account.instead_of): -1})
    elif not getattr(event, "verified", False):  # or it would be how long it took us to find out
        counts[f"{LATENCY}{bin_of(event.latency_ms)}"] = 1
    return counts


def _words(event: AttemptOutcome) -> str:
    match event:
        case AttemptSucceeded():
            return "succeeded"
        case AttemptDeclined(decline=decline):
            return _decline(decline.blame, decline.code)
        case AttemptNotSent(reason=reason):
            return f"not_sent:{reason}"
        case AttemptAwaitingCustomer():
            return "awaiting_customer"
        case AttemptInDoubt(reason=reason):
            return f"in_doubt:{reason}"


def _words_before(earlier: Earlier) -> str:
    match earlier.kind:
        case "declined":
            return _decline(earlier.blame or "gateway", earlier.code or "other")
        case "succeeded" | "awaiting_customer":
            return earlier.kind
        case "not_sent" | "in_doubt":
            return f"{earlier.kind}:{earlier.code}"


def _decline(blame: str, code: str) -> str:
    return f"declined:{blame}:{code if code in DECLINE_CODES else 'other'}"


def _cells(gateway: str, dimensions: Dimensions) -> tuple[Cell, ...]:
    method = dimensions.payment_method
    cells = [
        Cell(gateway, method, "method", ""),
        Cell(gateway, method, "amount_band", dimensions.amount_band),
    ]
    if dimensions.issuer:
        cells.append(Cell(gateway, method, "issuer", dimensions.issuer))
    if dimensions.network:
        cells.append(Cell(gateway, method, "network", dimensions.network))
    if dimensions.segment:
        cells.append(Cell(gateway, method, "segment", dimensions.segment))
    return tuple(cells)
