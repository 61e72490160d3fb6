"""The page of settings says what the settings are."""

import msgspec
import pytest

from infra.configuration_reference import HOW_TO, PAGE, Undocumented, main, page
from infra.settings import Settings


def rows() -> dict[str, list[str]]:
    lines = [line.strip("| \n").split(" | ") for line in page().splitlines() if line.startswith("| `")]
    return {name.strip("`"): rest for name, *rest in lines}


def test_the_page_in_docs_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), HOW_TO
    assert main(["--check"]) == 0


def test_every_setting_has_its_row_with_what_it_means() -> None:
    assert list(rows()) == [name.upper() for name in Settings.__struct_fields__]
    assert all(len(row) == 3 for row in rows().values())


def test_defaults_types_and_limits_are_told_as_the_environment_takes_them() -> None:
    told = rows()
    assert told["GATEWAY_TIMEOUT_MS"][:2] == ["`2500`", "whole number, ≥ 50 and ≤ 20,000"]
    assert told["BIND_ADDR"][:2] == ["`0.0.0.0:3000`", "HOST:PORT"]
    assert told["STRIPE_SECRET_KEY"][:2] == ["–", "sk_… or rk_…"]
    assert told["RAZORPAY_UPI_COLLECT"][:2] == ["`false`", "`true` or `false`"]
    assert told["VERIFICATION_SCHEDULE_CARD"][1] == "list of: number, > 0 and ≤ 2,592,000"


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_a_default_that_is_told_is_one_that_is_taken(name: str) -> None:
    told = rows()[name.upper()][0].strip("`")
    if told != "–":
        settings = Settings.from_environment({name.upper(): told})
        assert getattr(settings, name) == getattr(Settings(), name)


class Undescribed(msgspec.Struct, frozen=True, kw_only=True):
    described: int = 1
    """So many."""
    undescribed: int = 2


def test_a_setting_without_a_meaning_is_refused() -> None:
    with pytest.raises(Undocumented, match="undescribed has no docstring"):
        page(Undescribed)
