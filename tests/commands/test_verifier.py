"""The verifier over the twins: it takes over, looks, writes what is certain, and is silent when in doubt itself."""

import asyncio
from typing import NoReturn

import pytest
from msgspec.structs import replace

from commands.ownership import Owner
from commands.payment import decide
from commands.payment_state import Open, Settled
from commands.settlement import RETRIES_MAX
from commands.verification import ACT_WITHIN_MS, Verification
from commands.verifier import BEHIND_PAUSE_MS, LEASE_MS
from commands.writer import PaymentWriter
from infra.memory.clock import MemoryClock
from infra.memory.fate import UNTROUBLED, Fate
from infra.memory.gateways import CallFate, Later
from schemas.envelope import Position, Window
from schemas.errors import AppendAmbiguous, ReadTooFarBehind, Refused, StoreUnavailable
from schemas.ids import GatewayId, PaymentId, attempt_id, payment_of
from schemas.outcome import NotSent
from schemas.payment import PaymentFailed, PaymentSucceeded, TakeOverPayment
from schemas.reliability import (
    DuplicateChargeCompensated,
    DuplicateChargeDetected,
    VerificationOverdue,
    VerificationOverdueEnded,
)
from schemas.routing_configuration import RetryPolicy
from tests.builders import HORIZON_S, a_gateway, awaiting, declined, success
from tests.commands.system import NAMES, state_told
from tests.commands.verified_system import CLOSE_AFTER, Verified, decided_by_hand, notified
from tests.simulation.loop import in_virtual_time

LOST = Fate(effect_ms=None)
NO_ANSWER = CallFate(effect_ms=5, answer_ms=None)
NEVER_ARRIVED = CallFate(effect_ms=None)
UNREACHABLE = CallFate(refused="connect")
FIRST_LOOK_S, SECOND_LOOK_S, LAST_LOOK_S = 90, 600, 7_200
LEASE_AND_GUARDS_S = LEASE_MS / 1000 + 1.5
PAID = ["AttemptSucceeded", "VerificationPerformed", "PaymentSucceeded"]
BURNED = ["AttemptNotSent", "VerificationPerformed", "PaymentFailed"]


async def left_in_doubt(fate: CallFate = NO_ANSWER, *, echoes_wrong_amount: bool = False) -> Verified:
    """A payment whose only call got no answer, when its first look is due."""
    system = Verified(echoes_wrong_amount=lambda _: echoes_wrong_amount)
    system.calls.append(fate)
    await system.post()
    await asyncio.sleep(FIRST_LOOK_S)
    return system


async def declined_and_later_authorised(policy: RetryPolicy) -> Verified:
    """A failed payment whose bank authorised it after all, at the end of its gateway's horizon."""
    later = Later(after_ms=60_000, outcome=success("txn_late"), is_only_authorised=True)
    system = Verified(lambda _: declined(), later=lambda _: later)
    system.policy = policy
    await system.post()
    await asyncio.sleep(HORIZON_S)
    return system


def paid(system: Verified) -> PaymentSucceeded:
    state = system.state
    assert isinstance(state, Settled)
    assert isinstance(state.result, PaymentSucceeded)
    return state.result


def failed(system: Verified) -> PaymentFailed:
    state = system.state
    assert isinstance(state, Settled)
    assert isinstance(state.result, PaymentFailed)
    return state.result


# Taking over


@in_virtual_time
async def test_a_charge_whose_answer_was_lost_is_found_and_pays() -> None:
    system = await left_in_doubt()
    assert await system.turn() == 1
    assert system.written[-5:] == ["PaymentHandedOver", "PaymentTakenOver", *PAID]
    assert paid(system).attempt_id == system.attempts[0]
    assert system.asked == ["look_up"]
    assert system.verifier.counted == {"ended": 1}


@in_virtual_time
async def test_nobody_is_asked_before_the_schedule_says_so() -> None:
    system = Verified()
    system.calls.append(NO_ANSWER)
    await system.post()
    await system.turns(seconds=FIRST_LOOK_S - 10, every_s=5)
    assert system.asked == []
    assert "PaymentTakenOver" not in system.written


