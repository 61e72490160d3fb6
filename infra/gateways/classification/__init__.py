"""What a gateway's error means for us, as a table per gateway: a new reason is a new row, not a new `if`.

The columns before `code` are what the gateway says, in the order of their weight; `*` stands for anything. Of the rows
that fit, the one that is specific where another is not, in the first column that differs, wins. The last row fits all.
"""

import csv
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.base import Value
from schemas.outcome import Blame, Decline

ANYTHING = "*"

Code = Literal[
    "insufficient_funds",
    "incorrect_credentials",
    "cancelled_by_customer",
    "expired_instrument",
    "limit_exceeded",
    "invalid_instrument",
    "risk_declined",
    "invalid_request",
    "configuration_error",
    "method_not_eligible",
    "issuer_unavailable",
    "issuer_declined",
    "gateway_error",
    "gateway_busy",
    "timed_out",
    "payment_failed",
]
"""What a merchant sees, the same for every gateway."""

Certain = Literal["yes", "once_failed", "no"]
"""Whether it proves that nobody was charged: by itself, only of a payment that the gateway calls failed, or never."""

_Word = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}$|^\*$")]


class Meaning(Value, frozen=True, kw_only=True):
    code: Code
    blame: Blame
    retryable: bool
    certain: Certain

    def decline(self, *, gateway_code: str | None = None, gateway_reason: str | None = None) -> Decline:
        return Decline(
            code=self.code,
            blame=self.blame,
            retryable=self.retryable,
            gateway_code=gateway_code,
            gateway_reason=gateway_reason,
        )


class Row(Value, frozen=True, kw_only=True):
    said: tuple[_Word, ...]
    meaning: Meaning

    def fits(self, said: tuple[str | None, ...]) -> bool:
        return all(mine in (ANYTHING, theirs) for mine, theirs in zip(self.said, said, strict=True))

    @property
    def breadth(self) -> tuple[bool, ...]:
        return tuple(word == ANYTHING for word in self.said)


class Classification:
    """Called with what the gateway says, by column: `classify(reason="insufficient_funds", source="customer")`."""

    def __init__(self, columns: tuple[str, ...], rows: tuple[Row, ...]) -> None:
        said = [row.said for row in rows]
        if len(set(said)) != len(said):
            raise ValueError("two rows say the same")
        if not rows or not all(rows[-1].breadth):
            raise ValueError("the last row must fit anything")
        self.columns = columns
        self.rows = rows
        self._narrowest_first = sorted(rows, key=lambda row: row.breadth)

    def __call__(self, **said: str | None) -> Meaning:
        unknown = said.keys() - set(self.columns)
        assert not unknown, unknown
        words = tuple(said.get(column) for column in self.columns)
        return next(row.meaning for row in self._narrowest_first if row.fits(words))


def classification(name: str) -> Classification:
    """The table of that name beside this file. Raises ValueError for one that means nothing."""
    with (Path(__file__).parent / f"{name}.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    width = header.index("code")
    if header[width:] != list(Meaning.__struct_fields__):
        raise ValueError(
            f"{name}.csv: the columns after those of the gateway are {Meaning.__struct_fields__}"
        )
    return Classification(tuple(header[:width]), tuple(_row(line, width) for line in lines))


def _row(line: list[str], width: int) -> Row:
    code, blame, retryable, certain = line[width:]
    meaning = {
        "code": code,
        "blame": blame,
        "retryable": {"yes": True, "no": False}[retryable],
        "certain": certain,
    }
    return msgspec.convert({"said": line[:width], "meaning": meaning}, Row)
