"""Fixtures that tests of several packages share."""

import asyncio
from collections.abc import Iterator

import pytest

from infra.local import LOCAL
from infra.local.ports import Ports
from infra.local.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Real servers with empty stores, started once; their logs stay in .local/test."""
    stack = Stack(LOCAL / "test", Ports.free())
    try:
        asyncio.run(stack.start(empty=True))
        yield stack
    finally:
        asyncio.run(stack.stop())
