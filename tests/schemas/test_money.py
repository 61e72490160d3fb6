"""Money: exponents as ISO 4217 has them, and an upper bound in every currency."""

import pytest

from schemas.http import faults_in
from schemas.money import EXPONENTS, MINOR_UNITS_0, MINOR_UNITS_2, MINOR_UNITS_3, largest_amount_minor
from tests.builders import a_body


@pytest.mark.parametrize(
    ("currency", "exponent"), [("INR", 2), ("JPY", 0), ("KWD", 3), ("UGX", 0), ("EUR", 2)]
)
def test_a_currency_has_its_exponent(currency: str, exponent: int) -> None:
    assert EXPONENTS[currency] == exponent


def test_no_currency_has_two_exponents() -> None:
    codes = f"{MINOR_UNITS_0} {MINOR_UNITS_2} {MINOR_UNITS_3}".split()
    assert len(codes) == len(EXPONENTS)
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in codes)


@pytest.mark.parametrize(("currency", "largest"), [("INR", 10**10), ("JPY", 10**8), ("KWD", 10**11)])
def test_the_largest_amount_is_the_same_in_major_units(currency: str, largest: int) -> None:
    assert largest_amount_minor(currency) == largest
    assert faults_in(a_body(currency=currency, amount_minor=largest)) == []
    assert [f.pointer for f in faults_in(a_body(currency=currency, amount_minor=largest + 1))] == [
        "/amount_minor"
    ]


def test_a_currency_that_is_not_in_use_is_a_fault() -> None:
    assert [fault.pointer for fault in faults_in(a_body(currency="XXX"))] == ["/currency"]
