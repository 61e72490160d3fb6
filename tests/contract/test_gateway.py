"""What every gateway adapter promises: the truth of a charge by our own reference, and no charge behind our back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal, Protocol

import pytest
from msgspec.structs import replace

from commands.ports import Gateway
from infra.clock import SystemClock
from infra.gateways.http import GatewayHttp
from infra.gateways.razorpay.adapter import RazorpayGateway
from infra.gateways.razorpay.requests import Account
from infra.gateways.simulated import SimulatedGateway
from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.profile import Fault, FaultKind, Latency, Profile, WeightedDecline, Wire
from infra.gateways.stripe.adapter import StripeGateway
from infra.memory.clock import MemoryClock
from infra.memory.gateways import CallFate, Ledger, MemoryGateway
from schemas import ids
from schemas.charge import (
    Burned,
    Captured,
    Charge,
    Found,
    GivenBack,
    InUse,
    NotFound,
    Reference,
    Unreachable,
)
from schemas.ids import AttemptId, GatewayId
from schemas.instrument import Card, Instrument, Upi, method_of
from schemas.outcome import AwaitingCustomer, Declined, InDoubt, NotSent, Outcome, Succeeded
from tests.builders import awaiting, declined, success
from tests.infra.gateways.serving import serving
from tests.jumping import elapsed_ms

Ending = Literal["succeeds", "is declined", "awaits the customer"]
Trouble = Literal["call is lost", "answer is lost", "connection breaks after the charge"]

pytestmark = pytest.mark.time_jumps

PATIENCE_MS = 600
_clock = SystemClock()


class World(Protocol):
    instrument: Instrument
    """One with which a charge ends at once, unless it awaits the customer."""
    looks: int
    """How often a call looks at the window: before everything it sends that could lead to a charge."""
    voids: bool
    """Whether a charge that awaits the customer can be taken back."""
    replays: bool
    """Whether a charge that is asked for again is answered as it was at first, whatever became of it since."""

    @property
    def gateway(self) -> Gateway: ...

    def every_charge(self, ending: Ending) -> None: ...

    def trouble(self, trouble: Trouble) -> None: ...

    def asked(self, reference: AttemptId) -> int:
        """How many calls for this charge have come to the gateway."""

    def has_money(self, reference: AttemptId) -> bool:
        """Whether the customer's money is with the gateway, in truth."""


OUTCOMES: dict[Ending, Callable[[], Outcome]] = {
    "succeeds": success,
    "is declined": declined,
    "awaits the customer": awaiting,
}
FATES: dict[Trouble, CallFate] = {
    "call is lost": CallFate(effect_ms=None),
    "answer is lost": CallFate(answer_ms=None),
    "connection breaks after the charge": CallFate(broken="connection_lost"),
}


UPI = Upi(vpa="test.user@okhdfcbank")
CARD = Card(token="token_4Xyz", bin="411111", last4="1111")


class MemoryWorld:
    instrument: Instrument = UPI
    looks = 1
    voids = True
    replays = False

    def __init__(self) -> None:
        clock = MemoryClock()
        self._outcome: Callable[[], Outcome] = success
        self._fate = CallFate()
        self._ledger = Ledger(clock, lambda _: self._outcome())
        self.gateway = MemoryGateway(self._ledger, clock, fate=lambda: self._fate)

    def every_charge(self, ending: Ending) -> None:
        self._outcome = OUTCOMES[ending]

    def trouble(self, trouble: Trouble) -> None:
        self._fate = FATES[trouble]

    def asked(self, reference: AttemptId) -> int:
        return sum(contact.charge.attempt_id == reference for contact in self._ledger.contacts)

    def has_money(self, reference: AttemptId) -> bool:
        entry = self._ledger.entries.get(reference)
        return entry is not None and entry.is_captured


FAULTS: dict[Trouble, FaultKind] = {
    "call is lost": "timeout_before_effect",
    "answer is lost": "effect_then_timeout",
    "connection breaks after the charge": "effect_then_reset",
}
NO_FUNDS = WeightedDecline(code="BAD_REQUEST_ERROR", source="customer", reason="insufficient_funds")


class SimulatorWorld:
    instrument: Instrument = UPI
    looks = 1
    voids = True
    replays = False
    wire: Wire = "simulator"

    def __init__(self, simulator: Simulator, gateway: Gateway) -> None:
        self._simulator = simulator
        self.gateway = gateway
        self.every_charge("succeeds")

    def every_charge(self, ending: Ending) -> None:
        self._behave(
            success_rate=0.0 if ending == "is declined" else 1.0,
            pending_rate=1.0 if ending == "awaits the customer" else 0.0,
        )

    def trouble(self, trouble: Trouble) -> None:
        self._behave(faults=(Fault(kind=FAULTS[trouble]),))

    def _behave(
        self, *, success_rate: float = 1.0, pending_rate: float = 0.0, faults: tuple[Fault, ...] = ()
    ) -> None:
        self._simulator.profiles["alpha"] = Profile(
            gateway="alpha",
            wire=self.wire,
            latency=Latency(fixed_ms=0),
            declines=(NO_FUNDS,),
            success_rate=success_rate,
            pending_rate=pending_rate,
            faults=faults,
        )

    def asked(self, reference: AttemptId) -> int:
        charge = self._simulator.ledger.find("alpha", reference)
        return 0 if charge is None else charge.request.times

    def has_money(self, reference: AttemptId) -> bool:
        charge = self._simulator.ledger.find("alpha", reference)
        return charge is not None and charge.status == "captured"


