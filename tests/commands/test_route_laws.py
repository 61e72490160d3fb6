"""Laws of the route, over any request, facts, configuration, draw and leave to probe."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.routing.eligibility import CIRCUIT_REASONS
from commands.routing.ranking import rank, recomputed
from commands.routing.rules import apply, segment_of
from commands.routing.scoring import score
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.payment import PaymentRouted, RequestPayment
from schemas.routing_configuration import Pin, RoutingConfiguration, Split
from tests.commands.routes import configurations, draws, probes, requests, routed_of

CIRCUITS = set(CIRCUIT_REASONS.values())


def in_order(routed: PaymentRouted) -> list[GatewayId]:
    return [candidate.gateway for candidate in routed.candidates]


def reasons(routed: PaymentRouted) -> dict[GatewayId, str]:
    return {one.gateway: one.reason for one in routed.excluded}


def without_bandit(configuration: RoutingConfiguration) -> RoutingConfiguration:
    return replace(configuration, bandits={})


def has_no_split(configuration: RoutingConfiguration) -> bool:
    return not any(isinstance(one.then, Split) for one in configuration.rules.rules)


@given(requests())
@settings(max_examples=40, deadline=None)
def test_any_route_can_be_recomputed_from_its_event_alone(request: RequestPayment) -> None:
    routed = routed_of(request)
    assert recomputed(routed) == (routed.strategy, routed.candidates)
    read_back = msgspec.json.decode(msgspec.json.encode(routed), type=PaymentRouted)
    assert recomputed(read_back) == (routed.strategy, routed.candidates)


@given(requests())
@settings(max_examples=40, deadline=None)
def test_every_gateway_is_a_candidate_or_excluded_once(request: RequestPayment) -> None:
    routed = routed_of(request)
    named = [*in_order(routed), *(one.gateway for one in routed.excluded)]
    assert sorted(named) == sorted(one.id for one in request.gateways)


@given(requests(), st.permutations(range(3)))
@settings(max_examples=25, deadline=None)
def test_every_process_routes_alike_whatever_order_it_has_its_gateways_in(
    request: RequestPayment, places: list[int]
) -> None:
    routed = routed_of(request)
    mixed: tuple[GatewayConfiguration, ...] = tuple(
        request.gateways[place] for place in places if place < len(request.gateways)
    )
    again = routed_of(replace(request, gateways=mixed))
    assert (again.strategy, again.candidates, again.reason) == (
        routed.strategy,
        routed.candidates,
        routed.reason,
    )
    assert reasons(again) == reasons(routed)


@given(requests(configurations.map(without_bandit).filter(has_no_split)), draws)
@settings(max_examples=25, deadline=None)
def test_without_a_bandit_or_a_split_the_draw_does_not_matter(request: RequestPayment, draw: float) -> None:
    routed, other = routed_of(request), routed_of(replace(request, draw=draw))
    assert other.decision is not None
    as_drawn = replace(other, decision=replace(other.decision, draw=request.draw))
    assert msgspec.json.encode(as_drawn) == msgspec.json.encode(routed)


@given(requests())
@settings(max_examples=25, deadline=None)
def test_propensities_are_probabilities_and_sum_to_1(request: RequestPayment) -> None:
    chances = [one.propensity for one in routed_of(request).candidates]
    assert all(chance is not None and 0 <= chance <= 1 for chance in chances)
    assert sum(chance or 0 for chance in chances) == pytest.approx(1 if chances else 0)


@given(requests())
@settings(max_examples=25, deadline=None)
def test_each_gateway_comes_first_for_as_much_of_the_draws_as_its_propensity_says(
    request: RequestPayment,
) -> None:
    routed = routed_of(request)
    if not routed.candidates:
        return
    assert routed.decision is not None
    times, firsts = 50, dict.fromkeys(in_order(routed), 0)
    for number in range(times):
        drawn = replace(routed.decision, draw=(number + 0.5) / times)
        firsts[rank(routed.candidates, drawn, request.facts.propensities)[1][0].gateway] += 1
    for candidate in routed.candidates:
        assert firsts[candidate.gateway] / times == pytest.approx(candidate.propensity, abs=1.01 / times)


@given(requests())
@settings(max_examples=25, deadline=None)
def test_terms_add_up_to_the_score(request: RequestPayment) -> None:
    for candidate in routed_of(request).candidates:
        assert candidate.terms is not None
        assert candidate.score == score(candidate.terms)
        assert candidate.score == pytest.approx(sum(msgspec.structs.astuple(candidate.terms)))


@given(requests())
@settings(max_examples=25, deadline=None)
def test_after_the_first_the_score_decides_unless_a_rule_does(request: RequestPayment) -> None:
    routed = routed_of(request)
    assert routed.decision is not None
    if routed.decision.by_priority:
        return
    scores = [one.score or 0 for one in routed.candidates]
    if routed.strategy in ("SCORE", "LEAST_BAD"):
        assert scores == sorted(scores, reverse=True)
    if routed.strategy in ("THOMPSON", "PROBE"):
        assert scores[1:] == sorted(scores[1:], reverse=True)


@given(requests())
@settings(max_examples=40, deadline=None)
def test_where_scores_are_switched_off_priority_decides_unless_a_rule_or_a_probe_does(
    request: RequestPayment,
) -> None:
    off = replace(request.facts.configuration.off, strategies=frozenset({"scores"}))
    configuration = replace(request.facts.configuration, off=off)
    routed = routed_of(replace(request, facts=replace(request.facts, configuration=configuration)))
    priorities = [one.priority for one in routed.candidates]
    assert routed.strategy not in ("SCORE", "THOMPSON")
    if routed.strategy in ("PRIORITY", "LEAST_BAD"):
        assert priorities == sorted(priorities)
    assert routed.decision is not None
    assert routed.decision.bandit is None


@given(requests(probes=probes))
@settings(max_examples=40, deadline=None)
def test_nothing_goes_to_a_gateway_that_is_switched_off(request: RequestPayment) -> None:
    """Whatever rules, probes, bandits and open circuits ask for."""
    routed = routed_of(request)
    for gateway in request.facts.configuration.off.gateways & {one.id for one in request.gateways}:
        assert gateway not in in_order(routed)
        assert reasons(routed)[gateway] == "gateway_switched_off"


# Circuits


@given(requests())
@settings(max_examples=40, deadline=None)
def test_a_shut_circuit_is_excluded_with_its_reason_or_probed_or_the_least_bad(
    request: RequestPayment,
) -> None:
    routed = routed_of(request)
    for candidate in routed.candidates:
        is_probe = routed.strategy == "PROBE" and candidate == routed.candidates[0]
        assert candidate.circuit not in CIRCUIT_REASONS or is_probe or routed.strategy == "LEAST_BAD"
    for gateway, reason in reasons(routed).items():
        if reason in CIRCUITS:
            status = request.facts.circuit(gateway, request.order.payment_method).status
            assert reason == CIRCUIT_REASONS[status]


@given(requests())
@settings(max_examples=40, deadline=None)
def test_the_least_bad_is_tried_only_where_nothing_else_can_be_and_the_policy_allows_it(
    request: RequestPayment,
) -> None:
    routed = routed_of(request)
    if routed.strategy == "LEAST_BAD":
        assert request.policy.try_open_circuits
        assert all(one.circuit in CIRCUIT_REASONS for one in routed.candidates)
    shut = CIRCUITS & set(reasons(routed).values()) - {"circuit_forced_open"}
    if shut and request.policy.try_open_circuits:
        assert routed.candidates


@given(requests(probes=probes))
@settings(max_examples=40, deadline=None)
def test_a_probe_is_made_where_its_gateway_may_be_had_and_is_half_open_and_nowhere_else(
    request: RequestPayment,
) -> None:
    routed, probe = routed_of(request), request.probe
    assert probe is not None
    assert routed.decision is not None
    status = request.facts.circuit(probe.gateway, request.order.payment_method).status
    is_candidate = probe.gateway in in_order(routed)
    is_made = is_candidate and status == "HALF_OPEN"
    assert routed.decision.probe == (probe if is_made else None)
    assert (routed.strategy == "PROBE") == is_made
    if is_made:
        assert in_order(routed)[0] == probe.gateway
        assert routed.candidates[0].propensity == 1
    assert reasons(routed).get(probe.gateway) != "circuit_half_open"


# Rules


@given(requests())
@settings(max_examples=40, deadline=None)
def test_nothing_is_a_candidate_against_the_rules(request: RequestPayment) -> None:
    """Whatever probes, bandits and open circuits ask for."""
    configuration, routed = request.facts.configuration, routed_of(request)
    ruling = apply(configuration.rules, request.order, segment_of(request.order, configuration.segmentation))
    assert not set(in_order(routed)) & ruling.excluded.keys()
    if ruling.decided_by is not None and isinstance(ruling.decided_by.then, Pin):
        assert set(in_order(routed)) <= {ruling.decided_by.then.gateway}


@given(requests())
@settings(max_examples=25, deadline=None)
def test_an_exclusion_by_rule_names_the_rule_and_no_other_does(request: RequestPayment) -> None:
    for one in routed_of(request).excluded:
        assert (one.rule is not None) == (one.reason in ("rule", "not_pinned"))
