"""One product for all chaos tests: each leaves it running, as it found it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from infra.local.stack import Stack
from tests.product import Client, Product


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def product(stack: Stack) -> AsyncIterator[Product]:
    product = Product(stack, stack.folder / "chaos", apis=2)
    try:
        await product.start()
        yield product
    finally:
        await product.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def client(product: Product) -> AsyncIterator[Client]:
    client = Client(product)
    for gateway in ("razorpay", "stripe", "payu", "cashfree"):
        await client.set_profile(gateway, seed=7, success_rate=1.0, latency={"fixed_ms": 30})
    try:
        yield client
    finally:
        await client.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/chaos" in str(item.path):
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"))
