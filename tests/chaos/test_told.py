"""What a gateway tells by itself and what a person says: over the log and the verifier to the answer."""

import asyncio
import hmac
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from infra.gateways.local import RAZORPAY_WEBHOOK_SECRET
from infra.gateways.simulator.defaults import RAZORPAY
from infra.gateways.simulator.profile import Webhooks
from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.kafka.reader import LogReader
from infra.local.stack import Stack
from infra.settings import DEFAULT_ADMIN_KEY, Settings
from schemas.codec import NOTIFICATIONS_TOPIC, decode
from schemas.envelope import Position
from schemas.ids import payment_of
from schemas.notification import GatewayNotified
from tests.product import Answer, Client, Product, plain, running

pytestmark = pytest.mark.chaos

PAYMENTS = 20
SETTLED_WITHIN_S = 120
GROUP = Settings().verifier_consumer_group


@pytest.fixture(scope="module")
def product(stack: Stack) -> Iterator[Product]:
    """With the gateways of a first run: Razorpay speaks its own wire, signs, and lets a customer pay by UPI intent.

    A UPI payment is first asked for after 90 s, so that only what is told settles one sooner. A wallet is asked for
    twice and then left to a person.
    """
    env = {"GATEWAYS_FILE": "", "SIMULATOR_PROFILES": "", "VERIFICATION_SCHEDULE_WALLET": "1,2"}
    product = Product(stack, stack.folder / "told", verifiers=1, env=env)
    with running(product):
        yield product


@pytest.fixture
async def client(product: Product) -> AsyncIterator[Client]:
    client = Client(product)
    yield client
    await client.close()


@pytest.fixture
async def reader(product: Product) -> AsyncIterator[LogReader]:
    reader = LogReader(product.env["KAFKA_BOOTSTRAP_SERVERS"])
    yield reader
    await reader.stop()


async def told_since(reader: LogReader, since: dict[int, int]) -> list[GatewayNotified]:
    messages = []
    for partition, end in (await reader.end_offsets(NOTIFICATIONS_TOPIC)).items():
        for record in await reader.read(NOTIFICATIONS_TOPIC, partition, since[partition], end):
            position = Position(topic=NOTIFICATIONS_TOPIC, partition=partition, offset=record.offset)
            message = decode(record.value, record.headers, position, record.timestamp).event
            assert isinstance(message, GatewayNotified)
            assert record.key == payment_of(message.attempt_id).encode()
            messages.append(message)
    return messages


async def becomes(client: Client, payment_id: str, status: str) -> Answer:
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while True:
            answer = await client.get(f"/payments/{payment_id}")
            if answer.body["status"] == status:
                return answer
            await asyncio.sleep(0.2)


async def test_payments_that_their_customers_complete_are_settled_by_what_the_gateway_tells(
    product: Product, client: Client, reader: LogReader
) -> None:
    since = await reader.end_offsets(NOTIFICATIONS_TOPIC)
    url = f"{product.api.url}/gateway-notifications/razorpay"
    webhooks = Webhooks(url=url, secrets=(RAZORPAY_WEBHOOK_SECRET,), doubled=1.0, reordered=0.5)
    await client.set_profile(**plain(replace(RAZORPAY, success_rate=1.0, webhooks=webhooks)))
    asked = await asyncio.gather(*(client.pay(f"key-{uuid.uuid4()}") for _ in range(PAYMENTS)))
    assert {(answer.status, answer.body["gateway"]) for answer in asked} == {(202, "razorpay")}

    await asyncio.gather(*(becomes(client, answer.payment_id, "SUCCESS") for answer in asked))
    for answer in asked:
        known = await client.get(f"/payments/{answer.payment_id}/status-verification")
        (attempt,) = known.body["attempts"]
        assert (attempt["status"], attempt["next_check_at"]) == ("SUCCEEDED", None)
        assert attempt["checks"], "it is settled by what was told, or by asking because something was told"

    captured = [one for one in await told_since(reader, since) if one.kind == "payment.captured"]
    assert {payment_of(one.attempt_id) for one in captured} >= {answer.payment_id for answer in asked}
    assert {(one.told, one.amount_minor, one.currency) for one in captured} == {("succeeded", 1000, "INR")}
    assert max(Counter(one.event_id for one in captured).values()) <= 2


async def test_how_far_the_verifier_has_taken_in_what_was_told_is_shown(client: Client) -> None:
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while True:
            lag = await client.get("/ops/lag")
            rows = [
                row
                for row in lag.body["partitions"]
                if (row["group"], row["topic"]) == (GROUP, NOTIFICATIONS_TOPIC)
            ]
            if {(row["lag"], row["status"]) for row in rows} == {(0, "OK")}:
                break
            await asyncio.sleep(0.5)
    assert len(rows) == PAYMENT_PARTITIONS


