"""The route: who can take a payment, in which order, and why the others cannot."""

import pytest
from msgspec.structs import replace

from commands.routing.eligibility import exclusion
from commands.routing.ranking import recomputed
from commands.routing.route import route
from schemas.circuit import CircuitStatus
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.payment import PaymentRouted
from schemas.routing import Excluded, Facts, Posterior, Probe
from schemas.routing_configuration import BanditPolicy, RetryPolicy, RoutingConfiguration, Rule
from tests.builders import a_gateway, an_order, gateways
from tests.commands.routes import circuits
from tests.commands.rules import ALPHA, BETA, GAMMA, exclude, pin, prefer, rules, split

THREE = gateways("alpha", "beta", "gamma")
PROBE = Probe(gateway=BETA, lease="3.1")
BANDIT = {"*": BanditPolicy(enabled=True)}


def ruled(*given: Rule, **statuses: CircuitStatus) -> Facts:
    return Facts(
        configuration=RoutingConfiguration(rules=rules(*given)),
        circuits=circuits({GatewayId(name): status for name, status in statuses.items()}),
    )


def routed(
    facts: Facts, *, draw: float = 0.0, probe: Probe | None = None, policy: RetryPolicy | None = None
) -> PaymentRouted:
    """Between three gateways that differ in their priority only."""
    return route(an_order(), THREE, policy or RetryPolicy(), facts, draw, probe)


def names(routed: PaymentRouted) -> list[str]:
    return [candidate.gateway for candidate in routed.candidates]


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


@pytest.mark.parametrize(
    "configuration",
    [
        RoutingConfiguration(bandits=BANDIT),
        RoutingConfiguration(rules=rules(split({ALPHA: 1}))),
        RoutingConfiguration(rules=rules(prefer(ALPHA))),
    ],
)
def test_a_route_without_candidates_is_empty_whatever_would_have_ordered_them(
    configuration: RoutingConfiguration,
) -> None:
    empty = route(an_order(), (), RetryPolicy(), Facts(configuration=configuration))
    assert (empty.strategy, empty.candidates, empty.reason) == ("SCORE", (), "none eligible")


# Rules


def test_a_pinned_payment_has_only_that_gateway() -> None:
    pinned = routed(ruled(pin(to=BETA)))
    assert (pinned.strategy, names(pinned)) == ("RULE", ["beta"])
    assert pinned.excluded == tuple(
        Excluded(gateway=name, reason="not_pinned", rule="pinned") for name in (ALPHA, GAMMA)
    )


def test_a_pinned_gateway_that_is_excluded_leaves_none() -> None:
    assert names(routed(ruled(pin(to=BETA), exclude(BETA)))) == []


def test_preferred_gateways_come_first_in_their_order_and_the_others_after_them() -> None:
    preferred = routed(ruled(prefer(GAMMA, BETA)))
    assert (preferred.strategy, names(preferred)) == ("RULE", ["gamma", "beta", "alpha"])


@pytest.mark.parametrize(
    ("draw", "order"),
    [
        (0.0, ["beta", "alpha", "gamma"]),
        (0.74, ["beta", "alpha", "gamma"]),
        (0.76, ["gamma", "alpha", "beta"]),
    ],
)
def test_a_split_draws_the_first_by_weight_and_the_others_follow_by_score(
    draw: float, order: list[str]
) -> None:
    drawn = routed(ruled(split({BETA: 3, GAMMA: 1})), draw=draw)
    assert (drawn.strategy, names(drawn)) == ("RULE", order)
    assert {one.gateway: one.propensity for one in drawn.candidates} == {ALPHA: 0, BETA: 0.75, GAMMA: 0.25}


def test_a_split_is_between_those_of_its_gateways_that_are_eligible() -> None:
    drawn = routed(ruled(split({BETA: 3, GAMMA: 1}), exclude(BETA)), draw=0.0)
    assert names(drawn) == ["gamma", "alpha"]


def test_a_split_between_gateways_of_which_none_is_eligible_leaves_it_to_the_score() -> None:
    drawn = routed(ruled(split({BETA: 1}), exclude(BETA)))
    assert (drawn.strategy, names(drawn)) == ("SCORE", ["alpha", "gamma"])


def test_an_excluded_gateway_names_the_rule() -> None:
    out = routed(ruled(exclude(ALPHA, id="no_alpha")))
    assert names(out) == ["beta", "gamma"]
    assert out.excluded == (Excluded(gateway=ALPHA, reason="rule", rule="no_alpha"),)


# Circuits


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("CLOSED", None),
        ("OPEN", "circuit_open"),
        ("FORCED_OPEN", "circuit_forced_open"),
        ("HALF_OPEN", "circuit_half_open"),
        ("FORCED_CLOSED", None),
    ],
)
def test_nothing_goes_to_a_gateway_whose_circuit_is_open(status: CircuitStatus, reason: str | None) -> None:
    out = routed(ruled(alpha=status))
    assert {one.gateway: one.reason for one in out.excluded} == ({ALPHA: reason} if reason else {})
    assert ("alpha" in names(out)) == (reason is None)


