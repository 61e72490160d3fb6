"""Stripe's adapter against a Stripe that fails: it never says more than is true, and finds out what was."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from infra.clock import SystemClock
from infra.gateways.http import GatewayHttp
from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.profile import Fault, FaultKind, Latency, Profile
from infra.gateways.stripe.adapter import StripeGateway
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
from schemas.instrument import Netbanking, Upi, Wallet
from schemas.outcome import AwaitingCustomer, Declined, InDoubt, NotSent, Outcome, Succeeded
from tests.infra.gateways.serving import serving
from tests.infra.gateways.stripe.intents import a_charge

pytestmark = pytest.mark.time_jumps

KEY = "sk_test_of_this_test"
clock = SystemClock()


class Stripe:
    def __init__(self, simulator: Simulator, url: str) -> None:
        self.simulator = simulator
        self.http = GatewayHttp(f"{url}/stripe", max_concurrent_calls=10)
        self.gateway = StripeGateway(self.http, secret_key=KEY, return_url="https://shop.example/paid")
        self.behaves()

    def behaves(self, *faults: FaultKind, **other: Any) -> None:
        profile: dict[str, Any] = {
            "gateway": "stripe",
            "wire": "stripe",
            "credentials": KEY,
            "success_rate": 1.0,
            "latency": Latency(fixed_ms=0),
            "faults": tuple(Fault(kind=kind) for kind in faults),
        }
        self.simulator.profiles["stripe"] = Profile(**(profile | other))

    async def charge(self, charge: Charge) -> Outcome:
        return await self.gateway.charge(charge, lambda: True)

    def status(self, charge: Charge) -> str | None:
        found = self.simulator.ledger.find("stripe", charge.attempt_id)
        return None if found is None else found.status


@pytest_asyncio.fixture
async def stripe() -> AsyncIterator[Stripe]:
    simulator = Simulator([])
    async with serving(simulator) as url:
        stripe = Stripe(simulator, url)
        yield stripe
        await stripe.http.close()


def a_new_charge() -> Charge:
    return replace(a_charge(), attempt_id=ids.attempt_id(clock.payment_id(), 1, 1))


def reference(charge: Charge) -> Reference:
    return Reference(attempt_id=charge.attempt_id, amount_minor=charge.amount_minor, currency=charge.currency)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("effect_then_500", "server_error"),
        ("effect_then_timeout", "read_timeout"),
        ("effect_then_reset", "connection_lost"),
        ("slow_drip", "read_timeout"),
        ("truncated_body", "unreadable_answer"),
        ("garbage_body", "unreadable_answer"),
        ("empty_200", "unreadable_answer"),
        ("wrong_amount", "mismatched_answer"),
    ],
)
async def test_a_charge_that_was_made_is_in_doubt_until_it_is_found(
    stripe: Stripe, fault: FaultKind, reason: str
) -> None:
    stripe.behaves(fault)
    charge = a_new_charge()
    outcome = await stripe.charge(charge)

    assert isinstance(outcome, InDoubt)
    assert outcome.reason == reason
    assert await stripe.gateway.burn(reference(charge)) == InUse()
    found = await stripe.gateway.look_up(charge.attempt_id)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Succeeded)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("error_500_before_effect", "server_error"),
        ("unavailable_503_before_effect", "server_error"),
        ("timeout_before_effect", "read_timeout"),
        ("reset_before_effect", "connection_lost"),
    ],
)
async def test_a_charge_that_was_not_made_is_in_doubt_until_its_key_is_burned(
    stripe: Stripe, fault: FaultKind, reason: str
) -> None:
    stripe.behaves(fault)
    charge = a_new_charge()
    outcome = await stripe.charge(charge)

    assert isinstance(outcome, InDoubt)
    assert outcome.reason == reason
    assert await stripe.gateway.look_up(charge.attempt_id) == NotFound()
    assert await stripe.gateway.burn(reference(charge)) == Burned()
    stripe.behaves()
    assert await stripe.charge(charge) == NotSent(reason="burned")
    assert stripe.status(charge) is None


async def test_a_limit_of_stripes_is_a_decline_that_charged_nobody(stripe: Stripe) -> None:
    stripe.behaves("rate_limited_429")
    charge = a_new_charge()
    outcome = await stripe.charge(charge)

    assert isinstance(outcome, Declined)
    assert (outcome.decline.code, outcome.decline.retryable) == ("gateway_busy", True)
    assert stripe.status(charge) is None


async def test_a_key_that_stripe_does_not_know_is_our_fault(stripe: Stripe) -> None:
    stripe.behaves(credentials="sk_test_another")
    charge = a_new_charge()
    outcome = await stripe.charge(charge)

    assert isinstance(outcome, Declined)
    assert (outcome.decline.code, outcome.decline.blame) == ("configuration_error", "caller")
    assert await stripe.gateway.look_up(charge.attempt_id) == Unreachable(reason="status 401")


async def test_a_burned_key_is_not_found_and_does_not_look_like_a_charge(stripe: Stripe) -> None:
    charge = a_new_charge()
    await stripe.gateway.burn(reference(charge))
    assert await stripe.gateway.look_up(charge.attempt_id) == NotFound()


async def test_a_search_that_is_behind_does_not_find_what_is_there(stripe: Stripe) -> None:
    stripe.behaves(lookup_lag_ms=60_000)
    charge = a_new_charge()

    assert isinstance(await stripe.charge(charge), Succeeded)
    assert await stripe.gateway.look_up(charge.attempt_id) == NotFound()
    assert await stripe.gateway.burn(reference(charge)) == InUse()


async def test_a_search_that_fails_tells_nothing(stripe: Stripe) -> None:
    stripe.behaves("lookup_500")
    charge = a_new_charge()
    await stripe.charge(charge)

    unreachable = Unreachable(reason="status 500")
    assert await stripe.gateway.look_up(charge.attempt_id) == unreachable
    assert await stripe.gateway.capture(charge.attempt_id) == unreachable
    assert await stripe.gateway.give_back(charge.attempt_id) == unreachable
    assert stripe.status(charge) == "captured"


async def test_an_intent_that_is_known_needs_no_search(stripe: Stripe) -> None:
    """As of a merchant in India, who has none."""
    charge = a_new_charge()
    outcome = await stripe.charge(charge)
    assert isinstance(outcome, Succeeded)
    stripe.behaves("lookup_500")

    known = outcome.gateway_reference
    found = await stripe.gateway.look_up(charge.attempt_id, known)
    assert isinstance(found, Found)
    assert found.outcome == outcome
    assert await stripe.gateway.capture(charge.attempt_id, known) == Captured()
    assert await stripe.gateway.give_back(charge.attempt_id, known) == GivenBack(by="refund")
    assert stripe.status(charge) == "refunded"


async def test_an_intent_of_another_attempt_is_not_believed(stripe: Stripe) -> None:
    charge, another = a_new_charge(), a_new_charge()
    outcome, others = await stripe.charge(charge), await stripe.charge(another)
    assert isinstance(others, Succeeded)

    found = await stripe.gateway.look_up(charge.attempt_id, others.gateway_reference)
    assert isinstance(found, Found)
    assert found.outcome == outcome
    assert await stripe.gateway.give_back(charge.attempt_id, others.gateway_reference) == GivenBack(
        by="refund"
    )
    assert (stripe.status(charge), stripe.status(another)) == ("refunded", "captured")


@pytest.mark.parametrize("known", ["pi_unheardOf", "", "pay_4Xyz", "pi_1/cancel", "pi_1?x=1", "../refunds"])
async def test_what_is_known_wrongly_is_searched_for(stripe: Stripe, known: str) -> None:
    charge = a_new_charge()
    outcome = await stripe.charge(charge)
    assert isinstance(outcome, Succeeded)
    found = await stripe.gateway.look_up(charge.attempt_id, known)
    assert isinstance(found, Found)
    assert found.outcome == outcome


async def test_a_hold_is_found_captured_and_then_refunded(stripe: Stripe) -> None:
    stripe.behaves(success_rate=0.0, late_capture_rate=1.0, late_capture_after_ms=0, late_status="authorized")
    charge = a_new_charge()
    await stripe.charge(charge)

    found = await stripe.gateway.look_up(charge.attempt_id)
    assert isinstance(found, Found)
    assert found.needs_capture
    for _ in range(2):
        assert await stripe.gateway.capture(charge.attempt_id) == Captured()
    assert stripe.status(charge) == "captured"
    assert await stripe.gateway.give_back(charge.attempt_id) == GivenBack(by="refund")


async def test_a_hold_is_given_back_by_letting_it_go(stripe: Stripe) -> None:
    stripe.behaves(success_rate=0.0, late_capture_rate=1.0, late_capture_after_ms=0, late_status="authorized")
    charge = a_new_charge()
    await stripe.charge(charge)

    assert await stripe.gateway.give_back(charge.attempt_id) == GivenBack(by="void")
    assert stripe.status(charge) == "voided"


async def test_a_refund_is_none_while_it_is_pending(stripe: Stripe) -> None:
    stripe.behaves(refund_pending_ms=200)
    charge = a_new_charge()
    await stripe.charge(charge)

    for _ in range(2):
        assert await stripe.gateway.give_back(charge.attempt_id) == Unreachable(reason="refund_pending")
    await asyncio.sleep(0.25)
    assert await stripe.gateway.give_back(charge.attempt_id) == GivenBack(by="refund")


async def test_what_the_customer_pays_while_it_is_given_back_is_refunded(stripe: Stripe) -> None:
    stripe.behaves(pending_resolves_ms=0)
    charge = replace(a_new_charge(), payment_method="UPI", instrument=Upi())
    await stripe.charge(charge)

    assert await stripe.gateway.give_back(charge.attempt_id) == GivenBack(by="refund")
    assert stripe.status(charge) == "refunded"


async def test_upi_sends_the_customer_to_stripes_page(stripe: Stripe) -> None:
    charge = replace(a_new_charge(), payment_method="UPI", instrument=Upi(vpa="a.person@okhdfcbank"))
    outcome = await stripe.charge(charge)

    assert isinstance(outcome, AwaitingCustomer)
    assert outcome.next_action.type == "redirect"
    assert (outcome.next_action.url or "").startswith("https://")


async def test_what_stripe_has_no_method_for_is_not_sent_to_it(stripe: Stripe) -> None:
    for instrument in (Netbanking(bank_code="HDFC"), Wallet(wallet="paytm")):
        charge = replace(a_new_charge(), instrument=instrument)
        outcome = await stripe.charge(charge)
        assert isinstance(outcome, Declined)
        assert (outcome.decline.code, outcome.decline.retryable) == ("method_not_eligible", True)
        assert stripe.status(charge) is None
