"""Kill switches: what is not routed, not begun and not tried again while they are on."""

import asyncio

import pytest
from msgspec.structs import replace

from commands.payment import decide
from commands.payment_state import INITIAL, Settled
from commands.routing import probing
from commands.routing.experiments import routed
from commands.routing.kill_switches import shut
from commands.routing.ranking import recomputed
from infra.memory.gateways import CallFate
from schemas.errors import Refusal, Refused
from schemas.experiment import Override
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.outcome import NotSent, Outcome, Succeeded
from schemas.payment import PaymentFailed, PaymentSucceeded
from schemas.routing import Facts, Posterior
from schemas.routing_configuration import (
    BanditPolicy,
    RetryPolicy,
    RoutingConfiguration,
    StrategyName,
    SwitchedOff,
)
from tests.builders import a_gateway, a_request, an_order, gateways, retryable_decline, success
from tests.commands.routes import circuits, routed_of
from tests.commands.rules import ALPHA, BETA, GAMMA
from tests.commands.system import WINDOW_S, System, state_told
from tests.commands.test_routing_experiments import experiment
from tests.simulation.loop import in_virtual_time

WITHOUT_ALPHA = SwitchedOff(gateways=frozenset({ALPHA}))
WITHOUT_BETA = SwitchedOff(gateways=frozenset({BETA}))
WITHOUT_UPI = SwitchedOff(methods=frozenset({"UPI"}))
WITHOUT_THE_MERCHANT = SwitchedOff(merchants=frozenset({"mrc_1"}))
BELIEVED: dict[tuple[GatewayId, str], Posterior] = {
    (ALPHA, "UPI"): Posterior(alpha=10, beta=90),
    (BETA, "UPI"): Posterior(alpha=95, beta=5),
}


def facts(off: SwitchedOff, **known: object) -> Facts:
    return Facts(configuration=RoutingConfiguration(version=9, off=off), **known)  # type: ignore[arg-type]


def without(*strategies: StrategyName) -> SwitchedOff:
    return SwitchedOff(strategies=frozenset(strategies))


# Routes


def test_a_gateway_that_is_switched_off_is_excluded_with_its_reason() -> None:
    route = routed_of(replace(a_request(), facts=facts(WITHOUT_ALPHA)))
    assert [(one.gateway, one.reason) for one in route.excluded] == [(ALPHA, "gateway_switched_off")]
    assert [one.gateway for one in route.candidates] == [BETA, GAMMA]


def test_it_is_not_tried_either_where_every_other_circuit_is_open() -> None:
    every = circuits({ALPHA: "CLOSED", BETA: "OPEN", GAMMA: "OPEN"})
    route = routed_of(replace(a_request(), facts=facts(WITHOUT_ALPHA, circuits=every)))
    assert route.strategy == "LEAST_BAD"
    assert [one.gateway for one in route.candidates] == [BETA, GAMMA]


def test_it_is_not_probed() -> None:
    half_open = circuits({ALPHA: "HALF_OPEN", BETA: "HALF_OPEN"})
    order, configured = an_order(), gateways("alpha", "beta")
    assert probing.testable(order, configured, Facts(circuits=half_open)) == (ALPHA, BETA)
    assert probing.testable(order, configured, facts(WITHOUT_ALPHA, circuits=half_open)) == (BETA,)


@pytest.mark.parametrize(
    ("off", "reason"),
    [(WITHOUT_UPI, "method_switched_off"), (WITHOUT_THE_MERCHANT, "merchant_switched_off")],
)
def test_a_method_or_a_merchant_that_is_switched_off_has_no_gateway(off: SwitchedOff, reason: str) -> None:
    route = routed_of(replace(a_request(), facts=facts(off)))
    assert not route.candidates
    assert {one.reason for one in route.excluded} == {reason}


