"""Past routes, chosen again from what they recorded."""

from msgspec.structs import replace

from commands.routing.route import route
from schemas.ids import GatewayId
from schemas.payment import PaymentRouted
from schemas.routing import Facts, Posterior
from schemas.routing_configuration import BanditPolicy, RetryPolicy, RoutingConfiguration
from streams.decisions import Audit, audited
from tests.builders import PAYMENT, an_order, gateways
from tests.projections.story import raw, recorded, requested

NAMES = ("alpha", "beta", "gamma")
FACTS = Facts(
    configuration=RoutingConfiguration(bandits={"*": BanditPolicy(enabled=True)}),
    posteriors={(GatewayId(name), "UPI"): Posterior(alpha=90 + 1 / 3, beta=10.1) for name in NAMES},
)


def decided(draw: float) -> PaymentRouted:
    return route(an_order(), gateways(*NAMES), RetryPolicy(), FACTS, draw)


def audit(*events: PaymentRouted) -> Audit:
    records = [raw(recorded(event, payment=PAYMENT, offset=place)) for place, event in enumerate(events)]
    return audited(Audit(), records)


def test_a_route_follows_from_what_it_recorded() -> None:
    assert audit(*(decided(draw / 7) for draw in range(7))) == Audit(agree=7)


def test_a_route_in_another_order_than_follows_is_named() -> None:
    true = decided(0.5)
    turned = replace(true, candidates=true.candidates[::-1])
    assert audit(true, turned) == Audit(agree=1, differ=1, named=(PAYMENT,))


def test_a_route_with_a_number_that_was_changed_is_named() -> None:
    true = decided(0.5)
    first, *others = true.candidates
    assert audit(replace(true, candidates=(replace(first, alpha=1.0), *others))).named == (PAYMENT,)


def test_routes_from_before_there_were_scores_are_counted_and_not_judged() -> None:
    assert audit(replace(decided(0.5), decision=None)) == Audit(unexplained=1)


def test_what_is_no_route_is_passed_over_and_what_cannot_be_read_is_counted() -> None:
    broken = raw(recorded(decided(0.5), payment=PAYMENT, offset=0))._replace(value=b"{")
    other = raw(recorded(requested(), payment=PAYMENT, offset=1))
    assert audited(Audit(), [broken, other]) == Audit(unreadable=1)
