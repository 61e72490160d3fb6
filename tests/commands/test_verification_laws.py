"""Laws of verification, over whatever sequence of verdicts, losses and owners: one success, one end, money back once.

Each owner's last decision may have landed in part, in any order.
"""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from commands.payment import decide
from commands.payment_state import Open, PaymentState, Settled
from commands.verdicts import verdict_of
from schemas.charge import Found, GivenBack, LookUp, NotFound
from schemas.outcome import Declined, Outcome, Succeeded
from schemas.payment import (
    ChargeCompensated,
    PaymentCommand,
    PaymentEvent,
    PaymentFailed,
    PaymentRouted,
    PaymentSucceeded,
    SettlePayment,
    TakeOverPayment,
)
from schemas.routing_configuration import RetryPolicy
from tests.builders import (
    HORIZON_S,
    attempt_awaiting,
    attempt_declined,
    attempt_in_doubt,
    attempt_not_sent,
    attempt_succeeded,
    declined,
    not_sent,
    payment_succeeded,
    requested,
    routed,
    started,
    success,
)
from tests.commands.test_payment_laws import subsets
from tests.spec import state_after
from tests.verifying import GIVEN_BACK, UNREACHABLE, closing, giving_back, seen, the_review

MOMENTS_S = st.sampled_from([0.0, 5.0, 95.0, 700.0, 7_200.0, HORIZON_S, HORIZON_S + 5_000.0, HORIZON_S * 2.0])
POLICIES = st.builds(RetryPolicy, retry_on_timeout=st.booleans(), keep_late_success=st.booleans())

verdicts: st.SearchStrategy[PaymentCommand] = st.builds(
    lambda proves, of, after_s, source: seen(proves[0], proves[1], of=of, after_s=after_s, source=source),
    st.sampled_from(
        [
            ("succeeded", success()),
            ("declined", declined()),
            ("not_sent", not_sent("burned")),
            ("mismatched", None),
            ("mismatched", success()),
            ("still_pending", None),
            ("unreachable", None),
        ]
    ),
    st.integers(1, 3),
    MOMENTS_S,
    st.sampled_from(["look_up", "notification"]),
)
reviews: st.SearchStrategy[PaymentCommand] = st.builds(
    lambda verdict, of: the_review(verdict, of=of, reference="txn_1"),
    st.sampled_from(["succeeded", "declined", "not_sent"]),
    st.integers(1, 3),
)
givings_back: st.SearchStrategy[PaymentCommand] = st.builds(
    lambda answer, of: giving_back(answer, of=of),
    st.sampled_from([GIVEN_BACK, GivenBack(by="void"), UNREACHABLE]),
    st.integers(1, 3),
)
settles_first: st.SearchStrategy[list[PaymentCommand]] = st.sampled_from([[SettlePayment()], []])
commands = st.one_of(verdicts, verdicts, reviews, givings_back, st.builds(closing, MOMENTS_S))


@st.composite
def left_by_a_handler(draw: st.DrawFn) -> list[PaymentEvent]:
    """One to three attempts, of which any may be in doubt, and the end that they have, if it was written."""
    history: list[PaymentEvent] = [requested(), routed(policy=draw(POLICIES))]
    for number, gateway in enumerate(draw(st.sampled_from([("a",), ("a", "b"), ("a", "b", "c")])), start=1):
        history.append(started(number, gateway * 3))
        outcome = draw(
            st.sampled_from(
                [
                    None,
                    attempt_in_doubt(number, gateway * 3),
                    attempt_awaiting(number, gateway * 3),
                    attempt_declined(declined(), number, gateway * 3),
                    attempt_not_sent(number, gateway * 3),
                    attempt_succeeded(number, gateway * 3),
                ]
            )
        )
        if outcome is not None:
            history.append(outcome)
        if outcome == attempt_succeeded(number, gateway * 3):
            ends = [[], [payment_succeeded(number, gateway * 3)]]
            return history + draw(st.sampled_from(ends))
    return history


@st.composite
def owner(draw: st.DrawFn, before: list[PaymentEvent], number: int) -> list[PaymentEvent]:
    """What one verifier adds. It goes on only after what was acknowledged; of its last decision any part may land.

    The laws hold also of one that forgets to bring the payment to its end first.
    """
    took_over = TakeOverPayment(claim_id=f"clm_{number}", by="payment_verifier")
    added = decide(took_over, Open())
    asked = [*draw(settles_first), *draw(st.lists(commands, min_size=1, max_size=6))]
    for command in asked[:-1]:
        added += decide(command, state_after(*before, *added))
    return added + draw(subsets(decide(asked[-1], state_after(*before, *added))))


@st.composite
def histories(draw: st.DrawFn) -> list[PaymentEvent]:
    history = draw(left_by_a_handler())
    for number in range(draw(st.integers(0, 4))):
        history += draw(owner(history, number))
    return history


def keeps(history: list[PaymentEvent]) -> bool:
    """Whether the merchant does, so that a failure may become a success."""
    return any(isinstance(event, PaymentRouted) and event.policy.keep_late_success for event in history)


@settings(max_examples=400)
@given(histories())
def test_a_payment_succeeds_once_and_never_fails_after_an_end(history: list[PaymentEvent]) -> None:
    ends = [event for event in history if isinstance(event, PaymentSucceeded | PaymentFailed)]
    match ends:
        case [] | [_]:
            pass
        case [PaymentFailed(), PaymentSucceeded()]:
            assert keeps(history)
        case _:
            raise AssertionError(ends)


