"""The adapter over a real socket: what it sends, what it makes of every fault, and that nobody is charged behind it."""

import asyncio
from typing import Any

import msgspec
import pytest

from infra.gateways.http import GatewayHttp
from infra.gateways.razorpay.adapter import RazorpayGateway
from infra.gateways.simulator.profile import Fault, FaultKind
from schemas.charge import (
    Burned,
    Captured,
    Charge,
    Found,
    GivenBack,
    InUse,
    LookUp,
    NotFound,
    Unreachable,
)
from schemas.instrument import Instrument, Netbanking, Upi, Wallet
from schemas.outcome import (
    AwaitingCustomer,
    Decline,
    Declined,
    InDoubt,
    NotSent,
    Outcome,
    Succeeded,
)
from tests.infra.gateways.razorpay.world import (
    ACCOUNT,
    CARD,
    UPI,
    VPA,
    World,
    a_charge,
    a_world,
    the_reference,
)
from tests.infra.gateways.serving import listening_socket
from tests.jumping import elapsed_ms

pytestmark = pytest.mark.time_jumps

PATIENCE_MS = 600
BUSY = Declined(decline=Decline(code="gateway_busy", blame="gateway", retryable=True))
BROKEN = Declined(decline=Decline(code="gateway_error", blame="gateway", retryable=True))
MISCONFIGURED = Declined(decline=Decline(code="configuration_error", blame="caller", retryable=False))
REJECTED = Declined(decline=Decline(code="invalid_request", blame="caller", retryable=False))


# What is asked


@pytest.mark.parametrize(
    ("instrument", "fields"),
    [
        (UPI, {"method": "upi", "upi": {"flow": "intent"}}),
        (Upi(), {"method": "upi", "upi": {"flow": "intent"}}),
        (CARD, {"method": "card", "token": "token_4Xyz"}),
        (Netbanking(bank_code="HDFC"), {"method": "netbanking", "bank": "HDFC"}),
        (Wallet(wallet="payzapp"), {"method": "wallet", "wallet": "payzapp"}),
    ],
)
async def test_an_order_and_then_a_payment_on_it_carry_our_reference(
    world: World, instrument: Instrument, fields: dict[str, Any]
) -> None:
    charge = a_charge(instrument)
    await world.pay(charge)

    (_, orders, order), (_, payments, payment) = world.simulator.seen[:2]
    assert (orders, payments) == ("/alpha/v1/orders", "/alpha/v1/payments/create/json")
    sent = msgspec.json.decode(order)
    assert (sent["amount"], sent["currency"], sent["receipt"]) == (129_900, "INR", charge.attempt_id)
    assert sent["payment"]["capture"] == "automatic"
    sent = msgspec.json.decode(payment)
    assert sent["notes"] == {"attempt_id": charge.attempt_id}
    assert (sent["ip"], sent["user_agent"], sent["email"]) == ("203.0.113.9", "a browser", "a@example.com")
    assert fields.items() <= sent.items()


async def test_a_vpa_is_asked_for_money_only_where_collect_is_still_allowed() -> None:
    account = msgspec.structs.replace(ACCOUNT, takes_upi_collect=True)
    async with a_world(account) as world:
        outcome = await world.pay(a_charge(UPI))
        _, _, body = world.simulator.seen[1]

    assert isinstance(outcome, AwaitingCustomer)
    assert outcome.next_action.type == "upi_collect"
    assert msgspec.json.decode(body)["upi"] == {"flow": "collect", "vpa": VPA}


# How it ends


async def test_a_customer_pays_by_upi_after_the_answer(world: World) -> None:
    world.behave(pending_resolves_ms=100)
    charge = a_charge(UPI)
    outcome = await world.pay(charge)

    assert isinstance(outcome, AwaitingCustomer)
    assert outcome.next_action.type == "upi_intent"
    assert str(outcome.next_action.url).startswith("upi://pay?")
    before = await found(world, charge)
    assert isinstance(before.outcome, AwaitingCustomer)
    await asyncio.sleep(0.15)
    after = await found(world, charge)
    assert after.outcome == Succeeded(gateway_reference=outcome.gateway_reference)
    assert not after.needs_capture