@in_virtual_time
async def test_what_landed_before_the_take_over_is_known_however_far_behind_the_projection_is() -> None:
    system = Verified()
    system.calls.append(CallFate(effect_ms=5, answer_ms=1_000))
    post = asyncio.create_task(system.post())
    await asyncio.sleep(0.5)
    system.project()
    await post
    await asyncio.sleep(FIRST_LOOK_S)
    assert await system.verifier.turn() == 1
    await system.verifier.drain(60)
    assert system.asked == []
    assert system.since_the_take_over() == []


@in_virtual_time
async def test_where_there_is_nothing_to_do_the_lease_ends_by_itself() -> None:
    """A projection that thinks otherwise must not have the payment taken over again and again."""
    system = await left_in_doubt()
    system.project()
    await system.verifier.turn()
    await system.verifier.drain(60)
    await asyncio.sleep(LEASE_AND_GUARDS_S)
    for _ in range(5):
        await system.verifier.turn()
        await system.verifier.drain(60)
        await asyncio.sleep(1)
    assert system.since_the_take_over() == [*PAID, "PaymentTakenOver"]


@in_virtual_time
async def test_of_two_verifiers_that_hold_one_epoch_the_second_on_the_log_stops() -> None:
    """The store had forgotten the first one's claim."""
    system = await left_in_doubt()
    system.project()
    slow, fast = system.verifier, system.a_verifier()
    system.records.append(Fate(effect_ms=1_000))
    await slow.turn()
    await asyncio.sleep(0.01)
    system.reservations.forget()
    system.heal()
    system.reservations.is_adopted = True
    assert await fast.turn() == 1
    await asyncio.gather(slow.drain(60), fast.drain(60))
    assert slow.counted == {"lost_to_another": 1}
    assert fast.counted == {"ended": 1}
    assert system.since_the_take_over() == [*PAID, "PaymentTakenOver"]
    assert system.asked == ["look_up"]


@in_virtual_time
async def test_two_verifiers_never_get_the_same_payment() -> None:
    system = await left_in_doubt()
    system.project()
    verifiers = [system.a_verifier() for _ in range(5)]
    assert sum(await asyncio.gather(*(verifier.turn() for verifier in verifiers))) == 1
    await asyncio.gather(*(verifier.drain(60) for verifier in verifiers))
    assert system.asked == ["look_up"]


@in_virtual_time
async def test_a_take_over_that_was_not_acknowledged_asks_nobody() -> None:
    system = await left_in_doubt()
    system.records.append(Fate(answer_ms=None))
    await system.turn()
    assert system.asked == []
    assert system.since_the_take_over() == []
    assert system.verifier.counted == {"ambiguous": 1}


@in_virtual_time
async def test_after_an_ambiguous_append_it_is_silent_and_the_next_claim_looks_again() -> None:
    system = await left_in_doubt()
    system.records += [UNTROUBLED, UNTROUBLED, LOST, LOST]
    await system.turn()
    assert system.since_the_take_over() == ["AttemptSucceeded"]
    await system.turn()
    assert system.since_the_take_over() == ["AttemptSucceeded"]
    await asyncio.sleep(LEASE_AND_GUARDS_S)
    await system.turn()
    assert system.since_the_take_over(of=2) == ["PaymentSucceeded"]
    assert system.asked == ["look_up"]


@in_virtual_time
async def test_a_store_that_is_away_is_no_reason_to_do_anything() -> None:
    system = await left_in_doubt()
    system.project()
    system.reservations.is_available = False
    with pytest.raises(StoreUnavailable):
        await system.verifier.turn()
    assert system.asked == []


@in_virtual_time
async def test_no_more_is_claimed_than_a_gateway_may_be_asked_at_once() -> None:
    system = Verified()
    system.configured = tuple(replace(one, max_concurrent_checks=2) for one in system.configured)
    system.calls += [NO_ANSWER] * 5
    await asyncio.gather(*(system.post(key=f"key {number}") for number in range(5)))
    await asyncio.sleep(FIRST_LOOK_S)
    system.project()
    system.answers += [CallFate(effect_ms=1_000)] * 5
    assert await system.verifier.turn() == 2
    await asyncio.sleep(0.5)
    assert await system.verifier.turn() == 0
    assert system.verifier.in_flight == 2
    assert await system.turn() == 0
    assert await system.turn() == 2
    assert await system.turn() == 1


# Looking


