"""What routes are tried on: requests with any facts, configuration, chance and leave that hypothesis can think of."""

from typing import TypeVar

from hypothesis import strategies as st
from msgspec.structs import replace

from commands.routing.route import route
from commands.routing.rules import segment_of
from schemas.circuit import CircuitStatus, CircuitView
from schemas.dimensions import amount_band, issuer, network
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.payment import Order, PaymentRouted, RequestPayment
from schemas.routing import Facts, Posterior, Probe
from schemas.routing_configuration import (
    NOTHING_OFF,
    Affinity,
    BanditPolicy,
    RetryPolicy,
    RoutingConfiguration,
    RoutingRules,
    Rule,
    ScoringWeights,
    Segmentation,
    SwitchedOff,
)
from tests.builders import a_gateway, a_request
from tests.commands.rules import ALPHA, BETA, GAMMA, actions, any_orders

T = TypeVar("T")
NAMES = (ALPHA, BETA, GAMMA)
STATUSES: tuple[CircuitStatus, ...] = ("CLOSED", "OPEN", "HALF_OPEN", "FORCED_OPEN", "FORCED_CLOSED")


def routed_of(request: RequestPayment) -> PaymentRouted:
    return route(request.order, request.gateways, request.policy, request.facts, request.draw, request.probe)


def circuits(
    statuses: dict[GatewayId, CircuitStatus], method: PaymentMethod = "UPI"
) -> dict[tuple[GatewayId, PaymentMethod], CircuitView]:
    return {(name, method): CircuitView(status=status) for name, status in statuses.items()}


def _mostly(usual: T, *others: T) -> st.SearchStrategy[T]:
    return st.sampled_from([usual, usual, usual, *others])


def _numbers(least: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(least, most, allow_subnormal=False)


def _gateways(name: str) -> st.SearchStrategy[GatewayConfiguration]:
    return st.builds(
        a_gateway,
        st.just(name),
        payment_methods=_mostly(("UPI", "CARD"), ("UPI",)),
        currencies=_mostly(("INR", "USD"), ("INR",)),
        enabled=_mostly(True, False),
        priority=st.integers(0, 3),
        fee_bps=st.integers(0, 300),
        maximum_amount_minor=_mostly(None, 100),
    )


weights = st.builds(
    ScoringWeights,
    uncertainty=_numbers(0, 10),
    latency=_numbers(0, 10),
    cost=_numbers(0, 10),
    affinity=_numbers(0, 10),
    priority=_numbers(0, 10),
)
bandits = st.builds(
    BanditPolicy,
    enabled=_mostly(True, False),
    sharpness=_numbers(0.5, 10),
    exploration_share=_numbers(0, 1),
    worse_by=_numbers(0, 1),
    expected_loss=_numbers(0, 1),
)
configurations = st.builds(
    RoutingConfiguration,
    version=st.integers(0, 9),
    weights=st.just(ScoringWeights()) | weights,
    affinities=st.lists(
        st.builds(
            Affinity,
            gateway=st.sampled_from(NAMES),
            value=_numbers(-1, 1),
            merchant_id=st.sampled_from([None, "mrc_1"]),
            payment_method=st.sampled_from([None, "UPI"]),
        ),
        max_size=3,
    ).map(tuple),
    rules=st.lists(
        st.builds(Rule, id=st.just("r"), then=actions, enabled=_mostly(True, False)), max_size=3
    ).map(lambda given: RoutingRules(rules=tuple(replace(one, id=f"r{at}") for at, one in enumerate(given)))),
    segmentation=st.sampled_from(
        [Segmentation(), Segmentation(dimensions=()), Segmentation(dimensions=("currency", "amount_band"))]
    ),
    bandits=st.dictionaries(st.sampled_from(["*", "UPI", "CARD"]), bandits),
    off=st.just(NOTHING_OFF)
    | st.builds(
        SwitchedOff,
        gateways=st.frozensets(st.sampled_from(NAMES), max_size=2),
        strategies=st.frozensets(st.sampled_from(["scores", "bandit"])),
    ),
)
posteriors = st.builds(Posterior, alpha=_numbers(1, 10_000), beta=_numbers(1, 10_000))


def _facts(order: Order, configuration: RoutingConfiguration) -> st.SearchStrategy[Facts]:
    method, segment = order.payment_method, segment_of(order, configuration.segmentation)
    dimensions = [
        ("issuer", issuer(order.instrument) or "-"),
        ("network", network(order.instrument) or "-"),
        ("amount_band", amount_band(order.amount_minor, order.currency)),
    ]
    fits = st.builds(
        lambda name, dimension: (name, method, *dimension),
        st.sampled_from(NAMES),
        st.sampled_from(dimensions),
    )
    views = st.builds(CircuitView, status=_mostly("CLOSED", *STATUSES))
    return st.builds(
        Facts,
        configuration=st.just(configuration),
        circuits=st.fixed_dictionaries({}, optional={(name, method): views for name in NAMES}),
        posteriors=st.fixed_dictionaries({}, optional={(name, segment): posteriors for name in NAMES}),
        latencies_ms=st.fixed_dictionaries({}, optional={(name, method): _numbers(1, 9e3) for name in NAMES}),
        fits=st.dictionaries(fits, _numbers(-0.2, 0.2), max_size=4),
        circuits_version=st.integers(0, 9),
        health_version=st.integers(0, 9),
    )


draws: st.SearchStrategy[float] = st.floats(0, 1, exclude_max=True)
probes = st.builds(Probe, gateway=st.sampled_from(NAMES), lease=st.just("3.1"))
perhaps_a_probe = st.none() | probes


@st.composite
def requests(
    draw: st.DrawFn,
    configurations: st.SearchStrategy[RoutingConfiguration] = configurations,
    probes: st.SearchStrategy[Probe | None] = perhaps_a_probe,
) -> RequestPayment:
    order = draw(any_orders)
    names = draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True))
    asked = a_request(
        order=order,
        policy=RetryPolicy(try_open_circuits=draw(st.booleans())),
        to=tuple(draw(_gateways(name)) for name in names),
    )
    return replace(
        asked,
        facts=draw(_facts(order, draw(configurations))),
        draw=draw(draws),
        probe=draw(probes),
    )