async def test_a_customer_who_does_not_pay_is_declined_after_the_answer(world: World) -> None:
    world.behave(success_rate=0.0, pending_resolves_ms=0)
    charge = a_charge(UPI)
    await world.pay(charge)

    outcome = (await found(world, charge)).outcome
    assert isinstance(outcome, Declined)
    assert outcome.decline.code == "insufficient_funds"


@pytest.mark.parametrize(("late_status", "needs_capture"), [("captured", False), ("authorized", True)])
async def test_what_failed_may_be_paid_later_and_then_perhaps_wants_a_capture(
    world: World, late_status: str, needs_capture: bool
) -> None:
    world.behave(
        success_rate=0.0,
        pending_resolves_ms=50,
        late_capture_rate=1.0,
        late_capture_after_ms=400,
        late_status=late_status,
    )
    charge = a_charge(UPI)
    first = await world.pay(charge)
    assert isinstance(first, AwaitingCustomer)
    await asyncio.sleep(0.1)
    assert isinstance((await found(world, charge)).outcome, Declined)
    await asyncio.sleep(0.4)
    late = await found(world, charge)

    assert (late.outcome, late.needs_capture) == (
        Succeeded(gateway_reference=first.gateway_reference),
        needs_capture,
    )
    for _ in range(2):
        assert await world.gateway.capture(charge.attempt_id) == Captured()
    assert world.charges() == ["captured"]


async def test_a_late_authorisation_that_nobody_wants_is_captured_and_refunded(world: World) -> None:
    world.behave(success_rate=0.0, late_capture_rate=1.0, late_capture_after_ms=0, late_status="authorized")
    charge = a_charge()
    await world.pay(charge)

    for _ in range(2):
        assert await world.gateway.give_back(charge.attempt_id) == GivenBack(by="refund")
    assert world.charges() == ["refunded"]
    assert (await found(world, charge)).outcome == NotSent(reason="burned")


async def test_an_order_that_was_paid_twice_is_given_back_twice(world: World) -> None:
    world.behave(pending_resolves_ms=50)
    charge = a_charge(UPI)
    await world.pay(charge)
    await pay_behind_our_back(world, charge)
    await asyncio.sleep(0.1)
    assert world.charges() == ["captured", "captured"]

    assert await world.gateway.give_back(charge.attempt_id) == GivenBack(by="refund")
    assert world.charges() == ["refunded", "refunded"]


async def test_nothing_is_given_back_while_the_customer_may_still_pay(world: World) -> None:
    charge = a_charge(UPI)
    await world.pay(charge)
    assert isinstance(await world.gateway.give_back(charge.attempt_id), Unreachable)


async def test_a_refund_in_flight_is_asked_for_again(world: World) -> None:
    charge = a_charge()
    await world.pay(charge)
    world.meddle("POST", "/refund", 409, {"error": {"code": "BAD_REQUEST_ERROR"}})
    assert await world.gateway.give_back(charge.attempt_id) == Unreachable(reason="status 409")
    world.stop_meddling()
    assert await world.gateway.give_back(charge.attempt_id) == GivenBack(by="refund")


async def test_a_refund_is_none_while_it_is_pending(world: World) -> None:
    world.behave(refund_pending_ms=200)
    charge = a_charge()
    await world.pay(charge)
    for _ in range(2):
        assert await world.gateway.give_back(charge.attempt_id) == Unreachable(reason="refund_pending")
    await asyncio.sleep(0.25)
    assert await world.gateway.give_back(charge.attempt_id) == GivenBack(by="refund")
    assert world.charges() == ["refunded"]


@pytest.mark.parametrize("at_first", ["pending", "failed"])
async def test_a_refund_that_failed_is_none_whatever_it_was_at_first(world: World, at_first: str) -> None:
    charge = a_charge()
    outcome = await world.pay(charge)
    assert isinstance(outcome, Succeeded)
    refund = {"payment_id": outcome.gateway_reference, "amount": charge.amount_minor}
    world.meddle("POST", "/refund", 200, refund | {"status": at_first})
    world.meddle("GET", "/refunds", 200, {"items": [refund | {"status": "failed"}]})
    assert await world.gateway.give_back(charge.attempt_id) == Unreachable(reason="refund_failed")


async def test_a_refund_that_cannot_be_seen_is_none(world: World) -> None:
    world.behave(refund_pending_ms=60_000)
    charge = a_charge()
    await world.pay(charge)
    world.meddle("GET", "/refunds", 500, {})
    for _ in range(2):
        assert await world.gateway.give_back(charge.attempt_id) == Unreachable(reason="status 500")


