"""Circuits of the whole product: payments open them, operators force them, and every API process obeys in time."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import pytest

from infra.local.stack import Stack
from tests.product import Client, Product, running
from tests.waiting import is_once_within

pytestmark = pytest.mark.chaos

IN_FORCE_WITHIN_S = 0.5


@pytest.fixture(scope="module")
def product(stack: Stack) -> Iterator[Product]:
    product = Product(stack, stack.folder / "circuits", apis=2, circuit_writers=1)
    with running(product):
        yield product
        stack.redis.resume()


@pytest.fixture
async def client(product: Product) -> AsyncIterator[Client]:
    client = Client(product)
    for gateway in ("razorpay", "stripe", "payu", "cashfree"):
        await client.set_profile(gateway, seed=7, success_rate=1.0, latency={"fixed_ms": 5})
    yield client
    await client.close()


async def shown(client: Client, gateway: str, method: str, api: int) -> dict[str, Any]:
    answer = await client.get(f"/circuit-breaker/status?gateway={gateway}&method={method}", api=api)
    (circuit,) = answer.body["circuits"]
    return dict(circuit)


async def becomes(client: Client, gateway: str, method: str, status: str, api: int) -> None:
    async with asyncio.timeout(60):
        while True:
            if (await shown(client, gateway, method, api))["status"] == status:
                return
            await asyncio.sleep(0.01)


async def test_a_force_is_obeyed_here_before_its_answer_and_everywhere_within_half_a_second(
    product: Product, client: Client
) -> None:
    """Also without Redis, and by whatever process it is told to."""
    if product.stack.redis in product.stack.servers:
        product.stack.redis.pause()
    turns = count()
    status, other = "", 1

    async def forced() -> None:
        nonlocal status, other
        turn = next(turns)
        order, status = (("force-open", "FORCED_OPEN"), ("force-close", "FORCED_CLOSED"))[turn % 2]
        answer = await client.order(f"/circuit-breaker/{order}/payu/CARD", api=turn % 2)
        assert (answer.status, answer.body["status"]) == (200, status)
        assert (await shown(client, "payu", "CARD", turn % 2))["status"] == status
        other = 1 - turn % 2

    async def is_in_force() -> None:
        await becomes(client, "payu", "CARD", status, other)

    try:
        for _ in range(2):
            await is_once_within(IN_FORCE_WITHIN_S, is_in_force, before=forced)
    finally:
        product.stack.redis.resume()
    assert (await client.order("/circuit-breaker/release/payu/CARD")).body["status"] == "CLOSED"


async def test_a_gateway_that_breaks_is_avoided_and_comes_back_by_its_probes(client: Client) -> None:
    await client.set_profile(
        "razorpay",
        seed=7,
        success_rate=1.0,
        faults=[{"kind": "error_500_before_effect"}],
        latency={"fixed_ms": 5},
    )
    for _ in range(15):
        await client.pay(f"key-{uuid.uuid4()}")
    for api in (0, 1):
        await becomes(client, "razorpay", "UPI", "OPEN", api)
    circuit = await shown(client, "razorpay", "UPI", 0)
    assert (circuit["reason"], circuit["opening"]) == ("fast", 1)
    assert {(await client.pay(f"key-{uuid.uuid4()}", api=n % 2)).status for n in range(10)} == {201}

    await client.set_profile("razorpay", seed=7, success_rate=1.0, latency={"fixed_ms": 5})
    await becomes(client, "razorpay", "UPI", "HALF_OPEN", 0)
    for number in range(8):
        assert (await client.pay(f"key-{uuid.uuid4()}", api=number % 2)).status == 201
    for api in (0, 1):
        await becomes(client, "razorpay", "UPI", "CLOSED", api)


async def test_while_its_writer_is_away_an_order_is_recorded_and_takes_effect_when_it_is_back(
    product: Product, client: Client
) -> None:
    (writer,) = product.circuit_writers
    await writer.stop()
    answer = await client.order("/circuit-breaker/force-open/stripe/CARD")
    assert (answer.status, answer.body["type"]) == (503, "/problems/circuit-not-confirmed")
    assert "Retry-After" in answer.headers
    await writer.start()
    for api in (0, 1):
        await becomes(client, "stripe", "CARD", "FORCED_OPEN", api)
    await writer.wait_ready()
    assert (await client.order("/circuit-breaker/release/stripe/CARD")).body["status"] == "CLOSED"


async def test_the_lag_shows_what_the_writers_have_before_them(client: Client) -> None:
    rows = [one for one in (await client.get("/ops/lag")).body["partitions"] if one["group"] == "circuits-v1"]
    topics = {one["topic"] for one in rows}
    assert topics == {"payments.events.v1", "circuits.outcomes.v1"}
    assert {one["status"] for one in rows} <= {"OK", "LAGGING"}