def test_without_scores_gateways_follow_one_another_by_their_priority_and_nothing_is_drawn() -> None:
    known = replace(
        facts(without("scores"), posteriors=BELIEVED),
        configuration=RoutingConfiguration(
            off=without("scores"), bandits={"*": BanditPolicy(enabled=True, exploration_share=1)}
        ),
    )
    route = routed_of(replace(a_request(), facts=known, draw=0.99))
    assert route.strategy == "PRIORITY"
    assert [one.gateway for one in route.candidates] == [ALPHA, BETA, GAMMA]
    assert [one.propensity for one in route.candidates] == [1, 0, 0]
    assert recomputed(route) == ("PRIORITY", route.candidates)


def test_without_the_bandit_the_best_score_comes_first() -> None:
    enabled = {"*": BanditPolicy(enabled=True)}
    known = Facts(
        configuration=RoutingConfiguration(off=without("bandit"), bandits=enabled),
        posteriors=BELIEVED,
    )
    request = replace(a_request(), gateways=gateways("alpha", "beta"), facts=known, draw=0.999)
    assert (routed_of(request).strategy, routed_of(request).candidates[0].gateway) == ("SCORE", BETA)


def test_without_experiments_nobody_is_in_one() -> None:
    treating = experiment(Override(order=(GAMMA,)))
    known = Facts(experiments=(treating,))
    request = a_request()
    assigned, _ = routed(request.order, request.gateways, request.policy, known)
    assert assigned is not None
    switched = replace(facts(without("experiments")), experiments=(treating,))
    assert routed(request.order, request.gateways, request.policy, switched)[0] is None


# Payments


@pytest.mark.parametrize(
    ("off", "refusal"),
    [
        (WITHOUT_UPI, Refusal.METHOD_SWITCHED_OFF),
        (WITHOUT_THE_MERCHANT, Refusal.MERCHANT_SWITCHED_OFF),
        (SwitchedOff(gateways=frozenset({ALPHA, BETA, GAMMA})), Refusal.NO_ELIGIBLE_GATEWAY),
    ],
)
def test_a_payment_that_is_switched_off_is_refused(off: SwitchedOff, refusal: Refusal) -> None:
    with pytest.raises(Refused) as refused:
        decide(replace(a_request(), facts=facts(off)), INITIAL)
    assert refused.value.reason is refusal


def test_of_a_payment_under_way_what_was_taken_out_of_service_is_shut() -> None:
    configured = (a_gateway("alpha"), a_gateway("beta", enabled=False), a_gateway("gamma"))
    open_gamma = circuits({GAMMA: "OPEN"})
    assert shut("mrc_1", "UPI", configured, Facts(circuits=open_gamma)) == {BETA, GAMMA}
    assert shut("mrc_1", "UPI", configured, facts(WITHOUT_ALPHA)) == {ALPHA, BETA}
    assert shut("mrc_1", "CARD", configured, facts(WITHOUT_UPI)) == {BETA}
    for off in (WITHOUT_UPI, WITHOUT_THE_MERCHANT):
        assert shut("mrc_1", "UPI", configured, facts(off)) == {ALPHA, BETA, GAMMA}


class SwitchedOffLate(System):
    """Everything that is written ahead takes so long that operators turn a switch, or disable a gateway, meanwhile."""

    def __init__(self, off: SwitchedOff, *configured: GatewayConfiguration, after_s: float = 2.0) -> None:
        super().__init__()

        async def meanwhile() -> None:
            await asyncio.sleep(after_s)
            self.known = facts(off)
            self.configured = configured or self.configured

        self.handler = self.process(before_look=meanwhile)


DISABLED = (a_gateway("alpha", enabled=False), a_gateway("beta"))


