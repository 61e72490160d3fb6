"""Of what a client sends beside a payment nothing is written down that operators have not written before."""

from commands.routing.assignment import Assigner
from commands.routing.attributes import listed
from schemas.experiment import RunningExperiment
from schemas.ids import ExperimentId, GatewayId
from schemas.payment import CLIENT_NETWORK
from schemas.routing import NO_FACTS, Facts
from schemas.routing_configuration import (
    AlternativePolicy,
    Condition,
    Pin,
    RoutingConfiguration,
    RoutingRules,
    Rule,
)


def rules_of(condition: Condition | None) -> RoutingRules:
    when = [] if condition is None else [condition]
    return RoutingRules(
        rules=tuple(Rule(id="r", then=Pin(gateway=GatewayId("alpha")), when=one) for one in when)
    )


def facts(
    *,
    rule: Condition | None = None,
    experiment: Condition | None = None,
    shadow: Condition | None = None,
) -> Facts:
    running = RunningExperiment(
        experiment_id=ExperimentId("exp_1"),
        assignment=Assigner("exp_1", ()),
        filter=experiment or Condition(),
        variants=(),
    )
    return Facts(
        configuration=RoutingConfiguration(
            rules=rules_of(rule), shadow=AlternativePolicy(rules=rules_of(shadow))
        ),
        experiments=(running,),
    )


def test_nothing_is_listed_where_nobody_asks_for_anything() -> None:
    assert listed({"channel": "app", "email": "asha@example.com"}, NO_FACTS) == {}
    assert listed({"channel": "app"}, facts()) == {}


def test_a_value_that_a_rule_a_shadow_or_an_experiment_lists_is_kept_and_another_of_its_name_is_not() -> None:
    known = facts(
        rule=Condition(attributes={"channel": ("app", "web")}),
        experiment=Condition(attributes={"tier": ("gold",)}),
        shadow=Condition(attributes={"region": ("south",)}),
    )
    asked_for = {"channel": "web", "tier": "gold", "region": "south"}
    assert listed(asked_for, known) == asked_for
    assert listed({"channel": "asha@example.com", "tier": "+919999999999"}, known) == {}
    assert listed({"tier": "app", "channel": "gold"}, known) == {}


def test_the_network_of_the_client_is_kept() -> None:
    assert listed({CLIENT_NETWORK: "192.0.2.0/24"}, NO_FACTS) == {CLIENT_NETWORK: "192.0.2.0/24"}