@in_virtual_time
async def test_a_gateway_that_does_not_answer_is_asked_on_the_schedule_until_a_person_is() -> None:
    system = await left_in_doubt()
    looks = 3 + RETRIES_MAX
    system.answers += [UNREACHABLE] * looks
    await system.turn()
    assert system.since_the_take_over() == ["VerificationPerformed", "PaymentHandedOver"]
    await system.turns(seconds=LAST_LOOK_S - FIRST_LOOK_S)
    assert system.asked == ["look_up"] * 3
    await system.turns(seconds=70_000, every_s=60)
    assert system.asked == ["look_up"] * looks
    assert system.since_the_take_over(of=looks) == [
        "VerificationPerformed",
        "ReviewRequested",
        "PaymentHandedOver",
    ]
    assert system.alarms.raised == [
        VerificationOverdue(payment_id=payment_of(system.attempts[0]), unsettled=(system.attempts[0],))
    ]
    await system.turns(seconds=100_000, every_s=10_000)
    assert system.asked == ["look_up"] * looks


@in_virtual_time
async def test_a_reference_is_burned_before_a_payment_is_called_not_sent() -> None:
    system = await left_in_doubt(NEVER_ARRIVED)
    await system.turn()
    assert system.since_the_take_over() == BURNED
    assert system.asked == ["look_up", "burn"]
    charge = system.ledgers[NAMES[0]].contacts[0].charge
    assert system.ledgers[NAMES[0]].charge(charge) == NotSent(reason="burned")


@in_virtual_time
async def test_nothing_is_burned_within_the_gateways_own_lag() -> None:
    system = Verified()
    system.configured = (a_gateway("alpha", lookup_lag_ms=(SECOND_LOOK_S - 10) * 1_000),)
    system.calls.append(NEVER_ARRIVED)
    await system.post()
    await asyncio.sleep(FIRST_LOOK_S)
    await system.turn()
    assert system.asked == ["look_up"]
    assert isinstance(system.state, Open)
    await asyncio.sleep(SECOND_LOOK_S - FIRST_LOOK_S)
    await system.turn()
    assert system.asked == ["look_up", "look_up", "burn"]
    assert failed(system).failure.code == "no_gateway_reached"


@in_virtual_time
async def test_a_burning_that_was_not_answered_proves_nothing() -> None:
    system = await left_in_doubt(NEVER_ARRIVED)
    system.answers += [CallFate(), NO_ANSWER]
    await system.turn()
    assert system.since_the_take_over() == ["VerificationPerformed", "PaymentHandedOver"]
    await asyncio.sleep(SECOND_LOOK_S - FIRST_LOOK_S)
    await system.turn()
    assert system.since_the_take_over(of=2) == BURNED


@in_virtual_time
async def test_money_that_is_only_authorised_is_taken_and_then_pays() -> None:
    later = Later(after_ms=10_000, outcome=success(), is_only_authorised=True)
    system = Verified(lambda _: awaiting(), later=lambda _: later)
    await system.post()
    await asyncio.sleep(FIRST_LOOK_S)
    await system.turn()
    assert system.asked == ["look_up", "capture"]
    assert paid(system).gateway_reference == "txn_1"
    assert system.charges[0].is_captured


@in_virtual_time
async def test_a_capture_that_was_not_answered_does_not_pay_yet() -> None:
    later = Later(after_ms=10_000, outcome=success(), is_only_authorised=True)
    system = Verified(lambda _: awaiting(), later=lambda _: later)
    await system.post()
    await asyncio.sleep(FIRST_LOOK_S)
    system.answers += [CallFate(), NO_ANSWER]
    await system.turn()
    assert isinstance(system.state, Open)
    await asyncio.sleep(SECOND_LOOK_S - FIRST_LOOK_S)
    await system.turn()
    assert paid(system).gateway_reference == "txn_1"


@in_virtual_time
async def test_money_of_another_amount_is_a_persons_to_judge() -> None:
    system = await left_in_doubt(echoes_wrong_amount=True)
    await system.turns(seconds=LAST_LOOK_S)
    assert isinstance(system.state, Open)
    assert system.state.attempts[0].in_review
    system.tell(decided_by_hand(system.attempts[0], "succeeded", "txn_1"))
    await system.turn()
    assert paid(system).gateway_reference == "txn_1"
    assert system.alarms.raised[-1] == VerificationOverdueEnded(
        payment_id=payment_of(system.attempts[0]), attempt_id=system.attempts[0]
    )


