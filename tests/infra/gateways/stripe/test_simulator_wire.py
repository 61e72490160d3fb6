"""The simulator as its callers see it on Stripe's wire: keys, errors and webhooks as Stripe has them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from infra.clock import SystemClock
from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.profile import Latency, Profile, Webhooks, WeightedDecline
from infra.gateways.stripe.notifications import StripeNotifications
from schemas.ids import GatewayId
from schemas.notification import GatewayNotified
from tests.infra.gateways.serving import listening_socket, serving
from tests.infra.gateways.stripe.intents import ATTEMPT

pytestmark = pytest.mark.time_jumps

KEY = "sk_test_of_this_test"
SECRET = "whsec_of_this_test"
CARD = {"payment_method_types[0]": "card", "payment_method": "pm_card_visa"}
UPI = {
    "payment_method_types[0]": "upi",
    "payment_method_data[type]": "upi",
    "return_url": "https://a.example",
}
CHARGE = {
    "amount": "1000",
    "currency": "inr",
    "confirm": "true",
    "capture_method": "automatic",
    "metadata[attempt_id]": ATTEMPT,
}
NO_FUNDS = WeightedDecline(code="BAD_REQUEST_ERROR", source="customer", reason="insufficient_funds")

Answer = tuple[int, dict[str, Any]]


class Caller:
    def __init__(self, simulator: Simulator, http: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.http = http
        self.stripe_behaves()

    def stripe_behaves(self, **other: Any) -> None:
        profile: dict[str, Any] = {
            "gateway": "stripe",
            "wire": "stripe",
            "credentials": KEY,
            "success_rate": 1.0,
            "latency": Latency(fixed_ms=0),
            "declines": (NO_FUNDS,),
        }
        self.simulator.profiles["stripe"] = Profile(**(profile | other))

    async def post(self, path: str, fields: Mapping[str, str], key: str | None = None) -> Answer:
        headers = {"authorization": f"Bearer {KEY}"} | ({} if key is None else {"idempotency-key": key})
        async with self.http.post(f"/stripe/v1/{path}", data=fields, headers=headers) as response:
            return response.status, await response.json()

    async def get(self, path: str, key: str = KEY, **query: str) -> Answer:
        headers = {"authorization": f"Bearer {key}"}
        async with self.http.get(f"/stripe/v1/{path}", params=query, headers=headers) as response:
            return response.status, await response.json()

    async def charge(self, method: dict[str, str] = CARD, /, **other: str) -> Answer:
        return await self.post("payment_intents", CHARGE | method | other, key=ATTEMPT)

    async def search(self, reference: str = ATTEMPT) -> list[dict[str, Any]]:
        _, page = await self.get("payment_intents/search", query=f"metadata['attempt_id']:'{reference}'")
        data: list[dict[str, Any]] = page["data"]
        return data


@pytest_asyncio.fixture
async def caller() -> AsyncIterator[Caller]:
    simulator = Simulator([])
    async with serving(simulator) as url, aiohttp.ClientSession(url) as http:
        yield Caller(simulator, http)


def error(answer: Answer) -> tuple[int, str, str | None]:
    status, body = answer
    return status, body["error"]["type"], body["error"]["code"]


# Keys


async def test_a_key_gives_its_first_answer_again_whatever_happened_since(caller: Caller) -> None:
    caller.stripe_behaves(pending_rate=1.0, pending_resolves_ms=0)
    first = await caller.charge()
    assert first[1]["status"] == "requires_action"
    assert (await caller.search())[0]["status"] == "succeeded"
    caller.stripe_behaves(success_rate=0.0, seed=2)
    assert await caller.charge() == first


async def test_a_decline_is_given_again_too(caller: Caller) -> None:
    caller.stripe_behaves(success_rate=0.0)
    first = await caller.charge()
    caller.stripe_behaves()
    assert await caller.charge() == first
    assert error(first) == (402, "card_error", "card_declined")
    assert first[1]["error"]["decline_code"] == "insufficient_funds"
    assert first[1]["error"]["payment_intent"]["status"] == "requires_payment_method"


async def test_a_key_stands_for_one_request(caller: Caller) -> None:
    await caller.charge()
    assert error(await caller.charge(amount="1001")) == (400, "idempotency_error", None)


async def test_a_key_is_taken_by_one_request_at_a_time(caller: Caller) -> None:
    caller.stripe_behaves(latency=Latency(fixed_ms=100))
    answers = await asyncio.gather(*(caller.charge() for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]
    in_use = next(answer for answer in answers if answer[0] == 409)
    assert error(in_use) == (409, "idempotency_error", "idempotency_key_in_use")


async def test_a_key_that_was_burned_charges_nobody(caller: Caller) -> None:
    burn = {"amount": "1000", "currency": "inr", "metadata[burned]": ATTEMPT}
    status, intent = await caller.post("payment_intents", burn, key=ATTEMPT)
    assert (status, intent["status"]) == (200, "requires_payment_method")
    assert error(await caller.charge()) == (400, "idempotency_error", None)
    assert await caller.search() == []


async def test_a_refund_is_made_once_under_its_key_and_never_twice(caller: Caller) -> None:
    _, intent = await caller.charge()
    fields = {"payment_intent": intent["id"]}
    first = await caller.post("refunds", fields, key="refund-1")
    assert first[1]["status"] == "succeeded"
    assert await caller.post("refunds", fields, key="refund-1") == first
    again = await caller.post("refunds", fields, key="refund-2")
    assert error(again) == (400, "invalid_request_error", "charge_already_refunded")


# Intents


async def test_an_intent_is_retrieved_with_its_charge_when_it_is_asked_for(caller: Caller) -> None:
    _, intent = await caller.charge()
    path = f"payment_intents/{intent['id']}"
    _, plain = await caller.get(path)
    _, expanded = await caller.get(path, **{"expand[0]": "latest_charge"})
    assert plain["latest_charge"] == expanded["latest_charge"]["id"]
    assert expanded["latest_charge"]["refunded"] is False


async def test_only_what_is_not_paid_can_be_cancelled(caller: Caller) -> None:
    _, pending = await caller.charge(UPI)
    path = f"payment_intents/{pending['id']}/cancel"
    assert (await caller.post(path, {}))[1]["status"] == "canceled"
    again = await caller.post(path, {})
    assert error(again) == (400, "invalid_request_error", "payment_intent_unexpected_state")
    assert again[1]["error"]["payment_intent"]["status"] == "canceled"


async def test_what_is_no_hold_cannot_be_captured(caller: Caller) -> None:
    _, intent = await caller.charge()
    answer = await caller.post(f"payment_intents/{intent['id']}/capture", {}, key="capture-1")
    assert error(answer) == (400, "invalid_request_error", "payment_intent_unexpected_state")


async def test_what_was_cleared_away_is_not_there(caller: Caller) -> None:
    _, intent = await caller.charge()
    async with caller.http.delete("/control/ledger"):
        pass
    assert error(await caller.get(f"payment_intents/{intent['id']}")) == (
        404,
        "invalid_request_error",
        "resource_missing",
    )
    assert (await caller.charge())[0] == 200


# Refusals


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": "0"},
        {"amount": "ten"},
        {"currency": "INR"},
        {"vpa": "somebody"},
        {"payment_method_types[0]": "upi"},
        {"metadata[attempt_id]": "att_another"},
        {"capture_method": "manual"},
    ],
)
async def test_what_is_no_charge_of_ours_is_refused(caller: Caller, fields: dict[str, str]) -> None:
    status, type_, _ = error(await caller.charge(**fields))
    assert (status, type_) == (400, "invalid_request_error")


async def test_a_charge_without_a_key_is_refused(caller: Caller) -> None:
    assert (await caller.post("payment_intents", CHARGE | CARD))[0] == 400


async def test_a_caller_without_the_secret_key_is_refused(caller: Caller) -> None:
    refused = await caller.get("payment_intents/pi_1", key="sk_test_guess")
    assert error(refused) == (401, "invalid_request_error", None)


@pytest.mark.parametrize("path", ["payment_intents/pi_1", "customers", "payment_intents/search"])
async def test_what_is_not_there_is_refused_in_stripes_words(caller: Caller, path: str) -> None:
    status, type_, _ = error(await caller.get(path))
    assert status in (400, 404)
    assert type_ == "invalid_request_error"


async def test_more_charges_than_it_can_take_are_refused_as_by_a_rate_limit(caller: Caller) -> None:
    caller.stripe_behaves(capacity=0)
    assert error(await caller.charge()) == (429, "invalid_request_error", "rate_limit")


# Webhooks


class Listener:
    """Reads what it is sent with the reader that production uses."""

    def __init__(self) -> None:
        self.url = ""
        self.notified: asyncio.Queue[GatewayNotified] = asyncio.Queue()
        self._reader = StripeNotifications(GatewayId("stripe"), [SECRET])

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        notified = self._reader.read(headers, await request.read(), SystemClock().now())
        assert isinstance(notified, GatewayNotified)
        self.notified.put_nowait(notified)
        return web.Response()

    async def next(self, kind: str) -> GatewayNotified:
        async with asyncio.timeout(5):
            while True:
                notified = await self.notified.get()
                if notified.kind == kind:
                    return notified


@pytest_asyncio.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    app = web.Application()
    app.router.add_post("/webhooks", listener.take)
    runner = web.AppRunner(app)
    await runner.setup()
    listening = listening_socket()
    await web.SockSite(runner, listening).start()
    listener.url = f"http://127.0.0.1:{listening.getsockname()[1]}/webhooks"
    yield listener
    await runner.cleanup()


async def test_what_became_of_a_charge_is_told_in_a_signed_webhook(
    caller: Caller, listener: Listener
) -> None:
    webhooks = Webhooks(url=listener.url, secrets=(SECRET,))
    caller.stripe_behaves(webhooks=webhooks)
    _, intent = await caller.charge()
    succeeded = await listener.next("payment_intent.succeeded")
    assert (succeeded.told, succeeded.attempt_id, succeeded.amount_minor) == ("succeeded", ATTEMPT, 1000)

    await caller.post("refunds", {"payment_intent": intent["id"]}, key="refund-1")
    assert (await listener.next("charge.refunded")).told == "look"


async def test_a_customer_who_does_not_pay_is_told_of_too(caller: Caller, listener: Listener) -> None:
    webhooks = Webhooks(url=listener.url, secrets=(SECRET,))
    caller.stripe_behaves(webhooks=webhooks, success_rate=0.0, pending_resolves_ms=50)
    await caller.charge(UPI)
    failed = await listener.next("payment_intent.payment_failed")
    assert failed.decline is not None
    assert (failed.told, failed.decline.code) == ("declined", "insufficient_funds")


async def test_a_hold_is_told_of_as_a_reason_to_look(caller: Caller, listener: Listener) -> None:
    webhooks = Webhooks(url=listener.url, secrets=(SECRET,))
    late = {"late_capture_rate": 1.0, "late_capture_after_ms": 0, "late_status": "authorized"}
    caller.stripe_behaves(webhooks=webhooks, success_rate=0.0, **late)
    await caller.charge()
    assert (await listener.next("payment_intent.amount_capturable_updated")).told == "look"
