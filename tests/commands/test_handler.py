"""The write path over the twins: the life of a payment, and everything that may stop it."""

import asyncio
from collections.abc import Iterator

import pytest

from commands.handler import Handled
from commands.payment_state import Open, Settled
from infra.memory.fate import UNTROUBLED, Fate
from infra.memory.gateways import CallFate
from infra.memory.log import MemoryHistories
from schemas.errors import AppendAmbiguous, LogUnavailable, Refusal, Refused, StoreUnavailable
from schemas.ids import CustomerToken
from schemas.outcome import Declined, InDoubt, NotSent, Outcome, Succeeded
from schemas.payment import PaymentFailed, PaymentSucceeded
from schemas.routing import Facts
from schemas.routing_configuration import (
    Condition,
    Pin,
    RetryPolicy,
    RoutingConfiguration,
    RoutingRules,
    Rule,
)
from tests.builders import a_body, awaiting, declined, gateways, retryable_decline, success
from tests.commands.system import GUARDS_S, NAMES, WINDOW_S, System, state_told
from tests.simulation.loop import in_virtual_time

ANSWER_LOST = Fate(effect_ms=1, answer_ms=None)
LOST = Fate(effect_ms=None)
BEGUN = ["PaymentRequested", "PaymentRouted", "AttemptStarted"]
CHARGED = [*BEGUN, "AttemptSucceeded", "PaymentSucceeded"]


async def refused(post: "asyncio.Future[Handled] | asyncio.Task[Handled]") -> Refusal:
    with pytest.raises(Refused) as error:
        await post
    return error.value.reason


def posting(system: System, **options: object) -> "asyncio.Task[Handled]":
    return asyncio.create_task(system.post(**options))  # type: ignore[arg-type]  # as post takes them


# The life of a payment


@in_virtual_time
async def test_a_payment_is_written_ahead_charged_recorded_and_told() -> None:
    system = System()
    handled = await system.post()
    assert isinstance(state_told(handled), Settled)
    assert not handled.is_replay
    assert system.written == CHARGED
    assert [entry.charge.attempt_id for entry in system.charges] == [
        system.ledgers[NAMES[0]].contacts[0].charge.attempt_id
    ]


@in_virtual_time
async def test_the_gateway_gets_the_instrument_and_the_log_only_its_mask() -> None:
    system = System()
    handled = await system.post()
    assert system.charges[0].charge.instrument == a_body().instrument
    assert "test.user" not in repr(handled.history)


@in_virtual_time
async def test_of_what_is_sent_beside_a_payment_the_log_has_what_operators_have_listed() -> None:
    system = System()
    rule = Rule(id="app", then=Pin(gateway=NAMES[1]), when=Condition(attributes={"channel": ("web", "app")}))
    system.known = Facts(configuration=RoutingConfiguration(rules=RoutingRules(rules=(rule,))))
    state = state_told(await system.post(attributes={"channel": "app", "email": "asha@example.com"}))
    assert isinstance(state, Settled)
    assert state.requested is not None
    assert state.requested.order.attributes == {"channel": "app"}
    assert state.attempts[0].started.gateway == NAMES[1]


# Whose it is


@in_virtual_time
async def test_the_log_has_a_token_for_the_customer_and_the_same_one_again() -> None:
    system = System()
    first, second = await system.post(key="key 1"), await system.post(key="key 2")
    other = await system.post(a_body(customer_id="cus_2"), key="key 3")
    tokens = [customer_of(handled) for handled in (first, second, other)]
    assert tokens[0] == tokens[1] != tokens[2]
    assert await system.reservations.customers.ids_of(tokens) == {tokens[0]: "cus_1", tokens[2]: "cus_2"}
    assert "cus_1" not in repr([handled.history for handled in (first, second)])


@in_virtual_time
async def test_a_payment_whose_customer_is_forgotten_meanwhile_goes_on_and_is_nobodys() -> None:
    system = System()
    known = customer_of(await system.post(key="key 1"))
    during = posting(system, key="key 2")
    await asyncio.sleep(0.003)
    await system.reservations.customers.forget([known])
    assert isinstance(state_told(await during), Settled)
    assert customer_of(await during) == known
    after = customer_of(await system.post(key="key 3"))
    assert await system.reservations.customers.ids_of([known, after]) == {after: "cus_1"}


