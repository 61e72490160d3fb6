"""Customers who pay more than once are given as six sums over them, of which some things must hold."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

Sum = Annotated[int, Meta(ge=0, le=10**15)]
SixSums = Annotated[
    tuple[Sum, Sum, Sum, Sum, Sum, Sum],
    Meta(
        description="of customers, each with x payments of which y succeed: how many they are, Σx, Σy, Σx², Σy², Σxy"
    ),
]
LogSum = Annotated[int, Meta(ge=0, le=10**18)]
SixLogSums = Annotated[
    tuple[LogSum, LogSum, LogSum, LogSum, LogSum, LogSum],
    Meta(
        description="of customers, each with x payments and y the sum of ln(milliseconds) in thousandths: "
        "how many they are, Σx, Σy, Σx², Σy², Σxy"
    ),
]


def as_far_as(conditions: Iterator[tuple[bool, str]], of: str, name: str) -> None:
    for is_possible, condition in conditions:
        if not is_possible:
            raise ValueError(f"Expected sums of {of}: {condition} - at `$.{name}`")


def possible(n: int, x: int, y: int, xx: int, yy: int, xy: int) -> Iterator[tuple[bool, str]]:
    """What holds of the six sums of any customers: squares are not below what is squared, nor products of what is not
    negative below 0, and no sum exceeds what Cauchy and Schwarz allow."""
    yield 1 <= n <= x, "1 ≤ customers ≤ Σx"
    yield y <= x, "Σy ≤ Σx"
    yield x * x <= n * xx, "(Σx)² ≤ customers·Σx²"
    yield xx <= (x - n + 1) ** 2 + n - 1, "Σx² ≤ (Σx - customers + 1)² + customers - 1"
    yield y <= yy <= xy <= xx, "Σy ≤ Σy² ≤ Σxy ≤ Σx²"
    yield y * y <= n * yy, "(Σy)² ≤ customers·Σy²"
    yield xy * xy <= xx * yy, "(Σxy)² ≤ Σx²·Σy²"
    yield x - y <= xx - 2 * xy + yy, "Σ(x-y) ≤ Σ(x-y)²"
    yield (xx - x) % 2 == 0 == (yy - y) % 2, "Σx² and Σy² are odd where Σx and Σy are"


def possible_logs(n: int, x: int, y: int, xx: int, yy: int, xy: int) -> Iterator[tuple[bool, str]]:
    """As above, of y that may be more than x."""
    yield n <= x, "customers ≤ Σx"
    yield x * x <= n * xx, "(Σx)² ≤ customers·Σx²"
    yield y * y <= n * yy, "(Σy)² ≤ customers·Σy²"
    yield y <= xy, "Σy ≤ Σxy"
    yield xy * xy <= xx * yy, "(Σxy)² ≤ Σx²·Σy²"
