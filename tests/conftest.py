"""Fixtures that tests of several packages share."""

from collections.abc import Iterator

import pytest

from infra.local.stack import Stack
from tests.product import own_servers


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Started once, for all."""
    with own_servers("test") as stack:
        yield stack
