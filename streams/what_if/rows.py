"""What is kept of every payment that is judged: columns of numbers, since a range has millions of them.

A payment takes some 200 bytes, and each customer 200 more for a name.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from projections.statistics.off_policy import Integers, Logged
from projections.statistics.sums import Floats
from schemas.ids import GatewayId, PaymentId

_PAYMENT_ID = "S30"


class Row(NamedTuple):
    at: float
    payment_id: PaymentId
    customer: str
    chosen: GatewayId
    propensities: Mapping[GatewayId, float]
    target: Mapping[GatewayId, float]
    believed: Mapping[GatewayId, float]
    is_unrecorded: bool
    rewards: tuple[float, ...]
    """By metric: 1, 0, or not a number."""
    otherwise: tuple[float, ...]
    parts: tuple[str, ...]
    """By dimension."""


class Names(NamedTuple):
    known: list[str]
    """Each once, sorted."""
    numbers: Integers
    """(n,): places in `known`."""


class Sorted(NamedTuple):
    """By time; what was asked at one moment by payment."""

    logged: Logged
    """Of whichever metric: with what was believed as what is predicted, and without rewards."""
    rewards: list[Floats]
    otherwise: list[Floats]
    parts: list[Names]


class Rows:
    def __init__(self, metrics: int, dimensions: int) -> None:
        self._at, self._payment_ids = array("d"), bytearray()
        self._customers, self._chosen = _Words(), _Words()
        self._propensities, self._target, self._believed = _Table(), _Table(), _Table()
        self._is_unrecorded = array("b")
        self._rewards, self._otherwise = ([array("f") for _ in range(metrics)] for _ in range(2))
        self._parts = [_Words() for _ in range(dimensions)]

    def __len__(self) -> int:
        return len(self._at)

    def append(self, row: Row) -> None:
        self._at.append(row.at)
        self._payment_ids += row.payment_id.encode()
        self._customers.append(row.customer)
        self._chosen.append(row.chosen)
        self._propensities.append(row.propensities)
        self._target.append(row.target)
        self._believed.append(row.believed)
        self._is_unrecorded.append(row.is_unrecorded)
        for columns, values in ((self._rewards, row.rewards), (self._otherwise, row.otherwise)):
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        for words, part in zip(self._parts, row.parts, strict=True):
            words.append(part)

    def sorted(self) -> Sorted:
        order = np.lexsort((np.frombuffer(self._payment_ids, _PAYMENT_ID), np.frombuffer(self._at)))
        gateways = sorted(self._propensities.gateways | self._target.gateways)
        chosen = self._chosen.sorted(order)
        believed = self._believed.sorted(gateways, order)
        nothing = np.array([])
        return Sorted(
            logged=Logged(
                customers=self._customers.sorted(order).numbers,
                chosen=np.searchsorted(gateways, chosen.known)[chosen.numbers],
                propensities=self._propensities.sorted(gateways, order),
                target=self._target.sorted(gateways, order),
                predicted=believed,
                unrecorded=_floats(self._is_unrecorded, order),
                reward=nothing,
                otherwise=nothing,
            ),
            rewards=[_floats(column, order) for column in self._rewards],
            otherwise=[_floats(column, order) for column in self._otherwise],
            parts=[words.sorted(order) for words in self._parts],
        )


class _Words:
    """A word for each payment, kept once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._column = array("i")

    def append(self, word: str) -> None:
        self._column.append(self._numbers.setdefault(word, len(self._numbers)))

    def sorted(self, order: Integers) -> Names:
        known = sorted(self._numbers)
        places = np.empty(len(known), np.int64)
        places[[self._numbers[word] for word in known]] = np.arange(len(known))
        return Names(known, places[np.asarray(self._column)[order]])


class _Table:
    """A number for each payment and gateway, 0 where there is none."""

    def __init__(self) -> None:
        self._columns: dict[GatewayId, array[float]] = {}
        self._rows = 0

    @property
    def gateways(self) -> set[GatewayId]:
        return set(self._columns)

    def append(self, row: Mapping[GatewayId, float]) -> None:
        for gateway in row.keys() - self._columns.keys():
            self._columns[gateway] = array("d", bytes(8 * self._rows))
        for gateway, column in self._columns.items():
            column.append(row.get(gateway, 0.0))
        self._rows += 1

    def sorted(self, gateways: Sequence[GatewayId], order: Integers) -> Floats:
        """(n, k), in this order of the gateways."""
        table = np.zeros((self._rows, len(gateways)))
        for place, gateway in enumerate(gateways):
            if gateway in self._columns:
                table[:, place] = np.asarray(self._columns[gateway])[order]
        return table


def _floats(column: "array[float] | array[int]", order: Integers) -> Floats:
    return np.asarray(column)[order].astype(np.float64)
