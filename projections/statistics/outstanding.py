"""What is still open may turn out either way, and what is decided has to hold for both.

Success is mostly told at once, and failure late: a customer who never acts fails when somebody stops waiting. Leaving
such payments out, an arm looks the better the later its failures are told; counting them as failed, the worse the
later its successes are. Both are wrong for as long as they last, and differ with the gateway. Open payments stand for
as many customers who pay once: they are few, and who they are is not in the sums.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from projections.statistics.sequential import Sequential
from projections.statistics.sums import Numbers, Sums, added, paid_once
from projections.statistics.winning import Winning


class Outstanding(NamedTuple):
    """Of one arm, payments that nobody knows the end of."""

    awaiting: Numbers = 0
    """On their way, or waiting for their customers; in no sum yet."""
    in_doubt: Numbers = 0
    """In doubt or in review, and in the sums as not succeeded."""


NOTHING = Outstanding()
TOLERATED_DOUBT = 0.1
"""Of all payments of an arm: so many in doubt may yet succeed before it is harmful to leave them there."""


Case = tuple[Sums, Sums]
"""Control's and the treatment's."""


def cases(
    control: Sums,
    treatment: Sums,
    outstanding: tuple[Outstanding, Outstanding],
    tolerated_doubt: float = 1.0,
) -> list[Case]:
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
    """Of those in doubt as many as a part of all payments at most; what goes beyond is taken to have failed."""
    cleared = np.minimum(outstanding.in_doubt, tolerated_doubt * sums.payments)
    settled = sums._replace(
        total=sums.total + cleared,
        total_squared=sums.total_squared + cleared,
        product=sums.product + cleared,
    )
    return added(settled, paid_once(outstanding.awaiting, outstanding.awaiting))


def in_all_cases(found: Sequence[Sequential]) -> Sequential:
    """What holds in each of them; the estimate is that of the first."""
    first = found[0]
    lower = [one.difference.lower for one in found if one.difference.lower is not None]
    upper = [one.difference.upper for one in found if one.difference.upper is not None]
    return replace(
        first,
        difference=replace(first.difference, lower=min(lower, default=None), upper=max(upper, default=None)),
        harm_p=max(one.harm_p for one in found),
        harm_log10_evidence=min(one.harm_log10_evidence for one in found),
        is_harmful=all(one.is_harmful for one in found),
    )


def least_convincing(found: Sequence[Winning]) -> Winning:
    """How much of the plan is reached is that of the first."""
    weakest = max(found, key=lambda one: one.test.p_value or 0.0)
    return replace(weakest, reached=found[0].reached)
