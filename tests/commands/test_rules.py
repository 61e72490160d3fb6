"""What configured rules say of a payment."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.routing.rules import Ruling, apply, matches, segment_of
from schemas.instrument import NetbankingMasked, UpiMasked, WalletMasked
from schemas.payment import Order
from schemas.routing_configuration import Condition, Exclude, RoutingRules, Rule, Segmentation
from tests.commands.rules import (
    ALPHA,
    BETA,
    GAMMA,
    VISA,
    an_order,
    any_orders,
    any_rules,
    conditions,
    exclude,
    pin,
    prefer,
    rules,
    split,
)


def ruled(*given: Rule) -> Ruling:
    return apply(rules(*given), an_order(), "UPI")


# Conditions


def test_a_condition_without_anything_given_holds_for_every_payment() -> None:
    assert matches(Condition(), an_order(), "UPI")


@pytest.mark.parametrize(
    "condition",
    [
        Condition(merchant_ids=("mrc_0", "mrc_1")),
        Condition(segments=("UPI:gold",)),
        Condition(payment_methods=("CARD", "UPI")),
        Condition(currencies=("USD", "INR")),
        Condition(minimum_amount_minor=129_900),
        Condition(maximum_amount_minor=129_900),
        Condition(issuers=("okhdfcbank",)),
        Condition(attributes={"channel": ("app", "web")}),
    ],
)
def test_each_condition_holds_by_itself(condition: Condition) -> None:
    assert matches(condition, an_order(attributes={"channel": "web"}), "UPI:gold")


@pytest.mark.parametrize(
    "condition",
    [
        Condition(merchant_ids=("mrc_10",)),
        Condition(segments=("UPI",)),
        Condition(payment_methods=("CARD",)),
        Condition(currencies=("USD",)),
        Condition(minimum_amount_minor=129_901),
        Condition(maximum_amount_minor=129_899),
        Condition(issuers=("oksbi",)),
        Condition(networks=("visa",)),
        Condition(attributes={"channel": ("app",)}),
        Condition(attributes={"channel": ("web",), "region": ("south",)}),
        Condition(merchant_ids=("mrc_1",), currencies=("USD",)),
    ],
)
def test_one_thing_that_does_not_hold_is_enough(condition: Condition) -> None:
    assert not matches(condition, an_order(attributes={"channel": "web"}), "UPI:gold")


@pytest.mark.parametrize(
    ("order", "issuer"),
    [
        (an_order(instrument=VISA), "411111"),
        (an_order(instrument=NetbankingMasked(bank_code="HDFC")), "hdfc"),
        (an_order(instrument=WalletMasked(wallet="PayTM")), "paytm"),
    ],
)
def test_an_issuer_is_a_handle_a_bin_a_bank_or_a_wallet(order: Order, issuer: str) -> None:
    assert matches(Condition(issuers=(issuer,)), order, "")


def test_a_network_is_known_in_lower_case() -> None:
    assert matches(Condition(networks=("visa",)), an_order(instrument=VISA), "")


def test_a_payment_whose_issuer_is_not_known_is_of_none() -> None:
    assert not matches(Condition(issuers=("okhdfcbank",)), an_order(instrument=UpiMasked()), "")


@given(
    any_orders,
    st.sampled_from(
        [
            Condition(merchant_ids=()),
            Condition(segments=()),
            Condition(payment_methods=()),
            Condition(currencies=()),
            Condition(issuers=()),
            Condition(networks=()),
            Condition(attributes={"channel": ()}),
        ]
    ),
)
def test_an_empty_list_never_matches(order: Order, condition: Condition) -> None:
    assert not matches(condition, order, "UPI")


@given(conditions, conditions, any_orders)
def test_more_conditions_never_match_more(one: Condition, other: Condition, order: Order) -> None:
    both = msgspec.convert(msgspec.to_builtins(other) | msgspec.to_builtins(one), Condition)
    if matches(both, order, "UPI"):
        assert matches(one, order, "UPI")


# Rules


def test_without_rules_nothing_is_ruled() -> None:
    assert ruled() == Ruling(excluded={}, decided_by=None)


def test_the_first_rule_that_matches_decides() -> None:
    ruling = ruled(pin("cards", BETA, payment_methods=["CARD"]), prefer(BETA, ALPHA), pin("late", GAMMA))
    assert ruling.decided_by == prefer(BETA, ALPHA)


def test_every_exclusion_that_matches_counts_also_after_the_rule_that_decides() -> None:
    ruling = ruled(
        exclude(ALPHA, id="first"),
        split({BETA: 1, GAMMA: 2}),
        exclude(ALPHA, BETA, id="second"),
        exclude(GAMMA, id="cards", payment_methods=["CARD"]),
    )
    assert ruling.excluded == {ALPHA: "first", BETA: "second"}
    assert ruling.decided_by == split({BETA: 1, GAMMA: 2})


def test_a_rule_that_is_not_enabled_says_nothing() -> None:
    off = [replace(one, enabled=False) for one in (exclude(ALPHA), pin())]
    assert ruled(*off) == Ruling(excluded={}, decided_by=None)


@given(any_rules, any_orders)
def test_an_exclusion_always_excludes(some: RoutingRules, order: Order) -> None:
    excluded = apply(some, order, "UPI").excluded
    for one in some.rules:
        if one.enabled and isinstance(one.then, Exclude) and matches(one.when, order, "UPI"):
            assert set(one.then.gateways) <= excluded.keys()


@given(any_rules, any_orders)
def test_what_is_ruled_names_rules_that_are_enabled_and_match(some: RoutingRules, order: Order) -> None:
    ruling = apply(some, order, "UPI")
    by_id = {one.id: one for one in some.rules}
    deciding = [ruling.decided_by.id] if ruling.decided_by else []
    for id_ in [*ruling.excluded.values(), *deciding]:
        assert by_id[id_].enabled
        assert matches(by_id[id_].when, order, "UPI")


@given(any_rules, any_orders, st.randoms(use_true_random=False))
def test_the_order_matters_only_among_the_rules_that_decide(
    some: RoutingRules, order: Order, chance: random.Random
) -> None:
    """Exclusions put anywhere between the others exclude the same gateways and decide the same."""
    deciding = [one for one in some.rules if not isinstance(one.then, Exclude)]
    mixed = list(deciding)
    for one in some.rules:
        if isinstance(one.then, Exclude):
            mixed.insert(chance.randint(0, len(mixed)), one)
    before, after = apply(some, order, "UPI"), apply(RoutingRules(rules=tuple(mixed)), order, "UPI")
    assert after.excluded.keys() == before.excluded.keys()
    assert after.decided_by == before.decided_by


@given(any_rules, any_orders)
def test_a_rule_that_does_not_match_could_as_well_not_be_there(some: RoutingRules, order: Order) -> None:
    left = tuple(one for one in some.rules if one.enabled and matches(one.when, order, "UPI"))
    assert apply(some, order, "UPI") == apply(RoutingRules(rules=left), order, "UPI")


# Segments


@pytest.mark.parametrize(
    ("dimensions", "segment"),
    [
        (("payment_method",), "UPI"),
        (("payment_method", "merchant_tier", "amount_band"), "UPI:gold:1e3"),
        (("amount_band", "payment_method"), "1e3:UPI"),
        (("currency",), "INR"),
        ((), ""),
    ],
)
def test_a_segment_joins_the_values_in_the_order_of_the_dimensions(
    dimensions: tuple[str, ...], segment: str
) -> None:
    segmentation = Segmentation(dimensions=dimensions, merchant_tiers={"mrc_1": "gold"})  # type: ignore[arg-type]
    assert segment_of(an_order(), segmentation) == segment


def test_a_merchant_without_a_tier_is_standard() -> None:
    segmentation = Segmentation(dimensions=("merchant_tier",), merchant_tiers={"mrc_1": "gold"})
    assert segment_of(an_order(merchant_id="mrc_2"), segmentation) == "standard"