# Troubles with the order: they charge nobody


@pytest.mark.parametrize(
    "kind", ["effect_then_500", "effect_then_timeout", "effect_then_reset", "garbage_body", "truncated_body"]
)
async def test_an_order_whose_answer_is_lost_is_found_and_paid(world: World, kind: FaultKind) -> None:
    world.behave(faults=(Fault(kind=kind, at="order"),))
    charge = a_charge()

    assert isinstance(await world.pay(charge), Succeeded)
    assert world.charges() == ["captured"]
    assert world.asked("/v1/orders") == 2  # created, and asked for


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("error_500_before_effect", BROKEN),
        ("unavailable_503_before_effect", BROKEN),
        ("rate_limited_429", BUSY),
        ("timeout_before_effect", NotSent(reason="connect")),
        ("reset_before_effect", NotSent(reason="connect")),
        ("wrong_amount", InDoubt(reason="mismatched_answer")),
    ],
)
async def test_an_order_that_cannot_be_had_is_not_paid(
    world: World, kind: FaultKind, outcome: Outcome
) -> None:
    world.behave(faults=(Fault(kind=kind, at="order"),))
    charge = a_charge(timeout_ms=PATIENCE_MS)

    assert await world.pay(charge) == outcome
    assert world.asked("/payments/create/json") == 0
    assert await world.gateway.look_up(charge.attempt_id) == NotFound()


async def test_an_order_that_is_lost_and_not_found_is_not_paid(world: World) -> None:
    world.behave(faults=(Fault(kind="effect_then_reset", at="order"),), lookup_lag_ms=60_000)
    assert await world.pay(a_charge()) == NotSent(reason="connect")
    assert world.charges() == []


async def test_an_order_that_is_refused_is_our_mistake(world: World) -> None:
    world.meddle("POST", "/v1/orders", 400, {"error": {"code": "BAD_REQUEST_ERROR"}})
    assert await world.pay(a_charge()) == REJECTED


async def test_a_receipt_that_is_taken_by_who_knows_whom_is_in_doubt(world: World) -> None:
    world.meddle("POST", "/v1/orders", 400, {"error": {"code": "BAD_REQUEST_ERROR"}})
    world.meddle("GET", "/v1/orders", 500, {})
    assert await world.pay(a_charge()) == InDoubt(reason="server_error", http_status=400)


async def test_a_connection_that_is_refused_sends_nothing() -> None:
    with listening_socket() as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    http = GatewayHttp(address, max_concurrent_calls=10)
    gateway = RazorpayGateway(http, ACCOUNT, elapsed_ms)
    charge = a_charge()

    assert await gateway.charge(charge, lambda: True) == NotSent(reason="connect")
    assert await gateway.look_up(charge.attempt_id) == Unreachable(reason="connect")
    assert await gateway.burn(the_reference(charge)) == Unreachable(reason="connect")
    assert await gateway.capture(charge.attempt_id) == Unreachable(reason="connect")
    assert await gateway.give_back(charge.attempt_id) == Unreachable(reason="connect")
    await http.close()


async def test_a_window_that_closes_between_order_and_payment_charges_nobody(world: World) -> None:
    looks = iter([True, False])
    charge = a_charge()

    assert await world.pay(charge, lambda: next(looks)) == NotSent(reason="window_closed")
    assert world.asked("/payments/create/json") == 0
    assert await world.gateway.look_up(charge.attempt_id) == NotFound()


# Troubles with the payment


