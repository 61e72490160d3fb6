"""Which payments an experiment is about, and how a variant routes them."""

from msgspec.structs import replace

from commands.payment import decide
from commands.payment_state import INITIAL
from commands.routing.assignment import Assigner, allocated, bucket_of, variant_of
from commands.routing.experiments import Routed, retried
from commands.routing.experiments import routed as route_of
from commands.routing.ranking import recomputed
from schemas.experiment import Override, RetryOverride, RunningExperiment, Variant
from schemas.ids import ExperimentId, GatewayId
from schemas.payment import ExperimentAssigned, RequestPayment
from schemas.routing import Facts
from schemas.routing_configuration import BanditPolicy, Condition, RetryPolicy, RoutingConfiguration
from tests.builders import a_request, gateways
from tests.commands.rules import pin, rules

ALPHA, BETA = GatewayId("alpha"), GatewayId("beta")
SALT = "exp_1"
ALLOCATION = allocated({"control": 5_000, "treatment": 5_000})


def experiment(override: Override, when: Condition | None = None, name: str = SALT) -> RunningExperiment:
    return RunningExperiment(
        experiment_id=ExperimentId(name),
        assignment=Assigner(name, ALLOCATION),
        filter=when or Condition(),
        variants=(
            Variant(name="control", weight=5_000),
            Variant(name="treatment", weight=5_000, override=override),
        ),
    )


def a_customer(variant: str, salt: str = SALT) -> str:
    return next(
        f"cus_{number}"
        for number in range(1_000)
        if variant_of(bucket_of(salt, f"cus_{number}"), ALLOCATION) == variant
    )


def asked(customer: str, facts: Facts) -> RequestPayment:
    command = a_request(to=gateways("alpha", "beta"))
    return replace(command, facts=facts, order=replace(command.order, customer_id=customer))


def routed(customer: str, facts: Facts) -> Routed:
    command = asked(customer, facts)
    return route_of(command.order, command.gateways, command.policy, facts)


def test_a_treated_customer_is_routed_by_the_variant_and_a_control_as_everybody() -> None:
    facts = Facts(experiments=(experiment(Override(order=(BETA,))),))
    assigned, treated = routed(a_customer("treatment"), facts)
    assert assigned == ExperimentAssigned(
        experiment_id=SALT, variant="treatment", treatment=True, customer_id=a_customer("treatment")
    )
    assert treated.candidates[0].gateway == BETA
    assigned, control = routed(a_customer("control"), facts)
    assert assigned == ExperimentAssigned(
        experiment_id=SALT, variant="control", treatment=False, customer_id=a_customer("control")
    )
    assert control == routed(a_customer("control"), Facts())[1]


def test_nobody_is_exposed_to_a_variant_that_makes_no_difference() -> None:
    facts = Facts(experiments=(experiment(Override(order=(ALPHA,))),))
    for variant in ("control", "treatment"):
        assert routed(a_customer(variant), facts)[0] is None


def test_where_a_rule_pins_the_gateway_there_is_nothing_to_compare() -> None:
    facts = Facts(
        experiments=(experiment(Override(order=(BETA,))),),
        configuration=RoutingConfiguration(rules=rules(pin(to=ALPHA))),
    )
    assert routed(a_customer("treatment"), facts)[0] is None


def test_a_payment_that_the_filter_leaves_out_is_in_no_experiment() -> None:
    facts = Facts(experiments=(experiment(Override(order=(BETA,)), Condition(currencies=("EUR",))),))
    assert routed(a_customer("treatment"), facts)[0] is None


def test_the_oldest_experiment_that_makes_a_difference_has_the_payment() -> None:
    idle = experiment(Override(order=(ALPHA,)), name="exp_0")
    facts = Facts(experiments=(idle, experiment(Override(order=(BETA,)))))
    assigned, _ = routed(a_customer("treatment"), facts)
    assert assigned is not None
    assert assigned.experiment_id == SALT


def test_other_retries_are_a_difference_and_never_a_longer_budget() -> None:
    facts = Facts(
        experiments=(experiment(Override(retry=RetryOverride(max_attempts=1, latency_budget_ms=60_000))),)
    )
    assigned, treated = routed(a_customer("treatment"), facts)
    assert assigned is not None
    assert treated.policy == replace(RetryPolicy(), max_attempts=1)
    assert retried(RetryPolicy(), None) == RetryPolicy()


def test_what_a_variant_decided_can_be_recomputed_from_its_event() -> None:
    overrides = (
        Override(order=(BETA,)),
        Override(share={BETA: 1}),
        Override(bandit=True, retry=RetryOverride(max_attempts=1)),
    )
    for override in overrides:
        facts = Facts(
            experiments=(experiment(override),),
            configuration=RoutingConfiguration(bandits={"*": BanditPolicy(enabled=False)}),
        )
        assigned, treated = routed(a_customer("treatment"), facts)
        assert assigned is not None
        assert recomputed(treated) == (treated.strategy, treated.candidates)


def test_an_assignment_stands_between_the_request_and_the_route() -> None:
    facts = Facts(experiments=(experiment(Override(order=(BETA,))),))
    events = decide(asked(a_customer("treatment"), facts), INITIAL)
    assert [type(event).__name__ for event in events] == [
        "PaymentRequested",
        "ExperimentAssigned",
        "PaymentRouted",
        "AttemptStarted",
    ]


def test_retries_that_cannot_happen_expose_nobody() -> None:
    """One gateway can be tried once, whatever the policy says."""
    for override in (
        Override(retry=RetryOverride(max_attempts=1)),
        Override(retry=RetryOverride(retry_on_timeout=True)),
        Override(retry=RetryOverride(enabled=False)),
    ):
        facts = Facts(
            experiments=(experiment(override),),
            configuration=RoutingConfiguration(rules=rules(pin(to=ALPHA))),
        )
        assert routed(a_customer("treatment"), facts)[0] is None


def test_a_variant_that_nobody_has_exposes_nobody() -> None:
    idle = experiment(Override())
    variants = (*idle.variants, Variant(name="unused", weight=0, override=Override(order=(BETA,))))
    facts = Facts(experiments=(replace(idle, variants=variants),))
    assert routed(a_customer("treatment"), facts)[0] is None