class RazorpayWorld(SimulatorWorld):
    """By card: a UPI payment always awaits the customer there."""

    instrument: Instrument = CARD
    looks = 2
    voids = False
    wire = "razorpay"

    def asked(self, reference: AttemptId) -> int:
        order = self._simulator.razorpay.book.by_receipt("alpha", reference)
        return 0 if order is None else order.asked


class StripeWorld(SimulatorWorld):
    """By card, for the same reason."""

    instrument: Instrument = CARD
    replays = True
    wire = "stripe"


ACCOUNT = Account(key_id="rzp_test", key_secret="secret", email="a@example.com", contact="+919999999999")


@pytest.fixture(params=["memory", "simulator", "razorpay", "stripe"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    simulator = Simulator([])
    async with serving(simulator) as url:
        http = GatewayHttp(f"{url}/alpha", max_concurrent_calls=100)
        match request.param:
            case "simulator":
                yield SimulatorWorld(simulator, SimulatedGateway(http))
            case "razorpay":
                yield RazorpayWorld(simulator, RazorpayGateway(http, ACCOUNT, elapsed_ms))
            case "stripe":
                stripe = StripeGateway(http, secret_key="sk_test", return_url="https://shop.example/paid")
                yield StripeWorld(simulator, stripe)
        await http.close()


def a_charge(world: World) -> Charge:
    return Charge(
        attempt_id=ids.attempt_id(_clock.payment_id(), 1, 1),
        gateway=GatewayId("alpha"),
        amount_minor=129_900,
        currency="INR",
        payment_method=method_of(world.instrument),
        instrument=world.instrument,
        timeout_ms=PATIENCE_MS,
    )


def essence(outcome: Outcome) -> Outcome:
    """Without the address where the customer acts: some gateways tell it only once."""
    if not isinstance(outcome, AwaitingCustomer):
        return outcome
    return replace(outcome, next_action=replace(outcome.next_action, url=None))


async def charged(world: World, charge: Charge) -> Outcome:
    return await world.gateway.charge(charge, lambda: True)


# Charging


async def test_a_charge_succeeds_under_a_reference_of_the_gateway(world: World) -> None:
    charge = a_charge(world)
    outcome = await charged(world, charge)

    assert isinstance(outcome, Succeeded)
    assert outcome.gateway_reference
    assert world.has_money(charge.attempt_id)


async def test_a_decline_has_a_code_that_is_the_same_for_every_gateway(world: World) -> None:
    world.every_charge("is declined")
    charge = a_charge(world)
    outcome = await charged(world, charge)

    assert isinstance(outcome, Declined)
    decline = outcome.decline
    assert (decline.code, decline.blame, decline.retryable) == ("insufficient_funds", "customer", False)
    assert not world.has_money(charge.attempt_id)


async def test_a_customer_who_has_to_act_is_told_how(world: World) -> None:
    world.every_charge("awaits the customer")
    charge = a_charge(world)
    outcome = await charged(world, charge)

    assert isinstance(outcome, AwaitingCustomer)
    asked = ("upi_intent", "upi_collect") if world.instrument == UPI else ("redirect",)
    assert outcome.next_action.type in asked
    assert not world.has_money(charge.attempt_id)


@pytest.mark.parametrize("ending", ["succeeds", "is declined", "awaits the customer"])
async def test_a_reference_is_charged_once_however_often_it_is_asked_for(
    world: World, ending: Ending
) -> None:
    world.every_charge(ending)
    charge = a_charge(world)
    first = await charged(world, charge)
    others = await asyncio.gather(*(charged(world, charge) for _ in range(10)))
    world.every_charge("is declined" if ending == "succeeds" else "succeeds")

    assert {essence(other) for other in others} == {essence(first)}
    assert essence(await charged(world, charge)) == essence(first)
    assert world.asked(charge.attempt_id) == 12


async def test_a_window_that_has_closed_sends_nothing(world: World) -> None:
    charge = a_charge(world)
    outcome = await world.gateway.charge(charge, lambda: False)

    assert outcome == NotSent(reason="window_closed")
    assert world.asked(charge.attempt_id) == 0
    assert await world.gateway.look_up(charge.attempt_id) == NotFound()


async def test_the_window_is_looked_at_before_all_that_is_sent(world: World) -> None:
    looks: list[None] = []

    def may_send() -> bool:
        looks.append(None)
        return True

    for number in range(1, 4):
        await world.gateway.charge(a_charge(world), may_send)
        assert len(looks) == number * world.looks


# When it is not known


async def test_a_call_that_is_lost_is_in_doubt_and_not_found(world: World) -> None:
    world.trouble("call is lost")
    charge = a_charge(world)

    assert await charged(world, charge) == InDoubt(reason="read_timeout")
    assert await world.gateway.look_up(charge.attempt_id) == NotFound()


async def test_an_answer_that_is_lost_is_in_doubt_and_the_charge_is_found(world: World) -> None:
    world.trouble("answer is lost")
    charge = a_charge(world)

    assert await charged(world, charge) == InDoubt(reason="read_timeout")
    found = await world.gateway.look_up(charge.attempt_id)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Succeeded)


async def test_a_connection_that_breaks_is_in_doubt_and_the_charge_is_found(world: World) -> None:
    world.trouble("connection breaks after the charge")
    charge = a_charge(world)

    assert await charged(world, charge) == InDoubt(reason="connection_lost")
    found = await world.gateway.look_up(charge.attempt_id)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Succeeded)