@in_virtual_time
async def test_of_a_gateway_that_is_configured_no_more_a_person_is_asked_in_the_end() -> None:
    system = await left_in_doubt()
    system.verifier = system.a_verifier(knows=())
    await system.turns(seconds=LAST_LOOK_S)
    await system.turns(seconds=70_000, every_s=60)
    assert system.asked == []
    assert isinstance(system.state, Open)
    assert system.state.attempts[0].in_review


# Calls with an effect are not begun at the end of a lease


@pytest.mark.parametrize(
    ("left_ms", "asked"), [(ACT_WITHIN_MS - 1, ["look_up"]), (ACT_WITHIN_MS + 1, ["look_up", "burn"])]
)
@in_virtual_time
async def test_nothing_is_burned_that_could_outlast_the_lease(left_ms: int, asked: list[str]) -> None:
    system = await left_in_doubt(NEVER_ARRIVED)
    assert await has_ended(system, left_ms) == (len(asked) == 2)
    assert system.asked == asked


@pytest.mark.parametrize(
    ("left_ms", "asked"), [(ACT_WITHIN_MS - 1, ["look_up"]), (ACT_WITHIN_MS + 1, ["look_up", "capture"])]
)
@in_virtual_time
async def test_nothing_is_captured_that_could_outlast_the_lease(left_ms: int, asked: list[str]) -> None:
    system = await declined_and_later_authorised(RetryPolicy(keep_late_success=True))
    assert await has_ended(system, left_ms) == (len(asked) == 2)
    assert system.asked == asked


@pytest.mark.parametrize(
    ("left_ms", "asked"), [(ACT_WITHIN_MS - 1, ["look_up"]), (ACT_WITHIN_MS + 1, ["look_up", "give_back"])]
)
@in_virtual_time
async def test_nothing_is_given_back_that_could_outlast_the_lease(left_ms: int, asked: list[str]) -> None:
    system = await declined_and_later_authorised(RetryPolicy())
    assert await has_ended(system, left_ms) == (len(asked) == 2)
    assert system.asked == asked


async def has_ended(system: Verified, left_ms: int) -> bool:
    """Whether one that has so much of its lease left comes to the end of its work."""
    payment_id, gateways = payment_of(system.attempts[0]), system.asking()
    owner = Owner(
        payment_id=payment_id,
        epoch=2,
        window=Window(valid_from_ms=0, valid_until_ms=2**50),
        until_ms=system.clock.elapsed_ms() + left_ms,
    )
    writer = PaymentWriter(MemoryClock(seed=7), system.log, owner, "clm_1")
    await writer.append(decide(TakeOverPayment(claim_id="clm_1", by="payment_verifier"), Open()))
    writer.resume(system.log.of(payment_id))
    verification = Verification(writer, system.clock, gateways, system, system.alarms, CLOSE_AFTER)
    try:
        await verification.settle([])
    except AppendAmbiguous:
        return False
    return True


# What was told


@in_virtual_time
async def test_a_notification_that_proves_a_success_is_used_at_once_and_nobody_is_asked() -> None:
    system = Verified()
    system.calls.append(NO_ANSWER)
    await system.post()
    system.tell(notified(system.attempts[0], "succeeded"))
    assert await system.turn() == 1
    assert system.asked == []
    assert system.since_the_take_over() == PAID
    assert await system.turn() == 0


@in_virtual_time
async def test_a_notification_that_proves_nothing_is_a_reason_to_ask_now() -> None:
    """But not before the schedule's first moment, which is a limit of the method; what comes next is heard at once."""
    system = Verified()
    system.calls.append(NO_ANSWER)
    await system.post()
    system.tell(notified(system.attempts[0], "look"))
    await system.turn()
    assert system.asked == []
    assert system.since_the_take_over() == ["PaymentHandedOver"]
    await asyncio.sleep(FIRST_LOOK_S)
    await system.turn()
    assert system.asked == ["look_up"]
    assert system.since_the_take_over(of=2) == PAID


@in_virtual_time
async def test_a_notification_of_another_gateway_is_neither_believed_nor_followed() -> None:
    """Its secret says nothing of this attempt, however well it is signed."""
    system = Verified()
    system.calls.append(NEVER_ARRIVED)
    await system.post()
    foreign = replace(notified(system.attempts[0], "succeeded"), gateway=GatewayId("beta"))
    system.tell(foreign)
    await system.turn()
    assert isinstance(system.state, Open)
    assert system.asked == []