async def test_what_verification_cannot_tell_is_decided_by_a_person(product: Product, client: Client) -> None:
    await client.set_profile(
        **plain(replace(RAZORPAY, success_rate=1.0, pending_rate=1.0, pending_resolves_ms=None))
    )
    wallet: dict[str, Any] = {"payment_method": "WALLET", "instrument": {"type": "WALLET", "wallet": "paytm"}}
    asked = await client.pay(f"key-{uuid.uuid4()}", **wallet)
    assert asked.status == 202
    await becomes(client, asked.payment_id, "NEEDS_REVIEW")

    page = await client.get("/reviews", X_Internal_Api_Key=DEFAULT_ADMIN_KEY)
    review = next(one for one in page.body["reviews"] if one["payment"]["payment_id"] == asked.payment_id)
    (waiting,) = review["unsettled"]
    settled = await settle(product, asked.payment_id, attempt_id=waiting["attempt_id"])
    assert (settled.status, settled.body["status"]) == (200, "SUCCESS")

    events = await client.get(f"/payments/{asked.payment_id}/events")
    (decided,) = (one["event"] for one in events.body["events"] if one["event"]["type"] == "ReviewSettled")
    assert (decided["settled_by"], decided["note"]) == ("asha", "seen in the gateway's statement")
    again = await settle(product, asked.payment_id, attempt_id=waiting["attempt_id"])
    assert (again.status, again.body["type"]) == (409, "/problems/not-in-review")


async def test_a_gateway_is_told_to_come_again_while_the_log_does_not_answer(
    product: Product, client: Client
) -> None:
    await client.set_profile(**plain(replace(RAZORPAY, pending_resolves_ms=None, pending_rate=1.0)))
    asked = await client.pay(f"key-{uuid.uuid4()}")
    attempts = await client.get(f"/payments/{asked.payment_id}/attempts")
    body = captured(attempts.body["attempts"][0]["attempt_id"])
    product.stack.kafka.pause()
    try:
        refused = await tell(product, body)
    finally:
        product.stack.kafka.resume()
    assert (refused.status, refused.body["type"]) == (503, "/problems/log-unavailable")
    assert int(refused.headers["Retry-After"]) >= 1

    async with asyncio.timeout(SETTLED_WITHIN_S):
        while True:
            if (await tell(product, body)).status == 200:
                break
            await asyncio.sleep(0.2)
    assert (await tell(product, body)).body == {"status": "accepted"}
    await becomes(client, asked.payment_id, "SUCCESS")


def captured(attempt_id: str) -> bytes:
    """As Razorpay tells that the attempt took the money."""
    payment = {
        "id": "pay_1",
        "amount": 1000,
        "currency": "INR",
        "status": "captured",
        "notes": {"attempt_id": attempt_id},
    }
    return msgspec.json.encode({"event": "payment.captured", "payload": {"payment": {"entity": payment}}})


async def tell(product: Product, body: bytes) -> Answer:
    url = f"{product.api.url}/gateway-notifications/razorpay"
    headers = {"X-Razorpay-Signature": hmac.digest(RAZORPAY_WEBHOOK_SECRET.encode(), body, "sha256").hex()}
    async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as told:
        return Answer(told.status, await told.json(content_type=None), told.headers)


async def settle(product: Product, payment_id: str, **body: Any) -> Answer:
    url = f"{product.api.url}/reviews/{payment_id}/settle"
    decision = {
        "verdict": "succeeded",
        "gateway_reference": "pay_of_the_statement",
        "note": "seen in the gateway's statement",
        "settled_by": "asha",
    }
    headers = {"X-Internal-Api-Key": DEFAULT_ADMIN_KEY, "Prefer": "wait=10"}
    async with aiohttp.ClientSession() as http, http.post(url, json=decision | body, headers=headers) as told:
        return Answer(told.status, await told.json(content_type=None), told.headers)


@pytest.mark.safety
async def test_what_the_gateway_did_not_sign_reaches_nobody(product: Product, reader: LogReader) -> None:
    before = await reader.end_offsets(NOTIFICATIONS_TOPIC)
    url, headers = f"{product.api.url}/gateway-notifications/razorpay", {"X-Razorpay-Signature": "ab" * 32}
    async with aiohttp.ClientSession() as http, http.post(url, data=b"{}", headers=headers) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["type"]) == (401, "/problems/bad-signature")
    assert await reader.end_offsets(NOTIFICATIONS_TOPIC) == before
