"""By what a gateway's figures are kept."""

import pytest

from schemas.dimensions import Dimensions, Earlier, amount_band, dimensions_of, earlier, issuer
from schemas.instrument import CardMasked, MaskedInstrument, NetbankingMasked, UpiMasked, WalletMasked
from schemas.outcome import Outcome
from tests.builders import awaiting, declined, in_doubt, not_sent, success


@pytest.mark.parametrize(
    ("amount_minor", "currency", "band"),
    [
        (1, "INR", "1e0"),
        (999, "INR", "1e0"),
        (1_000, "INR", "1e1"),
        (129_900, "INR", "1e3"),
        (999, "JPY", "1e2"),
        (1_000, "KWD", "1e0"),
        (10_000_000_000, "INR", "1e8"),
    ],
)
def test_an_amount_is_banded_by_the_power_of_ten_of_its_currencys_units(
    amount_minor: int, currency: str, band: str
) -> None:
    assert amount_band(amount_minor, currency) == band


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        (UpiMasked(vpa_masked="te***@okhdfcbank", handle="okhdfcbank"), "okhdfcbank"),
        (UpiMasked(), None),
        (CardMasked(bin="41111122", last4="1111"), "411111"),
        (NetbankingMasked(bank_code="HDFC"), "hdfc"),
        (WalletMasked(wallet="Phonepe"), "phonepe"),
    ],
)
def test_the_issuer_is_told_by_the_instrument(instrument: MaskedInstrument, name: str | None) -> None:
    assert issuer(instrument) == name


def test_a_cards_network_is_a_dimension_too() -> None:
    card = CardMasked(bin="411111", last4="1111", network="VISA")
    found = dimensions_of(payment_method="CARD", amount_minor=5_000, currency="INR", instrument=card)
    assert found == Dimensions(payment_method="CARD", amount_band="1e1", issuer="411111", network="visa")


@pytest.mark.parametrize(
    ("outcome", "before"),
    [
        (None, None),
        (success(), Earlier(kind="succeeded")),
        (declined(), Earlier(kind="declined", code="insufficient_funds", blame="customer")),
        (not_sent(), Earlier(kind="not_sent", code="connect")),
        (awaiting(), Earlier(kind="awaiting_customer")),
        (in_doubt(), Earlier(kind="in_doubt", code="read_timeout")),
    ],
)
def test_what_was_known_before_is_told_as_it_was_counted(
    outcome: Outcome | None, before: Earlier | None
) -> None:
    assert earlier(outcome) == before