@in_virtual_time
async def test_a_notification_of_another_amount_is_not_believed() -> None:
    system = Verified()
    system.calls.append(NEVER_ARRIVED)
    await system.post()
    await asyncio.sleep(FIRST_LOOK_S)
    system.tell(notified(system.attempts[0], "succeeded", amount_minor=1))
    await system.turn()
    assert system.asked == ["look_up", "burn"]
    assert system.since_the_take_over() == BURNED


@in_virtual_time
async def test_a_notification_about_what_is_not_ours_changes_nothing() -> None:
    system = await left_in_doubt()
    await system.turn()
    before = system.written
    system.tell(notified(attempt_id(payment_of(system.attempts[0]), 1, 9), "succeeded"))
    await asyncio.sleep(LEASE_AND_GUARDS_S)
    await system.turn()
    assert system.written == [*before, "PaymentTakenOver"]
    await asyncio.sleep(LEASE_AND_GUARDS_S)
    assert await system.turn() == 0


@in_virtual_time
async def test_a_message_is_used_only_when_its_events_are_on_the_log() -> None:
    system = Verified()
    system.calls.append(NO_ANSWER)
    await system.post()
    system.tell(notified(system.attempts[0], "succeeded"))
    system.records += [UNTROUBLED, LOST, LOST, LOST]
    await system.turn()
    assert system.since_the_take_over() == []
    await asyncio.sleep(LEASE_AND_GUARDS_S)
    assert await system.turn() == 1
    assert system.since_the_take_over(of=2) == PAID
    assert system.asked == []


@in_virtual_time
async def test_a_person_is_not_listened_to_before_being_asked() -> None:
    system = Verified()
    system.calls.append(NO_ANSWER)
    await system.post()
    system.tell(decided_by_hand(system.attempts[0], "declined"))
    await system.turn()
    assert isinstance(system.state, Open)
    assert system.since_the_take_over() == ["PaymentHandedOver"]


@in_virtual_time
async def test_a_success_by_hand_without_its_reference_settles_nothing() -> None:
    system = await left_in_doubt()
    system.answers += [UNREACHABLE] * (3 + RETRIES_MAX)
    await system.turns(seconds=LAST_LOOK_S)
    await system.turns(seconds=70_000, every_s=60)
    system.tell(decided_by_hand(system.attempts[0], "succeeded"))
    await system.turn()
    assert isinstance(system.state, Open)
    assert system.state.attempts[0].in_review


# Giving back


@in_virtual_time
async def test_a_second_success_is_given_back_and_a_person_hears_of_both() -> None:
    system = await paid_by_the_second()
    await system.turn()
    assert system.since_the_take_over() == [
        "AttemptSucceeded",
        "VerificationPerformed",
        "LateSuccessDetected",
        "ChargeCompensated",
    ]
    assert system.asked == ["look_up", "give_back"]
    assert [entry.given_back_by for entry in system.charges] == ["refund", None]
    assert paid(system).gateway == "beta"
    assert [type(alarm) for alarm in system.alarms.raised] == [
        DuplicateChargeDetected,
        DuplicateChargeCompensated,
    ]


@in_virtual_time
async def test_giving_back_is_tried_until_it_is_certain_and_nothing_is_asked_beside_it() -> None:
    system = await paid_by_the_second()
    system.answers += [CallFate(), UNREACHABLE, NO_ANSWER]
    await system.turns(seconds=300, every_s=5)
    assert system.asked == ["look_up", "give_back", "give_back", "give_back"]
    assert system.written.count("ChargeCompensated") == 1
    assert [entry.given_back_by for entry in system.charges] == ["refund", None]


@in_virtual_time
async def test_a_compensation_that_was_not_recorded_is_recorded_by_the_next_owner() -> None:
    system = await paid_by_the_second()
    system.records += [UNTROUBLED, UNTROUBLED, UNTROUBLED, UNTROUBLED, LOST]
    await system.turn()
    assert "ChargeCompensated" not in system.written
    await asyncio.sleep(LEASE_AND_GUARDS_S)
    await system.turn()
    assert system.since_the_take_over(of=2) == ["ChargeCompensated"]