# Looking up


@pytest.mark.parametrize("ending", ["succeeds", "is declined", "awaits the customer"])
async def test_a_charge_is_found_as_it_was_answered(world: World, ending: Ending) -> None:
    world.every_charge(ending)
    charge = a_charge(world)
    outcome = await charged(world, charge)

    found = await world.gateway.look_up(charge.attempt_id)
    assert isinstance(found, Found)
    assert essence(found.outcome) == essence(outcome)
    assert (found.amount_minor, found.currency) == (charge.amount_minor, charge.currency)


@pytest.mark.parametrize("ending", ["succeeds", "is declined", "awaits the customer"])
async def test_a_reference_of_the_gateway_leads_to_the_same_charge(world: World, ending: Ending) -> None:
    world.every_charge(ending)
    charge = a_charge(world)
    known = getattr(await charged(world, charge), "gateway_reference", None)

    found = await world.gateway.look_up(charge.attempt_id)
    assert await world.gateway.look_up(charge.attempt_id, known) == found
    assert await world.gateway.look_up(charge.attempt_id, "pi_ofNobody") == found
    assert await world.gateway.look_up(a_charge(world).attempt_id, known) == NotFound()


async def test_what_was_never_charged_is_not_found(world: World) -> None:
    assert await world.gateway.look_up(a_charge(world).attempt_id) == NotFound()


# Burning


def the_reference(charge: Charge) -> Reference:
    return Reference(attempt_id=charge.attempt_id, amount_minor=charge.amount_minor, currency=charge.currency)


async def test_a_reference_that_was_burned_can_never_be_charged(world: World) -> None:
    charge = a_charge(world)
    for _ in range(2):
        assert await world.gateway.burn(the_reference(charge)) == Burned()

    assert await charged(world, charge) == NotSent(reason="burned")
    assert not world.has_money(charge.attempt_id)


@pytest.mark.parametrize("ending", ["succeeds", "is declined", "awaits the customer"])
async def test_a_reference_that_is_in_use_cannot_be_burned(world: World, ending: Ending) -> None:
    world.every_charge(ending)
    charge = a_charge(world)
    outcome = await charged(world, charge)

    assert await world.gateway.burn(the_reference(charge)) == InUse()
    assert essence(await charged(world, charge)) == essence(outcome)


# Capturing


async def test_what_was_captured_stays_captured(world: World) -> None:
    charge = a_charge(world)
    await charged(world, charge)
    for _ in range(2):
        assert await world.gateway.capture(charge.attempt_id) == Captured()

    assert world.has_money(charge.attempt_id)


# Giving back


@pytest.mark.parametrize("ending", ["succeeds", "awaits the customer"])
async def test_what_was_charged_is_given_back_once_however_often_it_is_asked_for(
    world: World, ending: Ending
) -> None:
    if ending == "awaits the customer" and not world.voids:
        pytest.skip("this gateway can only give back what was paid")
    world.every_charge(ending)
    charge = a_charge(world)
    answered = await charged(world, charge)
    first = await world.gateway.give_back(charge.attempt_id)

    assert isinstance(first, GivenBack)
    assert await world.gateway.give_back(charge.attempt_id) == first
    await no_money_is_or_can_be_taken(world, charge, answered)


async def test_what_was_not_taken_cannot_be_given_back(world: World) -> None:
    never, refused = a_charge(world), a_charge(world)
    world.every_charge("is declined")
    await charged(world, refused)

    for charge in (never, refused):
        assert isinstance(await world.gateway.give_back(charge.attempt_id), Unreachable)


async def no_money_is_or_can_be_taken(world: World, charge: Charge, answered: Outcome) -> None:
    burned = NotSent(reason="burned")
    assert not world.has_money(charge.attempt_id)
    found = Found(outcome=burned, amount_minor=charge.amount_minor, currency=charge.currency)
    assert await world.gateway.look_up(charge.attempt_id) == found
    assert await charged(world, charge) == (answered if world.replays else burned)
    assert not world.has_money(charge.attempt_id)
