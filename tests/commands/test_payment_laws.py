"""Laws of the payment's decider, over whatever any sequence of commands and lost records leads to."""

from hypothesis import given, settings
from hypothesis import strategies as st

from commands.payment import decide
from commands.payment_state import INITIAL, PaymentState, Settled, evolve, unsettled
from schemas.outcome import Outcome
from schemas.payment import (
    AttemptStarted,
    HandOverPayment,
    PaymentCommand,
    PaymentEvent,
    PaymentFailed,
    RequestPayment,
    TakeOverPayment,
)
from schemas.routing_configuration import RetryPolicy
from tests.builders import (
    a_request,
    awaiting,
    declined,
    gateways,
    in_doubt,
    not_sent,
    retryable_decline,
    success,
    the_outcome,
)
from tests.spec import state_after

outcomes: st.SearchStrategy[Outcome] = st.sampled_from(
    [
        success(),
        declined(),
        retryable_decline(),
        not_sent(),
        not_sent("window_closed"),
        not_sent("switched_off"),
        awaiting(),
        in_doubt(),
    ]
)
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 5),
    latency_budget_ms=st.integers(100, 10_000),
    enabled=st.booleans(),
)


def requests(epoch: int = 1) -> st.SearchStrategy[RequestPayment]:
    some = st.lists(st.sampled_from("abcdef"), min_size=1, unique=True)
    return st.builds(
        lambda policy, names: a_request(
            policy=policy, to=gateways(*(name * 3 for name in names)), epoch=epoch
        ),
        policies,
        some,
    )


def commands(epoch: int) -> st.SearchStrategy[PaymentCommand]:
    of_outcomes = st.builds(
        lambda outcome, of, elapsed_ms: the_outcome(outcome, of=of, epoch=epoch, elapsed_ms=elapsed_ms),
        outcomes,
        st.integers(1, 4),
        st.integers(0, 12_000),
    )
    return st.one_of(of_outcomes, requests(epoch), st.just(HandOverPayment()))


@st.composite
def subsets(draw: st.DrawFn, events: list[PaymentEvent]) -> list[PaymentEvent]:
    """Some of the events, in any order: what may have landed of an append that was never acknowledged."""
    landed = [event for event in events if draw(st.booleans())]
    return draw(st.permutations(landed))


@st.composite
def histories(draw: st.DrawFn) -> list[PaymentEvent]:
    """What a few owners leave on the log. Of each one's last decision any subset landed, in any order."""
    history: list[PaymentEvent] = []
    for epoch in range(1, draw(st.integers(1, 3)) + 1):
        first = draw(requests(epoch))
        asked: list[PaymentCommand] = [first, *draw(st.lists(commands(epoch), max_size=6))]
        if epoch > 1:
            asked.insert(0, TakeOverPayment(claim_id=f"clm_{epoch}", by="payment_service"))
        for command in asked[:-1]:
            history += decide(command, state_after(*history))
        history += draw(subsets(decide(asked[-1], state_after(*history))))
    return history


@given(histories())
def test_a_replay_reproduces_the_state(history: list[PaymentEvent]) -> None:
    state: PaymentState = INITIAL
    for event in history:
        state = evolve(state, event)
    assert state == state_after(*history)


@settings(max_examples=400)
@given(histories(), outcomes, st.integers(0, 9_000))
def test_nothing_is_begun_beside_an_unsettled_attempt(
    history: list[PaymentEvent], outcome: Outcome, elapsed_ms: int
) -> None:
    state = state_after(*history)
    attempts = getattr(state, "attempts", ())
    for epoch in (1, 2, 3, 4):
        asked: list[PaymentCommand] = [a_request(epoch=epoch)]
        asked += [the_outcome(outcome, of=of, epoch=epoch, elapsed_ms=elapsed_ms) for of in range(1, 5)]
        for command in asked:
            events = decide(command, state)
            if any(isinstance(event, AttemptStarted) for event in events):
                settled_now = {getattr(command, "attempt_id", None)}
                assert set(unsettled(attempts)) <= settled_now


@given(histories())
def test_no_failure_is_told_beside_an_unsettled_attempt(history: list[PaymentEvent]) -> None:
    state = state_after(*history)
    for epoch in (1, 2, 3):
        for of in range(1, 5):
            events = decide(the_outcome(declined(), of=of, epoch=epoch), state)
            if any(isinstance(event, PaymentFailed) for event in events):
                assert not unsettled(getattr(state_after(*history, *events), "attempts", ()))


@given(
    requests(),
    st.lists(outcomes, min_size=8, max_size=8),
    st.lists(st.integers(0, 300), min_size=8, max_size=8),
)
def test_there_are_never_more_attempts_than_the_policy_allows(
    request: RequestPayment, came_to: list[Outcome], pauses_ms: list[int]
) -> None:
    history = decide(request, INITIAL)
    for number, (outcome, elapsed_ms) in enumerate(zip(came_to, pauses_ms, strict=True), start=1):
        history += decide(the_outcome(outcome, of=number, elapsed_ms=elapsed_ms), state_after(*history))
    begun = [event for event in history if isinstance(event, AttemptStarted)]
    assert len(begun) <= (request.policy.max_attempts if request.policy.enabled else 1)
    assert len({event.gateway for event in begun}) == len(begun)


@given(histories())
def test_a_settled_payment_stays_settled(history: list[PaymentEvent]) -> None:
    state: PaymentState = INITIAL
    was_settled = False
    for event in history:
        state = evolve(state, event)
        assert isinstance(state, Settled) or not was_settled
        was_settled = isinstance(state, Settled)
