"""A gateway's webhooks, doubled and out of order, on their way through the product to the verifier's topic."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from msgspec.structs import replace

from infra.gateways.local import RAZORPAY_WEBHOOK_SECRET
from infra.gateways.simulator.defaults import RAZORPAY
from infra.gateways.simulator.profile import Webhooks
from infra.kafka.reader import LogReader
from infra.local.stack import Stack
from schemas.codec import NOTIFICATIONS_TOPIC, decode
from schemas.envelope import Position
from schemas.ids import payment_of
from schemas.notification import GatewayNotified
from tests.product import Client, Product, plain

pytestmark = pytest.mark.chaos

PAYMENTS = 20
ARRIVE_WITHIN_S = 20


@pytest.fixture(scope="module")
def product(stack: Stack) -> Iterator[Product]:
    """With the gateways of a first run: Razorpay speaks its own wire, signs, and lets a customer pay by UPI intent."""
    usual = {"GATEWAYS_FILE": "", "SIMULATOR_PROFILES": ""}
    product = Product(stack, stack.folder / "notifications", env=usual)
    try:
        asyncio.run(product.start())
        yield product
    finally:
        asyncio.run(product.stop())


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


async def notified(reader: LogReader, since: dict[int, int]) -> list[GatewayNotified]:
    messages = []
    for partition, end in (await reader.end_offsets(NOTIFICATIONS_TOPIC)).items():
        for record in await reader.read(NOTIFICATIONS_TOPIC, partition, since[partition], end):
            position = Position(topic=NOTIFICATIONS_TOPIC, partition=partition, offset=record.offset)
            message = decode(record.value, record.headers, position, record.timestamp).event
            assert isinstance(message, GatewayNotified)
            assert record.key == payment_of(message.attempt_id).encode()
            messages.append(message)
    return messages


async def test_every_charge_that_the_gateway_tells_of_reaches_the_verifiers_topic(
    product: Product, client: Client, reader: LogReader
) -> None:
    since = await reader.end_offsets(NOTIFICATIONS_TOPIC)
    url = f"{product.api.url}/gateway-notifications/razorpay"
    webhooks = Webhooks(url=url, secrets=(RAZORPAY_WEBHOOK_SECRET,), doubled=1.0, reordered=0.5)
    await client.set_profile(**plain(replace(RAZORPAY, success_rate=1.0, webhooks=webhooks)))
    asked = await asyncio.gather(*(client.pay(f"key-{uuid.uuid4()}") for _ in range(PAYMENTS)))
    assert {(answer.status, answer.body["gateway"]) for answer in asked} == {(202, "razorpay")}
    expected = {answer.payment_id for answer in asked}

    async with asyncio.timeout(ARRIVE_WITHIN_S):
        while True:
            messages = [one for one in await notified(reader, since) if one.kind == "payment.captured"]
            if {payment_of(one.attempt_id) for one in messages} >= expected:
                break
            await asyncio.sleep(0.2)
    assert {(one.told, one.amount_minor, one.currency) for one in messages} == {("succeeded", 1000, "INR")}
    assert max(Counter(one.event_id for one in messages).values()) <= 2


async def test_what_the_gateway_did_not_sign_reaches_nobody(product: Product, reader: LogReader) -> None:
    before = await reader.end_offsets(NOTIFICATIONS_TOPIC)
    url = f"{product.api.url}/gateway-notifications/razorpay"
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=b"{}", headers={"X-Razorpay-Signature": "ab" * 32}) as response,
    ):
        assert (response.status, (await response.json(content_type=None))["type"]) == (
            401,
            "/problems/bad-signature",
        )
    assert await reader.end_offsets(NOTIFICATIONS_TOPIC) == before
