import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.defaults import DEFAULT_PROFILES
from tests.infra.gateways.serving import serving

pytestmark = pytest.mark.time_jumps

RECEIPT = "att_01jd0000000000000000000000_1_1"
INSTANT = {"wire": "razorpay", "latency": {"fixed_ms": 0}, "success_rate": 1}
CARD = {"method": "card", "token": "token_4Xyz"}
UPI = {"method": "upi", "upi": {"flow": "intent"}}


class Client:
    """Speaks to one simulator as a caller of Razorpay's would."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def behave(self, **profile: Any) -> None:
        status, body = await self.ask("PUT", "/control/gateways/alpha", INSTANT | profile)
        assert status == 200, body

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, path, json=body, headers=names) as response:
            return response.status, await response.json()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return await self.ask(method, f"/alpha/v1{path}", body, **headers)

    async def order(self, receipt: str = RECEIPT, **body: Any) -> tuple[int, Any]:
        return await self.call(
            "POST", "/orders", {"amount": 1000, "currency": "INR", "receipt": receipt} | body
        )

    async def pay(self, order_id: str, how: dict[str, Any] = CARD, **body: Any) -> tuple[int, Any]:
        customer = {"email": "a@example.com", "contact": "+919999999999"}
        payment = {"amount": 1000, "currency": "INR", "order_id": order_id}
        return await self.call("POST", "/payments/create/json", payment | customer | how | body)

    async def paid(self, how: dict[str, Any] = CARD, receipt: str = RECEIPT) -> tuple[str, str]:
        """The ids of an order and of a payment on it."""
        _, order = await self.order(receipt)
        status, payment = await self.pay(order["id"], how)
        return order["id"], payment["razorpay_payment_id"] if status == 200 else ""

    async def payments(self, order_id: str) -> list[str]:
        _, payments = await self.call("GET", f"/orders/{order_id}/payments")
        return [payment["status"] for payment in payments["items"]]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with serving(Simulator(DEFAULT_PROFILES)) as url, aiohttp.ClientSession(url) as http:
        client = Client(http)
        await client.behave()
        yield client


def reason(problem: Any) -> str:
    return str(problem["error"]["reason"])


async def test_an_order_has_one_receipt_and_is_found_by_it(client: Client) -> None:
    status, order = await client.order(notes={"attempt_id": RECEIPT})
    assert (status, order["status"], order["receipt"]) == (200, "created", RECEIPT)
    assert (await client.order())[0] == 400
    _, found = await client.call("GET", f"/orders?receipt={RECEIPT}")
    assert (found["count"], found["items"]) == (1, [order])
    assert (await client.call("GET", "/orders?receipt=other"))[1]["count"] == 0


async def test_notes_are_a_list_when_there_are_none_and_can_be_changed(client: Client) -> None:
    _, order = await client.order()
    assert order["notes"] == []
    _, changed = await client.call("PATCH", f"/orders/{order['id']}", {"notes": {"burned": "true"}})
    assert changed == order | {"notes": {"burned": "true"}}


async def test_a_card_is_charged_at_once_and_upi_waits_for_the_customer(client: Client) -> None:
    await client.behave(pending_resolves_ms=100)
    card, _ = await client.paid(CARD, "card")
    upi, _ = await client.paid(UPI, "upi")
    assert (await client.payments(card), await client.payments(upi)) == (["captured"], ["created"])
    await asyncio.sleep(0.15)
    assert await client.payments(upi) == ["captured"]
    _, orders = await client.call("GET", "/orders?receipt=upi")
    assert (orders["items"][0]["status"], orders["items"][0]["amount_due"]) == ("paid", 0)


async def test_a_decline_names_its_payment(client: Client) -> None:
    await client.behave(success_rate=0)
    _, order = await client.order()
    status, problem = await client.pay(order["id"])
    assert (status, reason(problem)) == (400, "payment_failed")
    payment_id = problem["error"]["metadata"]["payment_id"]
    _, payment = await client.call("GET", f"/payments/{payment_id}")
    assert (payment["status"], payment["error_reason"]) == ("failed", "payment_failed")


async def test_an_order_takes_payments_until_one_of_them_has_paid(client: Client) -> None:
    await client.behave(pending_resolves_ms=100)
    _, order = await client.order()
    for _ in range(2):
        assert (await client.pay(order["id"], UPI))[0] == 200
    await asyncio.sleep(0.15)
    status, problem = await client.pay(order["id"], UPI)
    assert (status, reason(problem)) == (400, "order_already_paid")
    assert await client.payments(order["id"]) == ["captured", "captured"]
    _, summary = await client.ask("GET", "/control/ledger/summary")
    (twice,) = summary["charged_more_than_once"]
    assert len({charge["id"] for charge in twice["charges"]}) == 2


async def test_what_was_authorised_late_is_captured_once(client: Client) -> None:
    await client.behave(
        success_rate=0, late_capture_rate=1, late_capture_after_ms=0, late_status="authorized"
    )
    _, order = await client.order()
    _, problem = await client.pay(order["id"])
    payment_id = problem["error"]["metadata"]["payment_id"]
    assert await client.payments(order["id"]) == ["authorized"]
    wrong, right = ({"amount": amount, "currency": "INR"} for amount in (999, 1000))
    assert (await client.call("POST", f"/payments/{payment_id}/capture", wrong))[0] == 400
    assert (await client.call("POST", f"/payments/{payment_id}/capture", right))[1]["status"] == "captured"
    assert (await client.call("POST", f"/payments/{payment_id}/capture", right))[0] == 400


async def test_a_refund_is_made_once_for_its_key(client: Client) -> None:
    order_id, payment_id = await client.paid()
    path, once = f"/payments/{payment_id}/refund", {"X_Refund_Idempotency": "once-and-again"}
    first = await client.call("POST", path, {}, **once)
    assert (first[0], first[1]["status"]) == (200, "processed")
    assert await client.call("POST", path, {}, **once) == first
    assert (await client.call("POST", path, {"amount": 1}, **once))[0] == 400
    assert (await client.call("POST", path, {}))[0] == 400
    assert await client.payments(order_id) == ["refunded"]


async def test_only_who_has_the_key_is_served(client: Client) -> None:
    await client.behave(credentials="key:secret")
    assert (await client.order())[0] == 401
    basic = "Basic " + b64encode(b"key:secret").decode()
    assert (await client.call("GET", "/orders?receipt=r", Authorization=basic))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        {"amount": 999},
        {"currency": "USD"},
        {"method": "cash"},
        {"token": None},
        {"email": None},
        UPI | {"upi": None},
    ],
)
async def test_a_payment_that_does_not_fit_its_order_is_refused(client: Client, body: dict[str, Any]) -> None:
    _, order = await client.order()
    status, problem = await client.pay(order["id"], **body)
    assert (status, reason(problem)) == (400, "input_validation_failed")
    assert await client.payments(order["id"]) == []


async def test_what_is_not_there_is_not_found(client: Client) -> None:
    assert reason((await client.pay("order_none"))[1]) == "invalid_order_id"
    assert reason((await client.call("GET", "/payments/pay_none"))[1]) == "invalid_payment_id"
    assert (await client.call("GET", "/nothing"))[0] == 404
    assert (await client.call("GET", "/orders"))[0] == 400


async def test_a_gateway_refuses_more_payments_than_it_can_work_on(client: Client) -> None:
    await client.behave(capacity=2, latency={"fixed_ms": 100})
    orders = [(await client.order(f"r{number}"))[1]["id"] for number in range(5)]
    statuses = [status for status, _ in await asyncio.gather(*(client.pay(order) for order in orders))]
    assert sorted(statuses) == [200] * 2 + [429] * 3


async def test_orders_are_cleared_with_the_ledger(client: Client) -> None:
    await client.paid()
    await client.ask("DELETE", "/control/ledger")
    assert (await client.call("GET", f"/orders?receipt={RECEIPT}"))[1]["count"] == 0
    assert (await client.order())[0] == 200


async def test_the_simulators_own_wire_knows_no_authorisation(client: Client) -> None:
    assert (await client.ask("PUT", "/control/gateways/beta", {"late_status": "authorized"}))[0] == 400