@settings(max_examples=400)
@given(histories())
def test_money_is_given_back_once_and_never_what_paid(history: list[PaymentEvent]) -> None:
    state = state_after(*history)
    given_back = Counter(e.attempt_id for e in history if isinstance(e, ChargeCompensated))
    assert all(times == 1 for times in given_back.values())
    if isinstance(state, Settled) and isinstance(state.result, PaymentSucceeded):
        for one in state.attempts:
            is_paid = one.started.attempt_id == state.result.attempt_id
            assert not (is_paid and one.must_be_given_back)
            assert not (is_paid and one.started.attempt_id in given_back)


@settings(max_examples=400)
@given(histories(), commands)
def test_whoever_asks_twice_gets_the_same_end(history: list[PaymentEvent], command: PaymentCommand) -> None:
    """A repeated verdict may count a check; it changes neither an outcome nor the end."""
    settled = [*history, *decide(SettlePayment(), state_after(*history))]
    once = [*settled, *decide(command, state_after(*settled))]
    twice = [*once, *decide(command, state_after(*once))]
    assert gist(state_after(*twice)) == gist(state_after(*once))


Gist = tuple[PaymentSucceeded | PaymentFailed | None, tuple[tuple[Outcome | None, bool], ...]]


def gist(state: PaymentState) -> Gist:
    match state:
        case Settled(result=result, attempts=attempts):
            return result, tuple((one.outcome, one.late is not None) for one in attempts)
        case Open(attempts=attempts):
            return None, tuple((one.outcome, one.late is not None) for one in attempts)
        case _:
            return None, ()


# Every subset leads to the end that the evidence demands

TRUTHS: st.SearchStrategy[Succeeded | Declined | None] = st.sampled_from([success(), declined(), None])
"""What each gateway knows; None for nothing: there the reference can be burned."""


def looked_up(truth: Succeeded | Declined | None) -> LookUp:
    return NotFound() if truth is None else Found(outcome=truth, amount_minor=129_900, currency="INR")


def in_the_end(history: list[PaymentEvent], truths: list[Succeeded | Declined | None]) -> list[PaymentEvent]:
    """A verifier that nothing hinders any more."""
    history = [*history, *decide(SettlePayment(), state_after(*history))]
    for number, truth in enumerate(truths, start=1):
        state = state_after(*history)
        assert isinstance(state, Open | Settled)
        if number > len(state.attempts):
            break
        verdict, outcome = verdict_of(state.attempts[number - 1], looked_up(truth), None)
        if outcome is None:
            verdict, outcome = "not_sent", not_sent("burned")
        look = seen(verdict, outcome, of=number, after_s=HORIZON_S)
        history += decide(look, state_after(*history))
        history += decide(giving_back(GIVEN_BACK, of=number), state_after(*history))
    for number in range(1, 4):
        history += decide(giving_back(GIVEN_BACK, of=number), state_after(*history))
    return history


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[PaymentEvent], list[Succeeded | Declined | None]]:
    """Attempts in doubt, what their gateways truly know, and what verifiers that stopped have left of their looks."""
    truths = draw(st.lists(TRUTHS, min_size=1, max_size=3))
    history: list[PaymentEvent] = [requested(), routed(policy=draw(POLICIES))]
    for number, gateway in zip(range(1, len(truths) + 1), ("alpha", "beta", "gamma"), strict=False):
        history += [started(number, gateway), attempt_in_doubt(number, gateway)]
    for number in range(draw(st.integers(0, 4))):
        history += draw(honest_owner(history, truths, number))
    return history, truths


@st.composite
def honest_owner(
    draw: st.DrawFn, before: list[PaymentEvent], truths: list[Succeeded | Declined | None], number: int
) -> list[PaymentEvent]:
    added = decide(TakeOverPayment(claim_id=f"clm_{number}", by="payment_verifier"), Open())
    asked: list[PaymentCommand] = draw(settles_first).copy()
    for of in draw(st.permutations(range(1, len(truths) + 1))):
        truth = truths[of - 1]
        match truth:
            case Succeeded():
                asked.append(seen("succeeded", truth, of=of))
            case Declined():
                asked.append(seen("declined", truth, of=of))
            case None:
                asked.append(seen("not_sent", not_sent("burned"), of=of))
        asked.append(giving_back(GIVEN_BACK, of=of))
    asked = asked[: draw(st.integers(1, len(asked)))]
    for command in asked[:-1]:
        added += decide(command, state_after(*before, *added))
    return added + draw(subsets(decide(asked[-1], state_after(*before, *added))))


@settings(max_examples=500)
@given(worlds())
def test_from_any_part_of_a_decision_the_end_agrees_with_the_evidence(
    world: tuple[list[PaymentEvent], list[Succeeded | Declined | None]],
) -> None:
    history, truths = world
    state = state_after(*in_the_end(history, truths))
    assert isinstance(state, Settled)
    charged = [one for one in state.attempts if isinstance(truths[one.started.number - 1], Succeeded)]
    held = [one for one in charged if one.compensated_by is None]
    if isinstance(state.result, PaymentSucceeded):
        assert [one.started.attempt_id for one in held] == [state.result.attempt_id]
    else:
        assert not charged or all(one.compensated_by is not None for one in charged)
    assert isinstance(state.result, PaymentSucceeded) == bool(charged) or was_failed(history)


def was_failed(history: list[PaymentEvent]) -> bool:
    return any(isinstance(event, PaymentFailed) for event in history)


@given(histories(), commands)
def test_a_verifier_never_starts_a_charge(history: list[PaymentEvent], command: PaymentCommand) -> None:
    names = {type(event).__name__ for event in decide(command, state_after(*history))}
    assert not names & {"AttemptStarted", "PaymentRouted", "PaymentRequested"}
