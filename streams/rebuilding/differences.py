"""What a rebuilt read model says otherwise than the live one, counted by column, with examples."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

from infra.postgres.generations import TABLES, Columns, Comparison, Differing
from schemas.base import Value
from schemas.ids import PaymentId

EXAMPLES = 20
WHOLE = "*"
"""In place of a column: one side has no such row."""


class NotAcceptable(ValueError):
    """No table or column of the read model, or one without which nothing could be compared."""


class Accepted(Value, frozen=True, kw_only=True):
    """What may differ, since the fold was changed on purpose."""

    tables: frozenset[str] = frozenset()
    """In whatever, whole rows included."""
    columns: Columns = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, names: Collection[str]) -> "Accepted":
        """Of `attempts.detail` and `attempts`. Raises NotAcceptable."""
        columns: dict[str, set[str]] = {}
        for name in names:
            table, _, column = name.partition(".")
            if table not in TABLES or name == "payments.offsets":
                raise NotAcceptable(name)
            if column:
                columns.setdefault(table, set()).add(column)
        return cls(tables=frozenset(name for name in names if "." not in name), columns=columns)


class Difference(Value, frozen=True, kw_only=True):
    payment_id: PaymentId
    table: str
    key: str
    """Of the row, among those of the payment."""
    column: str
    live: Any
    rebuilt: Any


class Differences:
    def __init__(self, accepted: Accepted, partition_of: Callable[[str], int]) -> None:
        self.accepted = accepted
        self._partition_of = partition_of
        self.payments = 0
        self.columns: Counter[str] = Counter()
        """In how many rows each of them differs."""
        self.examples: list[Difference] = []

    def judge(self, comparison: Comparison) -> list[PaymentId]:
        """Notes what differs. Payments of which one side has read records that the other has not are left for later."""
        later = []
        for differing in comparison.differing:
            if not self._is_comparable(differing, comparison.reached):
                later.append(differing.payment_id)
            elif found := [one for one in _all(differing) if one.table not in self.accepted.tables]:
                self.payments += 1
                self.columns.update(f"{one.table}.{one.column}" for one in found)
                self.examples += found[: EXAMPLES - len(self.examples)]
        return later

    def _is_comparable(self, differing: Differing, reached: Mapping[int, tuple[int, int]]) -> bool:
        live, beside = reached.get(self._partition_of(differing.payment_id), (0, 0))
        return live == beside or all(
            offset < min(live, beside)
            for rows in (differing.live, differing.beside)
            for offset in rows.get("payments", {}).get("offsets", ())
        )


def _all(differing: Differing) -> Iterator[Difference]:
    for row in sorted(differing.live.keys() | differing.beside.keys()):
        live, rebuilt = differing.live.get(row), differing.beside.get(row)
        table, _, key = row.partition(" ")
        if live is None or rebuilt is None:
            yield _difference(differing, table, key, WHOLE, {WHOLE: live}, {WHOLE: rebuilt})
            continue
        for column in sorted(live.keys() | rebuilt.keys()):
            if live.get(column) != rebuilt.get(column):
                yield _difference(differing, table, key, column, live, rebuilt)


def _difference(
    differing: Differing,
    table: str,
    key: str,
    column: str,
    live: Mapping[str, Any],
    rebuilt: Mapping[str, Any],
) -> Difference:
    return Difference(
        payment_id=differing.payment_id,
        table=table,
        key=key,
        column=column,
        live=live.get(column),
        rebuilt=rebuilt.get(column),
    )