def test_a_circuit_is_of_one_payment_method() -> None:
    assert names(routed(Facts(circuits=circuits({ALPHA: "OPEN"}, "CARD"))))[0] == "alpha"


def test_where_all_circuits_are_open_the_least_bad_is_tried() -> None:
    bad = routed(ruled(alpha="OPEN", beta="HALF_OPEN", gamma="OPEN"))
    assert (bad.strategy, names(bad), bad.excluded) == ("LEAST_BAD", ["alpha", "beta", "gamma"], ())


def test_what_an_operator_has_forced_open_is_not_tried_even_where_nothing_else_is_left() -> None:
    bad = routed(ruled(alpha="FORCED_OPEN", beta="HALF_OPEN", gamma="OPEN"))
    assert (bad.strategy, names(bad)) == ("LEAST_BAD", ["beta", "gamma"])
    assert names(routed(ruled(alpha="FORCED_OPEN", beta="FORCED_OPEN", gamma="FORCED_OPEN"))) == []


def test_where_all_circuits_are_open_nothing_is_tried_if_the_policy_says_so() -> None:
    policy = RetryPolicy(try_open_circuits=False)
    assert names(routed(ruled(alpha="OPEN", beta="HALF_OPEN", gamma="OPEN"), policy=policy)) == []


def test_a_probe_comes_before_rules_and_scores() -> None:
    probe = routed(ruled(prefer(ALPHA), beta="HALF_OPEN"), probe=PROBE)
    assert (probe.strategy, names(probe)) == ("PROBE", ["beta", "alpha", "gamma"])


@pytest.mark.parametrize("status", ["CLOSED", "OPEN", "FORCED_OPEN", "FORCED_CLOSED"])
def test_a_leave_to_probe_is_worth_nothing_once_the_circuit_is_not_half_open(status: CircuitStatus) -> None:
    out = routed(ruled(beta=status), probe=PROBE)
    assert (out.strategy, names(out)[0]) == ("SCORE", "alpha")
    assert out.decision is not None
    assert out.decision.probe is None


def test_an_open_circuit_is_not_probed_where_all_are_open() -> None:
    assert routed(ruled(alpha="OPEN", beta="OPEN", gamma="OPEN"), probe=PROBE).strategy == "LEAST_BAD"


@pytest.mark.parametrize("rule", [exclude(BETA), pin(to=ALPHA)])
def test_a_gateway_that_the_rules_exclude_is_not_probed(rule: Rule) -> None:
    out = routed(ruled(rule, beta="HALF_OPEN"), probe=PROBE)
    assert out.strategy != "PROBE"
    assert "beta" not in names(out)


# The bandit


def test_a_bandit_draws_the_first_and_the_score_orders_the_others() -> None:
    facts = Facts(configuration=RoutingConfiguration(bandits=BANDIT))
    first, last = routed(facts, draw=0.0), routed(facts, draw=0.999)
    assert (first.strategy, names(first)) == ("THOMPSON", ["alpha", "beta", "gamma"])
    assert (last.strategy, names(last)) == ("THOMPSON", ["gamma", "alpha", "beta"])


def test_a_bandit_is_of_one_segment() -> None:
    bandits = {"CARD": BanditPolicy(enabled=True), "UPI": BanditPolicy()}
    facts = Facts(configuration=RoutingConfiguration(bandits=bandits))
    assert routed(facts, draw=0.999).strategy == "SCORE"


def test_propensities_that_were_remembered_are_those_that_were_computed() -> None:
    facts = Facts(
        configuration=RoutingConfiguration(bandits=BANDIT),
        posteriors={(ALPHA, "UPI"): Posterior(alpha=90, beta=10)},
    )
    fresh = routed(facts, draw=0.5)
    assert facts.propensities
    assert routed(facts, draw=0.5) == fresh
    assert recomputed(fresh) == (fresh.strategy, fresh.candidates)


# What is believed


def test_a_gateway_is_believed_in_the_payments_own_segment() -> None:
    good, bad = Posterior(alpha=99, beta=1), Posterior(alpha=50, beta=50)
    posteriors = {(name, "UPI"): bad for name in (ALPHA, BETA)} | {
        (GAMMA, "UPI"): good,
        (ALPHA, "CARD"): good,
    }
    assert names(routed(Facts(posteriors=posteriors)))[0] == "gamma"


def test_a_payments_issuer_may_do_better_somewhere() -> None:
    facts = Facts(fits={(BETA, "UPI", "issuer", "okhdfcbank"): 0.05, (GAMMA, "UPI", "issuer", "oksbi"): 0.1})
    assert names(routed(facts)) == ["beta", "alpha", "gamma"]


def test_the_versions_of_all_that_a_decision_was_made_from_are_recorded() -> None:
    facts = replace(
        Facts(configuration=RoutingConfiguration(version=3)), circuits_version=5, health_version=7
    )
    decision = routed(facts).decision
    assert decision is not None
    assert (decision.versions.configuration, decision.versions.circuits, decision.versions.health) == (
        3,
        5,
        7,
    )
