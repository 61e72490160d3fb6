"""When a gateway that broke was left, and when it was taken again: pure, from where each payment was tried first."""

from collections.abc import Sequence

from msgspec import Struct

First = tuple[float, str]
"""When a payment was first tried, in seconds, and by which gateway. Sequences of them are in their order."""
LEFT_SHARE = 0.1
"""A gateway is left when at most so many of the payments that come next are first tried there."""
BACK_SHARE = 0.5
"""It is taken again when it has so much of the share that it had before."""


class Left(Struct, frozen=True, kw_only=True):
    """From the first call after the break. `calls` are those that met the broken gateway until then."""

    seconds: float
    calls: int


def judged_by(rate_per_s: float) -> int:
    """How many of the payments to come a share is of: two seconds' worth, but 10 to 50."""
    return round(min(max(2 * rate_per_s, 10), 50))


def between(firsts: Sequence[First], since_s: float, until_s: float) -> list[First]:
    return [first for first in firsts if since_s <= first[0] < until_s]


def share(firsts: Sequence[First], gateway: str) -> float:
    """0 of none."""
    return calls(firsts, gateway) / len(firsts) if firsts else 0.0


def calls(firsts: Sequence[First], gateway: str) -> int:
    return sum(one == gateway for _, one in firsts)


def left(outage: Sequence[First], gateway: str, judged_by: int) -> Left | None:
    """None where it was not called at all, or never left: what cannot be judged, for want of payments, was not."""
    begin = next((place for place, (_, one) in enumerate(outage) if one == gateway), len(outage))
    for place in range(begin, len(outage) - judged_by + 1):
        if share(outage[place : place + judged_by], gateway) <= LEFT_SHARE:
            return Left(
                seconds=outage[place][0] - outage[begin][0], calls=calls(outage[begin:place], gateway)
            )
    return None


def taken_again(repaired: Sequence[First], gateway: str, judged_by: int, share_before: float) -> float | None:
    """The moment from which it has half of its share again; None if that was not seen."""
    for place in range(len(repaired) - judged_by + 1):
        if share(repaired[place : place + judged_by], gateway) >= BACK_SHARE * share_before:
            return repaired[place][0]
    return None
