"""Rules and orders that tests begin with, and any that hypothesis can think of."""

import msgspec
from hypothesis import strategies as st

from schemas.ids import GatewayId
from schemas.instrument import CardMasked, MaskedInstrument, PaymentMethod, UpiMasked
from schemas.payment import Order
from schemas.routing_configuration import (
    Action,
    Condition,
    Exclude,
    Pin,
    Prefer,
    RoutingRules,
    Rule,
    Split,
)

ALPHA, BETA, GAMMA = (GatewayId(name) for name in ("alpha", "beta", "gamma"))
VISA = CardMasked(bin="41111111", last4="1111", network="Visa")


def an_order(
    *,
    merchant_id: str = "mrc_1",
    amount_minor: int = 129_900,
    currency: str = "INR",
    payment_method: PaymentMethod = "UPI",
    instrument: MaskedInstrument | None = None,
    attributes: dict[str, str] | None = None,
) -> Order:
    return Order(
        merchant_id=merchant_id,
        customer_id="cus_1",
        amount_minor=amount_minor,
        currency=currency,
        payment_method=payment_method,
        instrument=instrument or UpiMasked(vpa_masked="te***@okhdfcbank", handle="okhdfcbank"),
        attributes=attributes or {},
    )


def rule(id: str, then: Action, **when: object) -> Rule:
    return Rule(id=id, then=then, when=msgspec.convert(when, Condition))


def pin(id: str = "pinned", to: GatewayId = ALPHA, **when: object) -> Rule:
    return rule(id, Pin(gateway=to), **when)


def prefer(*gateways: GatewayId, id: str = "preferred", **when: object) -> Rule:
    return rule(id, Prefer(gateways=gateways), **when)


def split(weights: dict[GatewayId, int], id: str = "halves", **when: object) -> Rule:
    return rule(id, Split(weights=weights), **when)


def exclude(*gateways: GatewayId, id: str = "excluded", **when: object) -> Rule:
    return rule(id, Exclude(gateways=gateways), **when)


def rules(*given: Rule) -> RoutingRules:
    return RoutingRules(rules=given)


_names = st.sampled_from([ALPHA, BETA, GAMMA])
_some = st.lists(_names, min_size=1, max_size=3, unique=True).map(tuple)
actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(Pin, gateway=_names),
    st.builds(Prefer, gateways=_some),
    st.builds(Split, weights=st.dictionaries(_names, st.integers(1, 100), min_size=1)),
    st.builds(Exclude, gateways=_some),
)


def _perhaps(values: list[str]) -> st.SearchStrategy[tuple[str, ...] | None]:
    return st.none() | st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


conditions: st.SearchStrategy[Condition] = st.builds(
    Condition,
    merchant_ids=_perhaps(["mrc_1", "mrc_2"]),
    segments=_perhaps(["UPI", "CARD"]),
    payment_methods=_perhaps(["UPI", "CARD"]),
    currencies=_perhaps(["INR", "USD"]),
    minimum_amount_minor=st.none() | st.integers(1, 300),
    maximum_amount_minor=st.none() | st.integers(1, 300),
    issuers=_perhaps(["okhdfcbank", "411111"]),
    networks=_perhaps(["visa"]),
    attributes=st.none()
    | st.dictionaries(
        st.just("channel"), st.lists(st.sampled_from(["app", "web"]), max_size=2).map(tuple), max_size=1
    ),
)
any_rules: st.SearchStrategy[RoutingRules] = st.lists(
    st.builds(Rule, id=st.just("x"), then=actions, when=conditions, enabled=st.booleans()), max_size=8
).map(
    lambda given: RoutingRules(
        rules=tuple(msgspec.structs.replace(one, id=f"r{place}") for place, one in enumerate(given))
    )
)
any_orders: st.SearchStrategy[Order] = st.builds(
    an_order,
    merchant_id=st.sampled_from(["mrc_1", "mrc_2"]),
    amount_minor=st.integers(1, 300),
    currency=st.sampled_from(["INR", "USD"]),
    payment_method=st.sampled_from(["UPI", "CARD"]),
    instrument=st.sampled_from([UpiMasked(), UpiMasked(handle="okhdfcbank"), VISA]),
    attributes=st.sampled_from([{}, {"channel": "app"}, {"channel": "web"}]),
)
