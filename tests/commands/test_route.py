"""The route: who can take a payment, in which order, and why the others cannot."""

import pytest

from commands.routing.eligibility import exclusion
from commands.routing.route import route
from schemas.gateway import GatewayConfiguration
from schemas.routing import RetryPolicy
from tests.builders import a_gateway, an_order


def order_of(*gateways: GatewayConfiguration) -> list[str]:
    return [candidate.gateway for candidate in route(an_order(), gateways, RetryPolicy()).candidates]


def test_the_first_priority_is_tried_first() -> None:
    assert order_of(a_gateway("late", priority=2), a_gateway("early", priority=1)) == ["early", "late"]


def test_of_equal_priorities_the_cheaper_is_tried_first() -> None:
    assert order_of(a_gateway("dear", fee_bps=20), a_gateway("cheap", fee_bps=10)) == ["cheap", "dear"]


def test_of_equals_the_name_decides_so_that_every_process_routes_alike() -> None:
    assert order_of(a_gateway("beta"), a_gateway("alpha")) == ["alpha", "beta"]


@pytest.mark.parametrize(
    ("gateway", "reason"),
    [
        (a_gateway(), None),
        (a_gateway(enabled=False), "disabled"),
        (a_gateway(payment_methods=("CARD",)), "method"),
        (a_gateway(currencies=("USD",)), "currency"),
        (a_gateway(minimum_amount_minor=129_901), "amount_below_minimum"),
        (a_gateway(minimum_amount_minor=129_900, maximum_amount_minor=129_900), None),
        (a_gateway(maximum_amount_minor=129_899), "amount_above_maximum"),
    ],
)
def test_a_gateway_is_excluded_for_the_first_reason_there_is(
    gateway: GatewayConfiguration, reason: str | None
) -> None:
    assert exclusion(an_order(), gateway) == reason


def test_every_gateway_is_either_a_candidate_or_excluded() -> None:
    gateways = (a_gateway("alpha"), a_gateway("beta", enabled=False), a_gateway("gamma", currencies=("EUR",)))
    routed = route(an_order(), gateways, RetryPolicy())
    named = [*(c.gateway for c in routed.candidates), *(e.gateway for e in routed.excluded)]
    assert sorted(named) == ["alpha", "beta", "gamma"]


def test_a_route_without_candidates_says_so() -> None:
    assert route(an_order(), (), RetryPolicy()).reason == "none eligible"