@in_virtual_time
async def test_a_payment_that_is_started_afresh_goes_by_the_customers_token() -> None:
    system = System()
    known = customer_of(await system.post(key="key 1"))
    system.records.append(LOST)
    assert await refused(posting(system, key="key 2")) == Refusal.LOG_UNAVAILABLE
    await asyncio.sleep(WINDOW_S + GUARDS_S)
    assert customer_of(await system.post(key="key 2")) == known


def customer_of(handled: Handled) -> CustomerToken:
    state = state_told(handled)
    assert isinstance(state, Open | Settled)
    assert state.requested is not None
    return CustomerToken(state.requested.order.customer_id)


@in_virtual_time
async def test_a_decline_that_may_be_retried_goes_to_the_next_gateway() -> None:
    outcomes: Iterator[Outcome] = iter([retryable_decline(), success()])
    system = System(lambda _: next(outcomes))
    state = state_told(await system.post())
    assert isinstance(state, Settled)
    assert isinstance(state.result, PaymentSucceeded)
    assert state.result.gateway == "beta"


@in_virtual_time
async def test_when_every_gateway_refuses_the_connection_the_payment_fails_and_nobody_is_charged() -> None:
    system = System()
    system.calls += [CallFate(refused="connect"), CallFate(refused="dns")]
    state = state_told(await system.post())
    assert isinstance(state, Settled)
    assert isinstance(state.result, PaymentFailed)
    assert state.result.failure.blame == "gateway"
    assert system.contacts == 0


@in_virtual_time
async def test_a_timeout_is_pending_handed_over_and_not_tried_elsewhere() -> None:
    system = System()
    system.calls.append(CallFate(effect_ms=5, answer_ms=None))
    state = state_told(await system.post())
    assert isinstance(state, Open)
    assert state.owner is None
    assert [attempt.outcome for attempt in state.attempts] == [InDoubt(reason="read_timeout")]
    assert system.contacts == 1


@in_virtual_time
async def test_a_server_error_after_the_charge_is_pending_and_not_tried_elsewhere() -> None:
    system = System()
    system.calls.append(CallFate(effect_ms=5, broken="server_error"))
    assert isinstance(state_told(await system.post()), Open)
    assert len(system.charges) == system.contacts == 1


@in_virtual_time
async def test_a_payment_that_waits_for_its_customer_is_handed_over() -> None:
    system = System(lambda _: awaiting())
    state = state_told(await system.post())
    assert isinstance(state, Open)
    assert state.owner is None
    assert state.attempts[0].outcome == awaiting()


# A merchant who would rather have a second charge given back than a payment wait


@in_virtual_time
async def test_a_doubtful_attempt_is_followed_by_another_where_the_merchant_wishes_so() -> None:
    system = System()
    system.policy = RetryPolicy(retry_on_timeout=True)
    system.calls.append(CallFate(effect_ms=5, answer_ms=None))
    state = state_told(await system.post())
    assert isinstance(state, Settled)
    assert isinstance(state.result, PaymentSucceeded)
    assert state.result.gateway == "beta"
    assert [attempt.started.reason for attempt in state.attempts] == ["first", "after_in_doubt"]


@in_virtual_time
async def test_a_doubtful_attempt_is_handed_over_beside_the_success_that_followed_it() -> None:
    system = System()
    system.policy = RetryPolicy(retry_on_timeout=True)
    system.calls.append(CallFate(effect_ms=5, broken="server_error"))
    await system.post()
    assert system.written[-3:] == ["AttemptSucceeded", "PaymentSucceeded", "PaymentHandedOver"]


@in_virtual_time
async def test_no_failure_is_told_after_a_decline_while_the_first_attempt_is_in_doubt() -> None:
    outcomes: Iterator[Outcome] = iter([success(), declined()])
    system = System(lambda _: next(outcomes))
    system.policy = RetryPolicy(retry_on_timeout=True)
    system.calls.append(CallFate(effect_ms=5, answer_ms=None))
    state = state_told(await system.post())
    assert isinstance(state, Open)
    assert [type(attempt.outcome) for attempt in state.attempts] == [InDoubt, Declined]


