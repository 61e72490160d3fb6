"""One client at two processes has one limit."""

from collections.abc import AsyncIterator

import pytest

from infra.local.stack import Stack
from infra.redis.connection import connect
from tests.bench.limits import ENVIRONMENT, TARGET_ERROR, count
from tests.product import Product

pytestmark = pytest.mark.chaos


@pytest.fixture
async def product(stack: Stack) -> AsyncIterator[Product]:
    product = Product(stack, stack.folder / "limits", apis=2, env=ENVIRONMENT)
    try:
        await product.start()
        yield product
    finally:
        await product.stop()


async def test_ten_thousand_requests_at_two_processes_get_what_the_limit_comes_to(
    stack: Stack, product: Product
) -> None:
    redis = connect(stack.env["REDIS_URL"])
    counted = await count(redis, [api.url for api in product.apis], "203.0.113.9", 10_000)
    await redis.aclose()
    assert counted.let_through + counted.refused == counted.requests == 10_000
    assert counted.refused > 5_000
    assert abs(counted.error) <= TARGET_ERROR, counted