@pytest.mark.parametrize(
    ("kind", "outcome", "charges"),
    [
        ("effect_then_500", InDoubt(reason="server_error", http_status=500), ["captured"]),
        ("error_500_before_effect", InDoubt(reason="server_error", http_status=500), []),
        ("unavailable_503_before_effect", InDoubt(reason="server_error", http_status=503), []),
        ("effect_then_timeout", InDoubt(reason="read_timeout"), ["captured"]),
        ("timeout_before_effect", InDoubt(reason="read_timeout"), []),
        ("slow_drip", InDoubt(reason="read_timeout"), ["captured"]),
        ("effect_then_reset", InDoubt(reason="connection_lost"), ["captured"]),
        ("reset_before_effect", InDoubt(reason="connection_lost"), []),
        ("truncated_body", InDoubt(reason="unreadable_answer"), ["captured"]),
        ("garbage_body", InDoubt(reason="unreadable_answer", http_status=200), ["captured"]),
        ("empty_200", InDoubt(reason="unreadable_answer", http_status=200), ["captured"]),
        ("rate_limited_429", BUSY, []),
    ],
)
async def test_only_a_readable_answer_to_the_payment_is_certain(
    world: World, kind: FaultKind, outcome: Outcome, charges: list[str]
) -> None:
    world.behave(faults=(Fault(kind=kind),))
    charge = a_charge(timeout_ms=PATIENCE_MS)

    assert await world.pay(charge) == outcome
    assert world.charges() == charges
    looked_up = await world.gateway.look_up(charge.attempt_id)
    if charges:
        assert isinstance(looked_up, Found)
        assert isinstance(looked_up.outcome, Succeeded)
    else:
        assert looked_up == NotFound()


async def test_a_payment_of_another_amount_is_in_doubt(world: World) -> None:
    world.behave(faults=(Fault(kind="wrong_amount"),))
    outcome = await world.pay(a_charge())
    assert isinstance(outcome, InDoubt)
    assert (outcome.reason, outcome.gateway_reference is not None) == ("mismatched_answer", True)


async def test_a_payment_whose_end_cannot_be_read_is_in_doubt_and_has_a_name(world: World) -> None:
    created = {"razorpay_payment_id": "pay_4Xyz"}
    world.meddle("POST", "/payments/create/json", 200, created)
    for status in (404, 500):
        world.meddle("GET", "/payments/pay_4Xyz", status, {})
        assert await world.pay(a_charge()) == InDoubt(
            reason="unreadable_answer", gateway_reference="pay_4Xyz", http_status=status
        )
    world.silence("GET", "/payments/pay_4Xyz")
    assert await world.pay(a_charge(timeout_ms=PATIENCE_MS)) == InDoubt(
        reason="read_timeout", gateway_reference="pay_4Xyz"
    )


async def test_a_payment_that_is_only_authorised_is_in_doubt_until_it_is_captured(world: World) -> None:
    world.behave(success_rate=0.0, late_capture_rate=1.0, late_capture_after_ms=0, late_status="authorized")
    charge = a_charge()
    await world.pay(charge)

    assert await world.pay(charge) == InDoubt(reason="interrupted")


async def test_a_key_that_is_refused_charges_nobody(world: World) -> None:
    world.behave(credentials="another:key")
    charge = a_charge()
    assert await world.pay(charge) == MISCONFIGURED
    assert await world.gateway.look_up(charge.attempt_id) == Unreachable(reason="status 401")

    world.behave()
    world.meddle("POST", "/payments/create/json", 401, {"error": {"code": "BAD_REQUEST_ERROR"}})
    assert await world.pay(charge) == MISCONFIGURED


async def test_all_of_it_takes_no_longer_than_the_charge_may(world: World) -> None:
    world.silence("POST", "/v1/orders")
    world.silence("GET", "/v1/orders")
    begun_ms = elapsed_ms()
    assert await world.pay(a_charge(timeout_ms=PATIENCE_MS)) == NotSent(reason="connect")
    assert elapsed_ms() - begun_ms < PATIENCE_MS


# Looking up


async def test_a_lookup_that_lags_knows_nothing_yet(world: World) -> None:
    world.behave(lookup_lag_ms=100)
    charge = a_charge()
    await world.pay(charge)

    assert await world.gateway.look_up(charge.attempt_id) == NotFound()
    await asyncio.sleep(0.15)
    assert isinstance(await world.gateway.look_up(charge.attempt_id), Found)


@pytest.mark.parametrize("end", ["/v1/orders", "/payments"])
async def test_a_lookup_that_fails_proves_nothing(world: World, end: str) -> None:
    charge = a_charge()
    await world.pay(charge)
    for status, content in ((500, {}), (200, {"items": "none"}), (429, {})):
        world.meddle("GET", end, status, content)
        assert await world.gateway.look_up(charge.attempt_id) == Unreachable(reason=f"status {status}")