@in_virtual_time
async def test_after_a_doubt_too_the_policy_and_the_budget_limit_the_attempts() -> None:
    for policy in (
        RetryPolicy(retry_on_timeout=True, max_attempts=1),
        RetryPolicy(retry_on_timeout=True, enabled=False),
        RetryPolicy(retry_on_timeout=True, latency_budget_ms=2_600),
    ):
        system = System()
        system.policy = policy
        system.calls.append(CallFate(effect_ms=5, answer_ms=None))
        assert isinstance(state_told(await system.post()), Open)
        assert system.contacts == 1


# The same key again


@in_virtual_time
async def test_fifty_posts_of_one_key_at_once_are_one_charge() -> None:
    system = System()
    processes = [system.process() for _ in range(5)]
    posts = [posting(system, to=processes[number % 5]) for number in range(50)]
    results = await asyncio.gather(*posts, return_exceptions=True)
    told = [result for result in results if isinstance(result, Handled)]
    assert len(told) == 1
    assert len(system.charges) == 1
    others = [result for result in results if isinstance(result, Refused)]
    assert {error.reason for error in others} == {Refusal.PAYMENT_IN_PROGRESS}
    assert len(others) == 49
    assert all(error.retry_after_s for error in others)


@in_virtual_time
async def test_a_settled_payment_is_told_again_and_not_made_again() -> None:
    system = System()
    first, second = await system.post(), await system.post()
    assert second.is_replay
    assert second.history == first.history
    assert len(system.charges) == 1


@in_virtual_time
async def test_a_failed_payment_is_told_again_and_not_tried_again() -> None:
    system = System(lambda _: declined())
    await system.post()
    assert isinstance(state_told(await system.post()), Settled)
    assert system.contacts == 1


@in_virtual_time
async def test_the_replay_of_a_pending_payment_says_pending() -> None:
    system = System()
    system.calls.append(CallFate(effect_ms=5, answer_ms=None))
    await system.post()
    for _ in range(3):
        again = await system.post()
        assert again.is_replay
        assert isinstance(state_told(again), Open)
        await asyncio.sleep(30)
    assert system.contacts == 1


@pytest.mark.parametrize("after_s", [0.002, 1, 30])
@in_virtual_time
async def test_another_body_under_the_same_key_is_refused_in_flight_and_after(after_s: float) -> None:
    system = System()
    first = posting(system)
    await asyncio.sleep(after_s)
    assert await refused(posting(system, body=a_body(amount_minor=1))) == Refusal.KEY_REUSED
    await first
    assert len(system.charges) == 1


@in_virtual_time
async def test_a_process_that_cannot_compare_the_bodies_says_so_and_not_that_they_differ() -> None:
    """While PERSONAL_DATA_KEYS change one process after the other: who was told 422 would pay again under a new key."""
    system = System()
    await system.post(to=system.process(secrets=["a new secret", "a secret"]))
    assert await refused(posting(system)) == Refusal.NOT_ADMITTING
    assert (await system.post(to=system.process(secrets=["a secret", "a new secret"]))).is_replay
    assert len(system.charges) == 1


@in_virtual_time
async def test_a_key_belongs_to_its_merchant() -> None:
    system = System()
    await system.post()
    assert not (await system.post(a_body(merchant_id="mrc_2"))).is_replay
    assert len(system.charges) == 2


# What could not be confirmed happened in the worst way


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("fate", [ANSWER_LOST, LOST, Fate(effect_ms=5_000), Fate(effect_ms=25_000)])
@in_virtual_time
async def test_no_gateway_is_contacted_when_writing_ahead_is_ambiguous(lost: int, fate: Fate) -> None:
    system = System()
    system.records += [UNTROUBLED] * lost + [fate]
    assert await refused(posting(system)) == Refusal.LOG_UNAVAILABLE
    await asyncio.sleep(60)
    assert system.contacts == 0


