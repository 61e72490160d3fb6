"""Identifiers sort by time, tell when they were minted, and fit a gateway's receipt."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.clock import uuid7
from schemas.ids import (
    PaymentId,
    attempt_id,
    base32,
    first_minted,
    is_attempt_id,
    is_payment_id,
    minted_at,
    minted_ms,
    payment_id,
    payment_of,
)
from tests.builders import minted

milliseconds = st.integers(0, 253_402_300_799_999)
"""To the end of the year 9999, which is the last one that a datetime can hold."""
chances = st.binary(min_size=10, max_size=10)


@given(st.tuples(milliseconds, chances), st.tuples(milliseconds, chances))
def test_ids_sort_by_the_millisecond_of_their_minting(
    one: tuple[int, bytes], other: tuple[int, bytes]
) -> None:
    earlier, later = sorted([one, other])
    if earlier[0] < later[0]:
        assert minted(*earlier) < minted(*later)


@given(milliseconds, chances)
def test_an_id_tells_when_it_was_minted(at_ms: int, chance: bytes) -> None:
    payment = minted(at_ms, chance)
    assert is_payment_id(payment)
    assert round(minted_at(payment).timestamp() * 1000) == at_ms


def test_an_id_tells_the_millisecond_it_was_minted_in() -> None:
    at = datetime(2026, 11, 23, 9, 30, 0, 123_000, tzinfo=UTC)
    assert minted_at(minted(int(at.timestamp() * 1000), b"\xff" * 10)) == at


@given(milliseconds, chances)
def test_what_was_minted_earlier_sorts_before_the_first_id_of_a_millisecond(
    at_ms: int, chance: bytes
) -> None:
    assert minted_ms(minted(at_ms, chance)) == at_ms
    assert first_minted(at_ms) <= minted(at_ms, chance) < first_minted(at_ms + 1)


@given(st.integers(0, 2**128 - 1))
def test_base32_keeps_the_order_of_numbers(number: int) -> None:
    text = base32(number)
    assert len(text) == 26
    assert text >= base32(number // 2)


@given(chances, st.integers(1, 9_999), st.integers(1, 10))
def test_an_attempt_id_fits_a_receipt_and_leads_back_to_its_payment(
    chance: bytes, epoch: int, number: int
) -> None:
    payment = minted(1_700_000_000_000, chance)
    attempt = attempt_id(payment, epoch, number)
    assert len(attempt) <= 40
    assert payment_of(attempt) == payment


def test_attempts_of_different_epochs_never_share_an_id() -> None:
    payment = payment_id(UUID(int=1))
    ids = {attempt_id(payment, epoch, number) for epoch in range(1, 30) for number in range(1, 12)}
    assert len(ids) == 29 * 11


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pay_",
        "att_01kb1sv5zb7000820c40m2gc1r",
        "pay_01kb1sv5zb7000820c40m2gc1",
        "pay_01kb1sv5zb7000820c40m2gc1rr",
        "pay_01KB1SV5ZB7000820C40M2GC1R",
        "pay_01kb1sv5zb7000820c40m2gcil",
        "pay_81kb1sv5zb7000820c40m2gc1r",
        "pay_7zzzzzzzzzzzzzzzzzzzzzzzzz",
        "pay_01kb1sv5zb7000820c40m2gc1\n",
        "pay_0²kb1sv5zb7000820c40m2gc1r",
    ],
)
def test_what_no_clock_can_have_minted_is_no_payment_id(text: str) -> None:
    assert not is_payment_id(text)


def test_an_attempt_id_is_recognised() -> None:
    assert is_attempt_id(attempt_id(payment_id(uuid7(1_700_000_000_000, bytes(10))), 12, 3))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pay_01kb1sv5zb7000820c40m2gc1r",
        "att_01kb1sv5zb7000820c40m2gc1r",
        "att_01kb1sv5zb7000820c40m2gc1r_1",
        "att_01kb1sv5zb7000820c40m2gc1r_1_",
        "att_01kb1sv5zb7000820c40m2gc1r_1_1_1",
        "att_01kb1sv5zb7000820c40m2gc1r_1_²",
        "att_01kb1sv5zb7000820c40m2gc1r_1_1\n",
        "att_7zzzzzzzzzzzzzzzzzzzzzzzzz_1_1",
        "att_01kb1sv5zb7000820c40m2gc1r_1_12345678901234567890",
    ],
)
def test_what_we_cannot_have_sent_to_a_gateway_is_no_attempt_id(text: str) -> None:
    assert not is_attempt_id(text)


@given(st.text(alphabet="0123456789abcdefghjkmnpqrstvwxyz", min_size=26, max_size=26))
def test_every_payment_id_has_a_time(body: str) -> None:
    if is_payment_id("pay_" + body):
        assert minted_at(PaymentId("pay_" + body)).year >= 1970


def test_a_uuid_is_of_version_7_and_its_variant() -> None:
    assert uuid7(1, bytes(10)).version == 7
    assert uuid7(1, b"\xff" * 10).variant == "specified in RFC 4122"


@pytest.mark.parametrize("number", [1, 9, 10])
def test_an_attempt_id_is_known_by_its_form(number: int) -> None:
    attempt = attempt_id(minted(1_772_323_200_000), 1, number)
    assert is_attempt_id(attempt)
    for other in (
        "",
        "att_",
        attempt[:-2],
        attempt + "_1",
        attempt + "0000000",
        attempt + "x",
        attempt + "\n",
    ):
        assert not is_attempt_id(other)
    assert not is_attempt_id(attempt.replace("att_", "pay_"))
    assert not is_attempt_id(attempt.replace("_1_", "_01_"))