async def test_orders_of_others_are_not_ours(world: World) -> None:
    stranger = {"id": "order_1", "amount": 1, "currency": "INR", "receipt": "theirs", "notes": []}
    world.meddle("GET", "/v1/orders", 200, {"items": [stranger]})
    assert await world.gateway.look_up(a_charge().attempt_id) == NotFound()


async def test_more_orders_than_there_can_be_are_not_judged(world: World) -> None:
    charge = a_charge()
    order = {"id": "order_1", "amount": 1, "currency": "INR", "receipt": charge.attempt_id}
    world.meddle("GET", "/v1/orders", 200, {"items": [order] * 6})
    assert await world.gateway.look_up(charge.attempt_id) == Unreachable(reason="too many orders")


# Burning


async def test_an_order_without_a_payment_is_burned_where_it_is(world: World) -> None:
    looks = iter([True, False])
    charge = a_charge()
    await world.pay(charge, lambda: next(looks))

    assert await world.gateway.burn(the_reference(charge)) == Burned()
    assert (await found(world, charge)).outcome == NotSent(reason="burned")
    assert await world.pay(charge) == NotSent(reason="burned")
    assert world.charges() == []


async def test_a_payment_that_comes_while_its_order_is_burned_is_seen(world: World) -> None:
    looks = iter([True, False])
    charge = a_charge()
    await world.pay(charge, lambda: next(looks))
    world.simulator.before["PATCH", ""] = lambda: pay_behind_our_back(world, charge)

    assert await world.gateway.burn(the_reference(charge)) == InUse()


async def test_a_burning_whose_answer_is_lost_is_seen_in_the_order(world: World) -> None:
    world.behave(faults=(Fault(kind="effect_then_500", at="order"),))
    charge = a_charge()
    assert await world.gateway.burn(the_reference(charge)) == Burned()
    assert await world.pay(charge) == NotSent(reason="burned")


async def test_a_burning_that_cannot_be_seen_is_asked_for_again(world: World) -> None:
    world.behave(faults=(Fault(kind="error_500_before_effect", at="order"),))
    charge = a_charge()
    assert await world.gateway.burn(the_reference(charge)) == Unreachable(reason="status 500")


async def test_an_order_that_takes_no_note_is_not_burned(world: World) -> None:
    looks = iter([True, False])
    charge = a_charge()
    await world.pay(charge, lambda: next(looks))
    world.meddle("PATCH", "", 500, {})
    assert await world.gateway.burn(the_reference(charge)) == Unreachable(reason="status 500")


async def test_an_order_of_our_own_burns_nothing_beside_one_that_is_paid(world: World) -> None:
    charge = a_charge()
    orders = [
        {"id": name, "amount": 129_900, "currency": "INR", "receipt": charge.attempt_id}
        for name in ("order_ours", "order_paid")
    ]
    payment = {"id": "pay_1", "amount": 129_900, "currency": "INR", "status": "captured"}
    world.meddle("GET", "/v1/orders", 200, {"items": orders})
    world.meddle("GET", "/order_ours/payments", 200, {"items": []})
    world.meddle("GET", "/order_paid/payments", 200, {"items": [payment]})
    assert await world.gateway.burn(the_reference(charge)) == InUse()


async def test_an_order_of_our_own_burns_nothing_until_others_can_be_seen(world: World) -> None:
    charge = a_charge()
    world.meddle("GET", "/v1/orders", 500, {})
    assert await world.gateway.burn(the_reference(charge)) == Unreachable(reason="status 500")
    world.stop_meddling()
    assert await world.gateway.burn(the_reference(charge)) == Burned()


async def found(world: World, charge: Charge) -> Found:
    looked_up: LookUp = await world.gateway.look_up(charge.attempt_id)
    assert isinstance(looked_up, Found)
    return looked_up


async def pay_behind_our_back(world: World, charge: Charge) -> None:
    """By somebody who has the order's id and asks nobody, as a sender that slept might."""
    order = world.simulator.razorpay.book.by_receipt("alpha", charge.attempt_id)
    assert order is not None
    body = {
        "amount": order.amount,
        "currency": order.currency,
        "order_id": order.id,
        "email": "a@example.com",
        "contact": "+919999999999",
        "method": "upi",
        "upi": {"flow": "intent"},
    }
    answer = await world.api.call("POST", "/payments/create/json", body, 2_000)
    assert getattr(answer, "status", None) == 200
