"""What is still open may turn out either way, and what is decided has to hold for both.

Success is mostly told at once, and failure late: a customer who never acts fails when somebody stops waiting. Leaving
such payments out, an arm looks the better the later its failures are told; counting them as failed, the worse the
later its successes are. Both are wrong for as long as they last, and differ with the gateway. What is assumed is that
the open payments of both arms come to the same: arms of one experiment have the same customers. Open payments stand
for as many customers who pay once, those in doubt for payments of customers as they are on average.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from projections.statistics.results import Interval
from projections.statistics.sequential import HARM_ALPHA, Sequential, sequential
from projections.statistics.sums import Numbers, Sums, added, paid_once
from projections.statistics.winning import Winning, winning


class Outstanding(NamedTuple):
    """Of one arm, payments that nobody knows the end of."""

    awaiting: Numbers = 0
    """On their way, or waiting for their customers; in no sum yet."""
    in_doubt: Numbers = 0
    """In doubt or in review, and in the sums as not succeeded."""


NOTHING = Outstanding()
TOLERATED_DOUBT = 0.1
"""Of all payments of an arm: so many in doubt may yet succeed before it is harmful to leave them there."""


Both = tuple[Outstanding, Outstanding]
"""Control's and the treatment's."""
WHATEVER = "_whatever_becomes_of_open_payments"
"""Ends the name of a method where there are any."""


def sequential_in_all_cases(
    control: Sums,
    treatment: Sums,
    outstanding: Both,
    *,
    confidence: float = 0.95,
    alpha: float = HARM_ALPHA,
) -> Sequential:
    """Of those in doubt a tenth of all payments may succeed; what goes beyond is taken to have failed."""
    found = [
        sequential(*case, confidence=confidence, alpha=alpha)
        for case in _cases(control, treatment, outstanding, TOLERATED_DOUBT)
    ]
    first = found[0]
    return replace(
        first,
        method=_named(first.method, found),
        difference=_covering([one.difference for one in found]),
        harm_p=max(one.harm_p for one in found),
        harm_log10_evidence=min(one.harm_log10_evidence for one in found),
        is_harmful=all(one.is_harmful for one in found),
    )


def winning_in_all_cases(
    control: Sums, treatment: Sums, planned: float, outstanding: Both, confidence: float = 0.95
) -> Winning:
    """How much of the plan is reached is that of what is counted."""
    cases = _cases(control, treatment, outstanding)
    found = [winning(*case, planned, confidence) for case in cases]
    test = max((one.test for one in found), key=lambda test: test.p_value or 0.0)
    return replace(
        found[0],
        test=replace(test, method=_named(test.method, found)),
        difference=_covering([one.difference for one in found]),
    )


def _cases(
    control: Sums, treatment: Sums, outstanding: Both, tolerated_doubt: float = 1.0
) -> list[tuple[Sums, Sums]]:
    """As counted, if all that is open fails, and if it succeeds; alike in both arms. One where nothing is open."""
    counted = control, treatment
    if outstanding == (NOTHING, NOTHING):
        return [counted]
    here, there = outstanding
    return [
        counted,
        (if_all_fail(control, here), if_all_fail(treatment, there)),
        (if_all_succeed(control, here, tolerated_doubt), if_all_succeed(treatment, there, tolerated_doubt)),
    ]


def if_all_fail(sums: Sums, outstanding: Outstanding) -> Sums:
    return added(sums, paid_once(0, outstanding.awaiting))


def if_all_succeed(sums: Sums, outstanding: Outstanding, tolerated_doubt: float = 1.0) -> Sums:
    """A payment in doubt is one of w = Σx²/Σx of its customer, whose others succeed at the arm's rate."""
    if not sums.payments:
        return added(sums, paid_once(outstanding.awaiting, outstanding.awaiting))
    cleared = np.minimum(outstanding.in_doubt, tolerated_doubt * sums.payments)
    of_customer = sums.payments_squared / sums.payments
    settled = sums._replace(
        total=sums.total + cleared,
        total_squared=sums.total_squared + cleared * (2 * sums.rate * (of_customer - 1) + 1),
        product=sums.product + cleared * of_customer,
    )
    return added(settled, paid_once(outstanding.awaiting, outstanding.awaiting))


def _covering(intervals: Sequence[Interval]) -> Interval:
    """All of them; the estimate is that of the first."""
    lower = [one.lower for one in intervals if one.lower is not None]
    upper = [one.upper for one in intervals if one.upper is not None]
    method = _named(intervals[0].method, intervals)
    return replace(
        intervals[0], method=method, lower=min(lower, default=None), upper=max(upper, default=None)
    )


def _named(method: str, cases: Sequence[object]) -> str:
    return method if len(cases) == 1 else method + WHATEVER