async def paid_by_the_second() -> Verified:
    """By a merchant who would rather have a second charge given back than a payment wait."""
    system = Verified()
    system.policy = RetryPolicy(retry_on_timeout=True)
    system.calls.append(NO_ANSWER)
    await system.post()
    await asyncio.sleep(FIRST_LOOK_S)
    return system


@in_virtual_time
async def test_a_late_authorisation_is_let_go_and_never_taken() -> None:
    system = await declined_and_later_authorised(RetryPolicy())
    await system.turn()
    assert system.asked == ["look_up", "give_back"]
    assert system.charges[0].given_back_by == "void"
    assert failed(system).failure.code == "insufficient_funds"


@in_virtual_time
async def test_a_late_authorisation_is_taken_where_the_merchant_keeps_it() -> None:
    system = await declined_and_later_authorised(RetryPolicy(keep_late_success=True))
    await system.turn()
    assert system.asked == ["look_up", "capture"]
    assert system.charges[0].is_captured
    assert paid(system).gateway_reference == "txn_late"


@in_virtual_time
async def test_what_has_failed_is_looked_at_once_more_and_never_again() -> None:
    system = Verified(lambda _: declined())
    await system.post()
    await system.turns(seconds=HORIZON_S + 86_400, every_s=3_600)
    assert system.asked == ["look_up"]
    assert failed(system).failure.code == "insufficient_funds"


# What hardly began


@in_virtual_time
async def test_a_request_that_never_got_an_attempt_is_closed_after_its_time() -> None:
    system = Verified()
    system.records += [UNTROUBLED, LOST, LOST]
    with pytest.raises(Refused, match="could not be recorded"):
        await system.post()
    await system.turns(seconds=CLOSE_AFTER.total_seconds() - 60)
    assert system.written == ["PaymentRequested"]
    await system.turns(seconds=120)
    assert failed(system).failure.code == "not_attempted"
    assert system.asked == []


@in_virtual_time
async def test_an_attempt_without_its_request_is_verified_all_the_same() -> None:
    system = Verified()
    system.records += [LOST, LOST, UNTROUBLED]
    with pytest.raises(Refused, match="could not be recorded"):
        await system.post()
    await system.turns(seconds=FIRST_LOOK_S + 30)
    assert system.written == ["AttemptStarted", "PaymentTakenOver", *BURNED]
    assert system.contacts == 0


# The same key meanwhile


@in_virtual_time
async def test_the_same_key_is_told_the_payment_as_it_stands_while_a_verifier_owns_it() -> None:
    system = await left_in_doubt()
    system.project()
    system.answers.append(CallFate(effect_ms=1_500))
    await system.verifier.turn()
    await asyncio.sleep(0.5)
    pending = await system.post()
    assert pending.is_replay
    assert isinstance(state_told(pending), Open)
    await system.verifier.drain(60)
    settled = state_told(await system.post())
    assert isinstance(settled, Settled)
    assert isinstance(settled.result, PaymentSucceeded)
    assert system.contacts == 1


# What nobody expected


class Trips:
    """A history that cannot be folded, for a reason that has no name."""

    async def at_head(self, payment_id: PaymentId) -> NoReturn:
        raise ZeroDivisionError

    async def through(self, payment_id: PaymentId, position: Position) -> NoReturn:
        raise ZeroDivisionError


@in_virtual_time
async def test_what_nobody_expected_ends_the_process_at_its_next_turn() -> None:
    system = await left_in_doubt()
    system.verifier = system.a_verifier(histories=Trips())
    await system.turn()
    assert system.verifier.counted == {"failed": 1}
    with pytest.raises(ZeroDivisionError):
        await system.verifier.turn()


class FarBehind:
    async def at_head(self, payment_id: PaymentId) -> NoReturn:
        raise ReadTooFarBehind("the projection is 9000 records behind")

    async def through(self, payment_id: PaymentId, position: Position) -> NoReturn:
        raise ReadTooFarBehind("the projection is 9000 records behind")


@in_virtual_time
async def test_nothing_is_taken_over_while_it_could_not_be_folded() -> None:
    system = await left_in_doubt()
    system.verifier = system.a_verifier(histories=FarBehind())
    await system.turn()
    assert system.verifier.counted == {"projection_behind": 1}
    with pytest.raises(ReadTooFarBehind):
        await system.verifier.turn()
    await asyncio.sleep(BEHIND_PAUSE_MS / 1000)
    assert await system.verifier.turn() == 0
