"""Whether it is found when a broken gateway was left and taken again."""

import pytest

from tests.bench.rerouting import Left, between, judged_by, left, share, taken_again


def tried(gateways: str, per_second: float = 8) -> list[tuple[float, str]]:
    """One payment for each letter."""
    return [(place / per_second, gateway) for place, gateway in enumerate(gateways)]


def test_a_share_is_of_two_seconds_of_payments_but_neither_of_few_nor_of_many() -> None:
    assert [judged_by(rate) for rate in (0.5, 5, 10, 20, 100)] == [10, 10, 20, 40, 50]


def test_a_gateway_is_left_when_one_in_ten_of_those_to_come_go_there() -> None:
    assert left(tried("bb" + "aab" * 4 + "bbbabbbbbb" * 2), "a", 10) == Left(seconds=11 / 8, calls=8)


def test_what_a_gateway_is_spared_before_its_first_call_does_not_count() -> None:
    begin = "b" * 30
    assert left(tried(begin + "aaaa" + "b" * 10), "a", 10) == left(tried("aaaa" + "b" * 10), "a", 10)


@pytest.mark.parametrize("gateways", ["", "b" * 30, "a" * 30, "a" * 30 + "b" * 8])
def test_a_gateway_that_was_not_called_or_had_no_time_to_be_left_was_not_left(gateways: str) -> None:
    assert left(tried(gateways), "a", 10) is None


def test_a_gateway_is_taken_again_when_it_has_half_of_the_share_that_it_had() -> None:
    probes_first = tried("b" * 20 + "abbbbbbbbb" * 2 + "ab" * 10)
    assert taken_again(probes_first, "a", 10, share_before=1.0) == 39 / 8
    assert taken_again(probes_first, "a", 10, share_before=0.2) == 11 / 8
    assert taken_again(tried("b" * 50), "a", 10, share_before=0.2) is None


def test_of_a_time_its_end_is_left_out() -> None:
    assert between(tried("abcdef", per_second=1), 1, 4) == [(1, "b"), (2, "c"), (3, "d")]
    assert share(tried("abab"), "a") == 0.5
    assert share([], "a") == 0