@in_virtual_time
@pytest.mark.parametrize("off, configured", [(WITHOUT_ALPHA, ()), (SwitchedOff(), DISABLED)])
async def test_what_is_taken_out_of_service_before_the_first_byte_is_not_sent_and_another_gateway_is_tried(
    off: SwitchedOff, configured: tuple[GatewayConfiguration, ...]
) -> None:
    system = SwitchedOffLate(off, *configured)
    state = state_told(await system.post())
    assert isinstance(state, Settled)
    assert [attempt.started.gateway for attempt in state.attempts] == [ALPHA, BETA]
    assert state.attempts[0].outcome == NotSent(reason="switched_off")
    assert isinstance(state.attempts[1].outcome, Succeeded)
    assert [name for name, ledger in system.ledgers.items() if ledger.contacts] == [BETA]


@in_virtual_time
@pytest.mark.parametrize("off", [WITHOUT_UPI, WITHOUT_THE_MERCHANT])
async def test_a_payment_that_is_switched_off_before_the_first_byte_fails_and_contacts_nobody(
    off: SwitchedOff,
) -> None:
    system = SwitchedOffLate(off)
    state = state_told(await system.post())
    assert isinstance(state, Settled)
    assert isinstance(state.result, PaymentFailed)
    assert [attempt.outcome for attempt in state.attempts] == [NotSent(reason="switched_off")]
    assert system.contacts == 0


@in_virtual_time
async def test_nothing_else_is_tried_where_the_window_has_closed_as_well() -> None:
    system = SwitchedOffLate(WITHOUT_ALPHA, after_s=WINDOW_S - 2.4)
    state = state_told(await system.post())
    assert isinstance(state, Settled)
    assert [attempt.outcome for attempt in state.attempts] == [NotSent(reason="window_closed")]
    assert system.contacts == 0


@in_virtual_time
async def test_nothing_is_reserved_for_a_payment_that_is_switched_off_and_its_key_is_free() -> None:
    system = System()
    system.known = facts(WITHOUT_UPI)
    with pytest.raises(Refused) as refused:
        await system.post()
    assert refused.value.reason is Refusal.METHOD_SWITCHED_OFF
    assert not system.written
    system.known = Facts()
    handled = await system.post()
    assert not handled.is_replay
    assert isinstance(state_told(handled), Settled)


@in_virtual_time
async def test_who_asks_again_is_told_a_payment_that_was_made_before_it_was_switched_off() -> None:
    system = System()
    await system.post()
    system.known = facts(WITHOUT_UPI)
    assert (await system.post()).is_replay


def switched_off_meanwhile(off: SwitchedOff, outcome: Outcome) -> System:
    """While the first attempt is at its gateway; every attempt has that outcome."""
    system = System(lambda _: meanwhile())

    def meanwhile() -> Outcome:
        system.known = facts(off)
        return outcome

    return system


@pytest.mark.parametrize("off", [WITHOUT_UPI, WITHOUT_THE_MERCHANT, WITHOUT_BETA])
def test_a_payment_under_way_ends_with_the_attempt_that_is_on_its_way(off: SwitchedOff) -> None:
    @in_virtual_time
    async def pay() -> None:
        system = switched_off_meanwhile(off, retryable_decline())
        state = state_told(await system.post())
        assert isinstance(state, Settled)
        assert isinstance(state.result, PaymentFailed)
        assert system.contacts == 1

    pay()


@in_virtual_time
async def test_an_attempt_on_its_way_is_recorded_as_what_it_came_to() -> None:
    state = state_told(await switched_off_meanwhile(WITHOUT_UPI, success()).post())
    assert isinstance(state, Settled)
    assert isinstance(state.result, PaymentSucceeded)


@in_virtual_time
async def test_an_attempt_in_doubt_is_not_tried_elsewhere_once_that_is_switched_off() -> None:
    system = switched_off_meanwhile(WITHOUT_BETA, success())
    system.policy = RetryPolicy(retry_on_timeout=True)
    system.calls.append(CallFate(effect_ms=5, answer_ms=None))
    await system.post()
    assert system.contacts == 1
    assert system.written[-2:] == ["AttemptInDoubt", "PaymentHandedOver"]
