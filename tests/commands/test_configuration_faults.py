"""What is refused of a proposed configuration, each fault by its pointer and all at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.routing.configuration_faults import faults_in, is_segment
from commands.routing.rules import matches, segment_of
from commands.routing.unreached_rules import covers, scope_of, warnings_in
from schemas.configuration import (
    SetBanditPolicy,
    SetGateway,
    SetRoutingRules,
    SetScoringWeights,
    SetSegmentation,
)
from schemas.gateway import GatewayTerms
from schemas.ids import GatewayId
from schemas.payment import Order
from schemas.routing_configuration import (
    Affinity,
    BanditPolicy,
    Condition,
    Rule,
    ScoringWeights,
    Segmentation,
)
from tests.builders import a_gateway
from tests.commands.rules import (
    ALPHA,
    BETA,
    an_order,
    any_orders,
    conditions,
    exclude,
    pin,
    prefer,
    rules,
    split,
)

GATEWAYS = (
    a_gateway("alpha"),
    a_gateway("beta", payment_methods=("CARD",), currencies=("USD",), minimum_amount_minor=100),
    a_gateway("off", enabled=False, maximum_amount_minor=1_000),
)
OFF, GHOST = GatewayId("off"), GatewayId("ghost")
CARD_NUMBER = "4111111111111111"


def pointers(*proposed: Rule, by: str = "asha", note: str = "") -> list[str]:
    command = SetRoutingRules(
        rules=rules(*proposed), gateways=GATEWAYS, by=by, note=note, instead_of_version=0
    )
    faults = faults_in(command)
    assert not any(CARD_NUMBER in fault.pointer + fault.detail for fault in faults)
    return [fault.pointer for fault in faults]


@pytest.mark.parametrize(
    "rule",
    [
        pin(),
        pin(to=OFF),
        pin(payment_methods=["CARD", "UPI"], currencies=["INR"]),
        prefer(BETA, ALPHA, payment_methods=["UPI"]),
        split({ALPHA: 1, BETA: 99}),
        exclude(BETA, payment_methods=["UPI"]),
        pin(issuers=["okhdfcbank", "411111", "hdfc"], networks=["visa"], attributes={"x-channel": ["App"]}),
        pin(minimum_amount_minor=5, maximum_amount_minor=5),
        pin(to=BETA, maximum_amount_minor=100),
        pin(to=OFF, minimum_amount_minor=1_000),
    ],
)
def test_a_rule_that_can_be_meant_is_taken(rule: Rule) -> None:
    assert pointers(rule) == []


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        (pin(to=GHOST), "/then/gateway"),
        (prefer(ALPHA, GHOST), "/then/gateways/1"),
        (prefer(ALPHA, BETA, ALPHA), "/then/gateways/2"),
        (exclude(GHOST), "/then/gateways/0"),
        (exclude(ALPHA, ALPHA), "/then/gateways/1"),
        (split({ALPHA: 1, GHOST: 1}), "/then/weights/ghost"),
        (split({ALPHA: 1, GatewayId(f"a/b {CARD_NUMBER}"): 1}), "/then/weights"),
        (split({ALPHA: 1, GatewayId(CARD_NUMBER): 1}), "/then/weights"),
        (split({ALPHA: 1}), "/then/weights"),
        (pin(to=BETA, payment_methods=["UPI"]), "/then/gateway"),
        (pin(to=BETA, currencies=["INR", "EUR"]), "/then/gateway"),
        (pin(to=BETA, maximum_amount_minor=99), "/then/gateway"),
        (pin(to=OFF, minimum_amount_minor=1_001), "/then/gateway"),
        (split({ALPHA: 1, BETA: 1}, payment_methods=["UPI"]), "/then/weights/beta"),
        (pin(merchant_ids=[]), "/when/merchant_ids"),
        (pin(segments=[]), "/when/segments"),
        (exclude(ALPHA, payment_methods=[]), "/when/payment_methods"),
        (exclude(ALPHA, currencies=[]), "/when/currencies"),
        (pin(issuers=[]), "/when/issuers"),
        (pin(networks=[]), "/when/networks"),
        (pin(attributes={}), "/when/attributes"),
        (pin(attributes={"channel": []}), "/when/attributes/channel"),
        (pin(attributes={"Channel": ["app"]}), "/when/attributes/Channel"),
        (pin(attributes={"a b": ["app"]}), "/when/attributes"),
        (pin(attributes={CARD_NUMBER: ["app"]}), "/when/attributes"),
        (pin(attributes={"channel": [CARD_NUMBER]}), "/when/attributes/channel/0"),
        (pin(merchant_ids=["mrc_1", CARD_NUMBER]), "/when/merchant_ids/1"),
        (exclude(ALPHA, currencies=["INR", "XXX"]), "/when/currencies/1"),
        (pin(issuers=["HDFC"]), "/when/issuers/0"),
        (pin(issuers=["41111111"]), "/when/issuers/0"),
        (pin(networks=["Visa"]), "/when/networks/0"),
        (pin(minimum_amount_minor=6, maximum_amount_minor=5), "/when/minimum_amount_minor"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_by_its_pointer(rule: Rule, pointer: str) -> None:
    assert pointers(rule) == [f"/rules/0{pointer}"]


def test_an_id_is_used_once() -> None:
    assert pointers(pin("same"), pin("other"), prefer(ALPHA, id="same")) == ["/rules/2/id"]


def test_all_faults_are_told_at_once() -> None:
    assert pointers(
        pin("same", to=GHOST, currencies=[]),
        exclude(ALPHA, id="same", networks=["VISA"]),
        by=CARD_NUMBER,
        note="a\nb",
    ) == [
        "/rules/0/when/currencies",
        "/rules/0/then/gateway",
        "/rules/1/id",
        "/rules/1/when/networks/0",
        "/by",
        "/note",
    ]


# Rules that are never reached


@pytest.mark.parametrize(
    "first",
    [
        pin("first"),
        pin("first", payment_methods=["UPI", "CARD"]),
        pin("first", minimum_amount_minor=5),
        pin("first", attributes={"channel": ["app", "web"]}),
    ],
)
def test_a_rule_behind_one_that_decides_all_it_matches_is_pointed_out_and_not_refused(first: Rule) -> None:
    second = prefer(
        BETA,
        id="second",
        payment_methods=["UPI"],
        minimum_amount_minor=5,
        maximum_amount_minor=9,
        attributes={"channel": ["app"]},
    )
    (warning,) = warnings_in(rules(first, second))
    assert warning.pointer == "/rules/1"
    assert "first" in warning.detail
    assert pointers(first, second) == []


@pytest.mark.parametrize(
    "first",
    [
        exclude(ALPHA, id="first"),
        pin("first", payment_methods=["CARD"]),
        pin("first", minimum_amount_minor=6),
        pin("first", maximum_amount_minor=8),
        pin("first", attributes={"channel": ["web"]}),
        pin("first", merchant_ids=["mrc_1"]),
    ],
)
def test_a_rule_that_something_is_left_for_is_not(first: Rule) -> None:
    second = prefer(
        BETA,
        id="second",
        payment_methods=["UPI"],
        minimum_amount_minor=5,
        maximum_amount_minor=9,
        attributes={"channel": ["app"]},
    )
    assert warnings_in(rules(first, second, exclude(ALPHA, id="third"))) == []


@given(conditions, conditions, any_orders)
def test_what_covers_a_condition_holds_wherever_that_holds(
    wide: Condition, narrow: Condition, order: Order
) -> None:
    if covers(scope_of(wide), scope_of(narrow)) and matches(narrow, order, "UPI"):
        assert matches(wide, order, "UPI")


# Weights, segments, policies


def affinity_pointers(*affinities: Affinity) -> list[str]:
    command = SetScoringWeights(
        weights=ScoringWeights(),
        affinities=affinities,
        gateways=GATEWAYS,
        by="asha",
        note="",
        instead_of_version=0,
    )
    return [fault.pointer for fault in faults_in(command)]


def test_an_affinity_is_of_a_known_gateway_with_a_merchant_or_a_method_that_it_takes() -> None:
    assert affinity_pointers(
        Affinity(gateway=ALPHA, value=1, merchant_id="mrc_1"),
        Affinity(gateway=ALPHA, value=1, payment_method="UPI"),
        Affinity(gateway=GHOST, value=1, merchant_id="mrc_1"),
        Affinity(gateway=BETA, value=1, payment_method="UPI"),
        Affinity(gateway=ALPHA, value=-1, merchant_id="mrc_1"),
        Affinity(gateway=ALPHA, value=0),
    ) == ["/affinities/2/gateway", "/affinities/3/payment_method", "/affinities/4", "/affinities/5"]


@pytest.mark.parametrize(
    ("segmentation", "pointer"),
    [
        (Segmentation(dimensions=()), "/dimensions"),
        (Segmentation(dimensions=("payment_method", "payment_method")), "/dimensions/1"),
        (Segmentation(dimensions=("currency", "payment_method")), "/dimensions/0"),
        (Segmentation(merchant_tiers={"": "gold"}), "/merchant_tiers"),
        (Segmentation(merchant_tiers={CARD_NUMBER: "gold"}), "/merchant_tiers"),
    ],
)
def test_a_segmentation_that_cannot_be_meant_is_refused(segmentation: Segmentation, pointer: str) -> None:
    command = SetSegmentation(segmentation=segmentation, by="asha", note="", instead_of_version=0)
    assert [fault.pointer for fault in faults_in(command)] == [pointer]


def test_a_policy_says_who_set_it_without_a_card_number() -> None:
    command = SetBanditPolicy(
        segment="*", policy=BanditPolicy(), by=CARD_NUMBER, note="", instead_of_version=0
    )
    assert [fault.pointer for fault in faults_in(command)] == ["/by"]


DIMENSIONS = st.lists(
    st.sampled_from(["payment_method", "merchant_tier", "amount_band", "currency"]), min_size=1, unique=True
).map(tuple)


@given(any_orders, DIMENSIONS)
def test_the_segment_of_a_payment_is_one(order: Order, dimensions: tuple[str, ...]) -> None:
    segmentation = Segmentation(dimensions=dimensions, merchant_tiers={"mrc_1": "gold"})  # type: ignore[arg-type]
    assert is_segment(segment_of(order, segmentation), segmentation)


@pytest.mark.parametrize("name", ["", "upi", "UPI:", "UPI:silver", "UPI:gold:1e3", "CASH:gold", "gold:UPI"])
def test_what_no_payment_can_be_of_is_no_segment(name: str) -> None:
    segmentation = Segmentation(
        dimensions=("payment_method", "merchant_tier"), merchant_tiers={"mrc_1": "gold"}
    )
    assert segment_of(an_order(), segmentation) == "UPI:gold"
    assert is_segment("UPI:gold", segmentation)
    assert is_segment("CARD:standard", segmentation)
    assert is_segment("*", segmentation)
    assert not is_segment(name, segmentation)


# Gateways


@pytest.mark.parametrize(
    ("terms", "pointers"),
    [
        (GatewayTerms(), []),
        (GatewayTerms(currencies=("INR", "USD"), payment_methods=("WALLET", "UPI")), []),
        (GatewayTerms(minimum_amount_minor=500), []),
        (GatewayTerms(minimum_amount_minor=501), ["/minimum_amount_minor"]),
        (GatewayTerms(maximum_amount_minor=99), ["/maximum_amount_minor"]),
        (GatewayTerms(minimum_amount_minor=9, maximum_amount_minor=8), ["/minimum_amount_minor"]),
        (
            GatewayTerms(currencies=("INR", "inr", "INR", "XTS"), payment_methods=("UPI", "UPI")),
            ["/payment_methods/1", "/currencies/1", "/currencies/2", "/currencies/3"],
        ),
    ],
)
def test_the_terms_of_a_gateway_are_judged_together_with_what_is_configured(
    terms: GatewayTerms, pointers: list[str]
) -> None:
    command = SetGateway(
        gateway=ALPHA,
        terms=terms,
        configured=(a_gateway(minimum_amount_minor=100, maximum_amount_minor=500),),
        by="asha",
        note="",
        instead_of_version=0,
    )
    assert [fault.pointer for fault in faults_in(command)] == pointers
