"""One product for all chaos tests: each leaves it running, as it found it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from infra.local.child import last_lines
from infra.local.stack import Stack
from streams.consumption import Stalled
from tests.product import Client, Product, running


@pytest.fixture(scope="session")
def product(stack: Stack) -> Iterator[Product]:
    product = Product(stack, stack.folder / "chaos", apis=2)
    with running(product):
        yield product


@pytest.fixture
async def client(product: Product) -> AsyncIterator[Client]:
    await revive(product)
    client = Client(product)
    for gateway in ("razorpay", "stripe", "payu", "cashfree"):
        await client.set_profile(gateway, seed=7, success_rate=1.0, latency={"fixed_ms": 30})
    try:
        yield client
    finally:
        await client.close()


async def revive(product: Product) -> None:
    """As a supervisor would: a worker that its group has lost ends for that."""
    for service in product.services:
        if not service.running:
            said = last_lines(service.log)
            await service.start()
            await service.wait_ready()
            assert Stalled.__name__ in said, f"{service.name} had ended\n{said}"