@in_virtual_time
async def test_no_gateway_is_contacted_when_the_acknowledgement_is_void() -> None:
    system = System(broker_skew_ms=20_000)
    assert await refused(posting(system)) == Refusal.LOG_UNAVAILABLE
    assert system.written == [f"({name})" for name in BEGUN]
    assert system.contacts == 0


@in_virtual_time
async def test_an_outcome_that_cannot_be_recorded_is_told_as_pending() -> None:
    system = System()
    system.records += [UNTROUBLED] * 3 + [LOST]
    state = state_told(await system.post())
    assert isinstance(state, Open)
    assert state.attempts[0].outcome is None
    assert len(system.charges) == 1


@in_virtual_time
async def test_a_success_whose_end_was_not_acknowledged_is_told_as_pending() -> None:
    system = System()
    system.records += [UNTROUBLED] * 4 + [ANSWER_LOST]
    assert isinstance(state_told(await system.post()), Open)
    await asyncio.sleep(5)
    again = state_told(await system.post())
    assert isinstance(again, Settled)
    assert len(system.charges) == 1


@in_virtual_time
async def test_the_next_attempt_is_not_made_when_its_start_was_not_acknowledged() -> None:
    system = System(lambda _: retryable_decline())
    system.records += [UNTROUBLED] * 4 + [ANSWER_LOST]
    assert isinstance(state_told(await system.post()), Open)
    assert system.contacts == 1


@in_virtual_time
async def test_a_reservation_that_was_not_confirmed_contacts_nobody() -> None:
    system = System()
    system.rows.append(ANSWER_LOST)
    with pytest.raises(StoreUnavailable):
        await system.post()
    assert await refused(posting(system)) == Refusal.PAYMENT_IN_PROGRESS
    assert system.written == []
    assert system.contacts == 0


@in_virtual_time
async def test_a_log_that_is_away_refuses_before_anything_is_reserved() -> None:
    system = System()
    system.log.is_available = False
    assert await refused(posting(system)) == Refusal.LOG_UNAVAILABLE
    system.log.is_available = True
    assert not (await system.post()).is_replay


@in_virtual_time
async def test_a_hand_over_that_was_lost_changes_no_answer() -> None:
    system = System(lambda _: awaiting())
    system.records += [UNTROUBLED] * 4 + [LOST]
    state = state_told(await system.post())
    assert isinstance(state, Open)
    assert state.owner is not None
    assert state.attempts[0].outcome == awaiting()


# Clients and limits


@pytest.mark.parametrize("after_s", [0.0, 0.0005, 0.001, 0.003, 0.007, 0.012])
@in_virtual_time
async def test_a_client_that_goes_away_changes_nothing(after_s: float) -> None:
    system = System()
    system.records += [Fate(effect_ms=1, answer_ms=1)] * 5
    await system.gone(after_s=after_s)
    await asyncio.sleep(1)
    again = await system.post()
    assert isinstance(state_told(again), Settled)
    assert len(system.charges) == 1


@in_virtual_time
async def test_too_many_payments_at_once_are_refused_before_anything_is_done() -> None:
    system = System()
    handler = system.process(max_in_flight=2)
    first, second = posting(system, to=handler), posting(system, to=handler, key="key 2")
    await asyncio.sleep(0)
    assert handler.in_flight == 2
    assert await refused(posting(system, to=handler, key="key 3")) == Refusal.TOO_BUSY
    await asyncio.gather(first, second)
    assert not (await system.post(to=handler, key="key 3")).is_replay


@in_virtual_time
async def test_draining_waits_for_the_payments_in_flight() -> None:
    system = System()
    system.calls.append(CallFate(effect_ms=1_500))
    post = posting(system)
    await asyncio.sleep(0.1)
    assert await system.handler.drain(1) == 1
    assert await system.handler.drain(1) == 0
    assert isinstance(state_told(await post), Settled)


@in_virtual_time
async def test_without_an_eligible_gateway_the_key_stays_free() -> None:
    system = System()
    system.configured = ()
    assert await refused(posting(system)) == Refusal.NO_ELIGIBLE_GATEWAY
    system.configured = gateways(*NAMES)
    assert not (await system.post(a_body(amount_minor=5))).is_replay


