"""Instruments: what a client may send, and how little of it is written down."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.http import PaymentBody, faults_in, looks_like_a_card_number
from schemas.instrument import (
    Card,
    CardMasked,
    Instrument,
    Netbanking,
    NetbankingMasked,
    PaymentMethod,
    Upi,
    UpiMasked,
    Wallet,
    WalletMasked,
    masked,
    method_of,
)
from tests.builders import a_body

CARD = Card(token="tok_3fd9a", bin="411111", last4="1111", network="visa")
CARD_NUMBER = "4111111111111111"


@pytest.mark.parametrize(
    ("instrument", "mask"),
    [
        (Upi(), UpiMasked()),
        (Upi(vpa="test.user@okHDFCbank"), UpiMasked(vpa_masked="***@okHDFCbank", handle="okhdfcbank")),
        (Upi(vpa="four@upi"), UpiMasked(vpa_masked="***@upi", handle="upi")),
        (CARD, CardMasked(bin="411111", network="visa")),
        (Netbanking(bank_code="HDFC"), NetbankingMasked(bank_code="HDFC")),
        (Wallet(wallet="paytm"), WalletMasked(wallet="paytm")),
    ],
)
def test_only_what_routing_needs_is_written_down(instrument: Instrument, mask: object) -> None:
    assert masked(instrument) == mask


def test_the_token_of_a_card_is_not_written_down() -> None:
    assert "tok_3fd9a" not in repr(masked(CARD))


@given(st.from_regex(r"\A[a-z0-9._-]{2,40}\Z"))
def test_nothing_of_a_vpas_name_is_written_down(name: str) -> None:
    assert masked(Upi(vpa=f"{name}@upi")) == masked(Upi(vpa="another@upi"))


@pytest.mark.parametrize(
    ("instrument", "method"),
    [
        (Upi(), "UPI"),
        (CARD, "CARD"),
        (Netbanking(bank_code="HDFC"), "NETBANKING"),
        (Wallet(wallet="paytm"), "WALLET"),
    ],
)
def test_an_instrument_belongs_to_one_method(instrument: Instrument, method: PaymentMethod) -> None:
    assert method_of(instrument) == method
    assert faults_in(a_body(payment_method=method, instrument=instrument)) == []


def test_an_instrument_of_another_method_is_a_fault() -> None:
    assert [fault.pointer for fault in faults_in(a_body(instrument=CARD))] == ["/instrument/type"]


@pytest.mark.parametrize(
    "sent",
    [
        b'{"type":"CARD","token":"tok_3fd9a","bin":"411111","last4":"1111","cvv":"123"}',
        b'{"type":"CARD","number":"4111111111111111"}',
        b'{"type":"UPI","vpa":"no-handle"}',
        b'{"type":"UPI","vpa":"asha@example.com"}',
        b'{"type":"UPI","vpa":"a@upi"}',
        b'{"type":"UPI","vpa":"test.user@upi\\n"}',
        b'{"type":"CASH"}',
        b"{}",
    ],
)
def test_what_is_no_instrument_is_refused(sent: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(sent, type=Instrument)


@pytest.mark.parametrize("field", ["merchant_id", "customer_id", "currency"])
def test_a_line_break_after_an_identifier_is_refused(field: str) -> None:
    body = msgspec.to_builtins(a_body())
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body | {field: body[field] + "\n"}, PaymentBody)


@pytest.mark.parametrize(
    "text",
    [
        CARD_NUMBER,
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "6011111111111117",
        "4222222222222",
        "6304000000000000000",
    ],
)
def test_a_card_number_is_recognised(text: str) -> None:
    assert looks_like_a_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111112",
        "411111111111",
        "41111111111111111111",
        "tok_4111111111111111",
        "²" * 14,
        "customer",
    ],
)
def test_what_is_no_card_number_is_not_taken_for_one(text: str) -> None:
    assert not looks_like_a_card_number(text)


@given(st.integers(10**11, 10**17), st.integers(0, 9))
def test_a_card_number_with_one_wrong_digit_is_none(number: int, wrong: int) -> None:
    valid = [f"{number}{check}" for check in range(10) if looks_like_a_card_number(f"{number}{check}")]
    assert len(valid) == 1
    changed = f"{wrong}{valid[0][1:]}"
    assert changed == valid[0] or not looks_like_a_card_number(changed)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (a_body(merchant_id=CARD_NUMBER), "/merchant_id"),
        (a_body(customer_id=CARD_NUMBER), "/customer_id"),
        (
            a_body(payment_method="CARD", instrument=msgspec.structs.replace(CARD, token=CARD_NUMBER)),
            "/instrument/token",
        ),
        (
            a_body(payment_method="CARD", instrument=msgspec.structs.replace(CARD, network=CARD_NUMBER)),
            "/instrument/network",
        ),
        (
            a_body(payment_method="NETBANKING", instrument=Netbanking(bank_code=CARD_NUMBER)),
            "/instrument/bank_code",
        ),
        (a_body(payment_method="WALLET", instrument=Wallet(wallet=CARD_NUMBER)), "/instrument/wallet"),
    ],
)
def test_a_card_number_is_refused_wherever_it_could_be_written_down(body: PaymentBody, pointer: str) -> None:
    assert [fault.pointer for fault in faults_in(body)] == [pointer]
