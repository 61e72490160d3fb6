"""What differs is told by column; what cannot be compared yet is left for later; what may differ is not told."""

from typing import Any

import pytest

from infra.postgres.generations import Comparison, Differing
from streams.rebuilding.differences import Accepted, Differences, NotAcceptable
from tests.projections.story import PAYMENT


def rows(*offsets: int, **fields: Any) -> dict[str, dict[str, Any]]:
    return {"payments": {"offsets": list(offsets), "status": "SUCCESS", **fields}}


def compared(
    live: dict[str, Any], beside: dict[str, Any], *, reached: tuple[int, int] = (10, 10)
) -> Comparison:
    return Comparison(1, {0: reached}, [Differing(PAYMENT, live, beside)])


def differences(*accepted: str) -> Differences:
    return Differences(Accepted.of(accepted), lambda _: 0)


def test_a_column_that_differs_is_told_with_both_values() -> None:
    found = differences()
    assert found.judge(compared(rows(1, status="FAILURE"), rows(1))) == []
    assert (found.payments, dict(found.columns)) == (1, {"payments.status": 1})
    (example,) = found.examples
    assert (example.live, example.rebuilt) == ("FAILURE", "SUCCESS")


def test_a_row_that_one_side_does_not_have_is_told_as_a_whole() -> None:
    found = differences()
    found.judge(compared(rows(1), rows(1) | {"attempts att_1": {"status": "SUCCEEDED"}}))
    assert dict(found.columns) == {"attempts.*": 1}


@pytest.mark.parametrize("reached", [(10, 9), (9, 10)])
def test_a_payment_of_which_one_side_has_read_more_is_left_for_later(reached: tuple[int, int]) -> None:
    found = differences()
    assert found.judge(compared(rows(1, 9), rows(1), reached=reached)) == [PAYMENT]
    assert found.payments == 0


def test_a_payment_of_which_both_have_read_all_is_compared_however_far_they_are() -> None:
    found = differences()
    assert found.judge(compared(rows(1, status="FAILURE"), rows(1), reached=(10, 9))) == []
    assert found.payments == 1


def test_offsets_that_cannot_be_are_a_difference_where_both_are_equally_far() -> None:
    found = differences()
    assert found.judge(compared(rows(1, 99), rows(1))) == []
    assert dict(found.columns) == {"payments.offsets": 1}


def test_a_table_that_is_accepted_may_differ_in_whatever() -> None:
    found = differences("attempts")
    found.judge(compared(rows(1), rows(1) | {"attempts att_1": {"status": "SUCCEEDED"}}))
    assert (found.payments, found.examples) == (0, [])


def test_what_differs_is_counted_without_end_and_shown_by_some_examples() -> None:
    found = differences()
    for _ in range(50):
        found.judge(compared(rows(1, status="FAILURE", strategy="x"), rows(1, strategy="y")))
    assert (found.payments, found.columns["payments.status"], len(found.examples)) == (50, 50, 20)


@pytest.mark.parametrize("name", ["payments.offsets", "reservations", "watermarks.next_offset", ""])
def test_what_is_no_part_of_it_or_tells_what_was_read_cannot_be_accepted(name: str) -> None:
    with pytest.raises(NotAcceptable):
        Accepted.of([name])