@in_virtual_time
async def test_without_an_eligible_gateway_a_known_payment_is_told_all_the_same() -> None:
    system = System()
    first = await system.post()
    system.configured = ()
    assert (await system.post()).history == first.history


# Take-overs


@in_virtual_time
async def test_a_key_whose_owner_wrote_nothing_starts_afresh_when_its_window_has_passed() -> None:
    system = System()
    system.rows.append(ANSWER_LOST)
    with pytest.raises(StoreUnavailable):
        await system.post()
    await asyncio.sleep(WINDOW_S - 1)  # the answer was waited for meanwhile
    assert await refused(posting(system)) == Refusal.PAYMENT_IN_PROGRESS  # the guards for clocks that differ
    await asyncio.sleep(GUARDS_S)
    handled = await system.post()
    assert not handled.is_replay
    assert isinstance(state_told(handled), Settled)
    assert system.written == ["PaymentTakenOver", *CHARGED]


@in_virtual_time
async def test_a_payment_that_was_requested_and_never_tried_starts_afresh_under_its_own_id() -> None:
    system = System()
    system.records += [UNTROUBLED, LOST, LOST]
    assert await refused(posting(system)) == Refusal.LOG_UNAVAILABLE
    await asyncio.sleep(WINDOW_S + GUARDS_S)
    await system.post()
    assert system.written == ["PaymentRequested", "PaymentTakenOver", *CHARGED[1:]]
    (charge,) = system.charges
    assert charge.charge.attempt_id.endswith("_2_1")


@in_virtual_time
async def test_a_payment_that_may_have_been_tried_is_never_started_again() -> None:
    system = System()
    system.records += [UNTROUBLED, UNTROUBLED, ANSWER_LOST]
    assert await refused(posting(system)) == Refusal.LOG_UNAVAILABLE
    for _ in range(4):
        await asyncio.sleep(WINDOW_S)
        assert (await system.post()).is_replay
    assert system.contacts == 0


@in_virtual_time
async def test_an_attempt_without_its_request_is_told_when_the_request_is_made_good() -> None:
    """So that the key is not lost if the reservations are: a told payment is never another one later."""
    system = System()
    system.records += [LOST, LOST, UNTROUBLED]
    assert await refused(posting(system)) == Refusal.LOG_UNAVAILABLE
    assert await refused(posting(system)) == Refusal.PAYMENT_IN_PROGRESS
    await asyncio.sleep(WINDOW_S + GUARDS_S)
    told = await system.post()
    assert system.written == ["AttemptStarted", "PaymentTakenOver", "PaymentRequested", "PaymentHandedOver"]
    system.reservations.forget()
    system.heal()
    system.reservations.is_adopted = True
    again = await system.post()
    assert again.history == told.history
    assert system.contacts == 0


@in_virtual_time
async def test_an_attempt_that_lands_after_its_window_does_not_hinder_a_fresh_start() -> None:
    system = System()
    system.records += [LOST, LOST, Fate(effect_ms=25_000)]
    assert await refused(posting(system)) == Refusal.LOG_UNAVAILABLE
    await asyncio.sleep(30)
    await system.post()
    assert system.written == ["(AttemptStarted)", "PaymentTakenOver", *CHARGED]
    assert len(system.charges) == system.contacts == 1


@in_virtual_time
async def test_of_two_claimants_the_faster_one_goes_on() -> None:
    system = System()
    system.rows.append(ANSWER_LOST)
    with pytest.raises(StoreUnavailable):
        await system.post()
    await asyncio.sleep(WINDOW_S + GUARDS_S)
    posts = [posting(system, to=system.process()) for _ in range(20)]
    results = await asyncio.gather(*posts, return_exceptions=True)
    assert sum(isinstance(result, Handled) for result in results) == 1
    assert len(system.charges) == 1
    assert system.written.count("PaymentTakenOver") == 1


