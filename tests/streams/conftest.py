"""What the workers' tests share: a world of the module's own, on real servers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from infra.local.stack import Stack


@pytest.fixture
def opened(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The module's `World`. Whatever a test did to Postgres, the next one finds it running."""
    yield request.module.World(stack)
    stack.postgres.resume()


@pytest.fixture
async def world(opened: Any) -> AsyncIterator[Any]:
    await opened.open()
    yield opened
    await opened.close()
