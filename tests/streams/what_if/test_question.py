"""What another configuration would have come to, asked of the events of payments."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import pytest

from commands.routing.alternative import rerouted
from projections.statistics.off_policy_verdict import WhatIfReason, WhatIfVerdict
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.ids import GatewayId
from schemas.payment import PaymentFailed, PaymentRouted, PaymentSucceeded
from schemas.routing import Versions
from schemas.routing_configuration import (
    AlternativePolicy,
    BanditPolicy,
    Exclude,
    MerchantRetryPolicy,
    Pin,
    Prefer,
    RoutingRules,
    Rule,
    ScoringWeights,
)
from schemas.shadow import PaymentShadowed, ShadowCandidate
from streams.what_if.evaluation import DIMENSIONS, Judged
from streams.what_if.journeys import Journeys
from streams.what_if.plot import svg
from streams.what_if.question import Question, WhatIf
from streams.what_if.table import lines
from tests.projections.story import BEGIN, routed
from tests.streams.what_if.histories import RATES, a_history, facts

BETA, GAMMA = GatewayId("beta"), GatewayId("gamma")
PAYMENTS = 3_000
SCORES = AlternativePolicy(bandits={"*": BanditPolicy(enabled=False)})


def first(*gateways: GatewayId) -> AlternativePolicy:
    return AlternativePolicy(rules=RoutingRules(rules=(Rule(id="r", then=Prefer(gateways=gateways)),)))


def asked(policy: AlternativePolicy, history: Iterable[Recorded[Event]]) -> WhatIf:
    journeys = Journeys()
    journeys.take(history)
    question = Question(policy)
    question.take(journeys)
    return question.answer(DIMENSIONS)


def asked_of_shadow(policy: AlternativePolicy, history: Sequence[Recorded[Event]]) -> WhatIf:
    """As if it had been the shadow at the time."""
    journeys = Journeys()
    journeys.take(history)
    said: dict[str, PaymentShadowed] = {}
    for journey in journeys.told():
        assert journey is not None
        other = rerouted(journey.order, journey.routed, policy)
        routed_to = journey.attempts[0].gateway
        said[journey.payment.payment_id] = PaymentShadowed(
            strategy=other.strategy,
            candidates=tuple(
                ShadowCandidate(gateway=one.gateway, propensity=one.propensity or 0.0)
                for one in other.candidates
            ),
            routed_to=routed_to,
            agrees=other.candidates[0].gateway == routed_to,
            decided_at=BEGIN,
            versions=Versions(),
        )
    question = Question(None)
    question.take(journeys, said)
    return question.answer(DIMENSIONS)


def by_metric(found: WhatIf) -> tuple[Judged, Judged]:
    first_attempt, any_attempt = found.overall
    return first_attempt, any_attempt


def worth_of(history: Sequence[Recorded[Event]]) -> float:
    """The mean success rate of first attempts as they were drawn, whatever chance made of it."""
    routes = [one.event for one in history if isinstance(one.event, PaymentRouted)]
    return sum(
        (one.propensity or 0.0) * RATES[one.gateway] for route in routes for one in route.candidates
    ) / len(routes)


def holds(judged: Judged, truth: float) -> bool:
    interval = judged.figures.uplift
    assert interval.lower is not None
    assert interval.upper is not None
    return interval.lower <= truth <= interval.upper


def test_a_worse_gateway_first_loses_first_attempts_and_fewer_payments() -> None:
    history = list(a_history(1, PAYMENTS))
    found = asked(first(GAMMA, BETA), history)
    first_attempt, any_attempt = by_metric(found)
    assert first_attempt.judgement.verdict == WhatIfVerdict.WORSE
    assert holds(first_attempt, RATES["gamma"] - worth_of(history))
    assert any_attempt.figures.overlap.untold > 0


def test_the_best_gateway_first_wins_what_exploring_costs() -> None:
    history = list(a_history(2, PAYMENTS))
    first_attempt, _ = by_metric(asked(SCORES, history))
    assert first_attempt.judgement.verdict == WhatIfVerdict.BETTER
    assert holds(first_attempt, RATES["alpha"] - worth_of(history))


def test_weights_that_are_those_of_history_decide_the_same() -> None:
    found = asked(AlternativePolicy(weights=ScoringWeights()), a_history(3, 300))
    assert {one.judgement.verdict for one in found.overall} == {WhatIfVerdict.SAME}
    assert [one.figures.uplift.estimate for one in found.overall] == pytest.approx([0, 0])


def test_what_a_shadow_said_is_judged_as_its_policy_is() -> None:
    history = list(a_history(15, 600))
    said, policy = asked_of_shadow(SCORES, history), asked(SCORES, history)
    assert by_metric(said)[0] == by_metric(policy)[0]
    assert said.agreement is not None
    assert 0 < said.agreement < 1
    assert policy.agreement is None
    assert "the shadow would have sent" in "\n".join(lines(said))


def test_payments_that_the_shadow_said_nothing_of_are_not_judged() -> None:
    journeys = Journeys()
    journeys.take(a_history(16, 10))
    question = Question(None)
    question.take(journeys)
    assert question.answer(DIMENSIONS).payments == 0


def test_a_gateway_that_only_the_shadow_knows_was_never_tried() -> None:
    history = list(a_history(17, 300))
    journeys = Journeys()
    journeys.take(history)
    omega = ShadowCandidate(gateway=GatewayId("omega"), propensity=1.0)
    said = {
        one.envelope.aggregate_id: PaymentShadowed(
            strategy="RULE",
            candidates=(omega,),
            routed_to=GatewayId("alpha"),
            agrees=False,
            decided_at=BEGIN,
            versions=Versions(),
        )
        for one in history
    }
    question = Question(None)
    question.take(journeys, said)
    assert by_metric(question.answer(()))[0].judgement.reasons == (WhatIfReason.NO_OVERLAP,)


def test_a_history_that_never_varied_cannot_answer() -> None:
    found = asked(first(GAMMA), a_history(4, 500, facts(BanditPolicy(enabled=False))))
    judgement = by_metric(found)[0].judgement
    assert judgement.verdict == WhatIfVerdict.CANNOT_ANSWER
    assert judgement.reasons == (WhatIfReason.NO_OVERLAP,)


def test_a_gateway_that_a_rule_kept_out_cannot_be_judged() -> None:
    rules = RoutingRules(rules=(Rule(id="no-gamma", then=Exclude(gateways=(GAMMA,))),))
    found = asked(first(GAMMA), a_history(5, 500, facts(rules=rules)))
    assert by_metric(found)[0].judgement.reasons == (WhatIfReason.UNRECORDED,)


def test_fewer_attempts_lose_what_the_later_ones_paid() -> None:
    once = AlternativePolicy(retry_policies={"*": MerchantRetryPolicy(max_attempts=1)})
    first_attempt, any_attempt = by_metric(asked(once, a_history(6, PAYMENTS)))
    assert first_attempt.judgement.verdict == WhatIfVerdict.SAME
    assert any_attempt.judgement.verdict == WhatIfVerdict.WORSE
    lost = any_attempt.figures.uplift.estimate
    assert lost is not None
    firsts, all_of_them = first_attempt.figures.logged.estimate, any_attempt.figures.logged.estimate
    assert firsts is not None
    assert all_of_them is not None
    assert lost == pytest.approx(firsts - all_of_them)


def test_more_attempts_than_history_made_cannot_be_answered_for() -> None:
    thrice = AlternativePolicy(retry_policies={"*": MerchantRetryPolicy(max_attempts=3)})
    _, any_attempt = by_metric(asked(thrice, a_history(7, PAYMENTS)))
    assert any_attempt.judgement.reasons == (WhatIfReason.UNTOLD,)
    bounds = any_attempt.figures.uplift_bounds
    assert bounds.lower is not None
    assert bounds.upper is not None
    assert bounds.lower >= -1e-9
    assert bounds.upper > 0.02


def test_a_pin_to_nowhere_refuses_every_payment() -> None:
    nowhere = RoutingRules(rules=(Rule(id="r", then=Pin(gateway=GatewayId("omega"))),))
    found = asked(AlternativePolicy(rules=nowhere), a_history(8, 500))
    assert found.strangers == ("omega",)
    uplift, logged = by_metric(found)[1].figures.uplift.estimate, by_metric(found)[1].figures.logged.estimate
    assert logged is not None
    assert uplift == pytest.approx(-logged, abs=0.03)


def test_the_order_in_which_partitions_are_read_does_not_matter() -> None:
    history = list(a_history(9, 400))
    ids = sorted({one.envelope.aggregate_id for one in history})
    mixed = [one for id_ in reversed(ids) for one in history if one.envelope.aggregate_id == id_]
    assert asked(SCORES, mixed) == asked(SCORES, history)


def test_outcomes_that_are_not_known_yet_widen_the_bounds() -> None:
    history = list(a_history(10, 1_000))
    ended = (PaymentSucceeded, PaymentFailed)
    early = [one for one in history if not isinstance(one.event, ended) or one.position.offset % 10]
    settled, still_open = (by_metric(asked(SCORES, one))[1].figures for one in (history, early))
    assert settled.overlap.open == 0
    assert still_open.overlap.open > 0.01
    assert settled.uplift_bounds.lower == pytest.approx(settled.uplift.lower)
    assert still_open.uplift.lower is not None
    assert still_open.uplift_bounds.lower is not None
    assert still_open.uplift_bounds.lower < still_open.uplift.lower


def test_only_payments_that_were_requested_within_the_range_count() -> None:
    journeys = Journeys(BEGIN + timedelta(seconds=10), BEGIN + timedelta(seconds=25))
    journeys.take(a_history(11, 100))
    assert len(list(journeys.told())) == 15


def test_what_cannot_be_judged_is_counted() -> None:
    history = list(a_history(12, 3))
    untried = [one for one in history if one.envelope.aggregate_id != history[0].envelope.aggregate_id]
    old = [*untried, history[0]]
    found = asked(SCORES, old)
    assert found.left_out.not_tried == 1
    assert found.payments == 2


def test_decisions_from_before_they_recorded_what_they_were_made_from_are_left_out() -> None:
    history = list(a_history(13, 1))
    history[1] = Recorded(
        envelope=history[1].envelope,
        event=routed(),
        position=history[1].position,
        stamp_ms=history[1].stamp_ms,
    )
    first_gateway = routed().candidates[0].gateway
    journeys = Journeys()
    journeys.take(history)
    found = [one for one in journeys.told() if one is not None]
    assert all(one.attempts[0].gateway == first_gateway for one in found)
    assert asked(SCORES, history).payments == 0


def test_an_answer_is_told_in_words_and_drawn() -> None:
    found = asked(SCORES, a_history(14, 600))
    told = "\n".join(lines(found))
    assert "600 payments" in told
    assert "effective sample" in told
    drawn = svg(found)
    assert drawn.startswith("<svg")
    assert drawn.count("<circle") == 2 + len(found.parts)


def test_nothing_is_answered_of_no_payments() -> None:
    found = asked(SCORES, ())
    assert (found.payments, found.overall, found.parts) == (0, (), ())
    assert "0 payments" in "\n".join(lines(found))
    assert svg(found).startswith("<svg")
