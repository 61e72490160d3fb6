"""Fixtures that tests of several packages share."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from infra.local.stack import Stack
from tests.product import own_servers

# A machine that stands still for a moment has not found a counterexample.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Started once, for all."""
    with own_servers("test") as stack:
        yield stack