@in_virtual_time
async def test_a_take_over_that_was_not_acknowledged_contacts_nobody_and_the_next_one_may() -> None:
    system = System()
    system.rows.append(ANSWER_LOST)
    with pytest.raises(StoreUnavailable):
        await system.post()
    await asyncio.sleep(WINDOW_S + GUARDS_S)
    system.records.append(LOST)
    with pytest.raises(AppendAmbiguous):
        await system.post()
    assert system.contacts == 0
    await asyncio.sleep(WINDOW_S + GUARDS_S)
    assert isinstance(state_told(await system.post()), Settled)
    assert system.charges[0].charge.attempt_id.endswith("_3_1")


@in_virtual_time
async def test_who_takes_over_and_finds_an_attempt_after_all_hands_it_on() -> None:
    """The head it read first was an old one; what it folds through its own record is not."""
    system = System()
    system.records += [UNTROUBLED, UNTROUBLED, ANSWER_LOST]
    assert await refused(posting(system)) == Refusal.LOG_UNAVAILABLE
    await asyncio.sleep(WINDOW_S + GUARDS_S)
    blind = system.process(histories=MemoryHistories(system.log, system.clock, stale_ms=60_000))
    handled = await system.post(to=blind)
    state = state_told(handled)
    assert handled.is_replay
    assert isinstance(state, Open)
    assert state.owner is None
    assert system.written == [*BEGUN, "PaymentTakenOver", "PaymentHandedOver"]
    assert system.contacts == 0


@in_virtual_time
async def test_a_hand_over_lets_the_next_owner_begin_at_once() -> None:
    system = System()
    system.records += [UNTROUBLED, LOST, LOST]
    assert await refused(posting(system)) == Refusal.LOG_UNAVAILABLE
    await asyncio.sleep(WINDOW_S + GUARDS_S)
    system.configured = ()
    assert await refused(posting(system)) == Refusal.NO_ELIGIBLE_GATEWAY
    system.configured = gateways(*NAMES)
    assert await refused(posting(system)) == Refusal.PAYMENT_IN_PROGRESS
    system.heal()
    await asyncio.sleep(0.001)
    assert isinstance(state_told(await system.post()), Settled)
    assert system.charges[0].charge.attempt_id.endswith("_3_1")


@in_virtual_time
async def test_a_log_that_cannot_be_read_answers_nothing_and_contacts_nobody() -> None:
    system = System()
    await system.post()
    system.histories = MemoryHistories(system.log, system.clock, fate=lambda: LOST)
    system.handler = system.process()
    with pytest.raises(LogUnavailable):
        await system.post()
    assert system.contacts == 1


# Pauses


@in_virtual_time
async def test_an_owner_that_was_paused_past_its_window_contacts_nobody() -> None:
    system = System()
    system.handler = system.process(before_look=lambda: asyncio.sleep(30))
    state = state_told(await system.post())
    assert isinstance(state, Open)
    assert state.attempts[0].outcome is None
    assert system.written == BEGUN
    assert system.contacts == 0


@in_virtual_time
async def test_a_call_that_could_not_end_inside_the_window_is_not_made() -> None:
    system = System()
    system.handler = system.process(before_look=lambda: asyncio.sleep(WINDOW_S - 2.4))
    state = state_told(await system.post())
    assert isinstance(state, Settled)
    assert isinstance(state.result, PaymentFailed)
    assert state.attempts[0].outcome == NotSent(reason="window_closed")
    assert system.contacts == 0


@in_virtual_time
async def test_a_charge_that_takes_effect_after_its_owner_gave_up_is_the_only_one() -> None:
    system = System()
    system.calls.append(CallFate(effect_ms=40_000))
    assert isinstance(state_told(await system.post()), Open)
    for _ in range(6):
        await asyncio.sleep(10)
        assert isinstance(state_told(await system.post()), Open)
    assert len(system.charges) == 1
    assert isinstance(system.charges[0].outcome, Succeeded)


@in_virtual_time
async def test_one_attempt_is_made_when_the_policy_is_off() -> None:
    system = System(lambda _: retryable_decline())
    system.policy = RetryPolicy(enabled=False)
    state = state_told(await system.post())
    assert isinstance(state, Settled)
    assert len(state.attempts) == 1
    assert isinstance(state.attempts[0].outcome, Declined)
