"""Fixtures that tests of several packages share."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import HealthCheck, settings

from infra.local.ports import keep_to_share
from infra.local.stack import Stack
from tests.jumping import JumpingLoop
from tests.product import own_servers

# A machine that stands still for a moment has not found a counterexample.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


# A shell that starts the tests in the background has Ctrl-C ignored, and so would be whatever a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Of processes that test side by side each has servers of its own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER:
    keep_to_share(int(WORKER.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Started once, for all tests of this process."""
    with own_servers(f"test-{WORKER}" if WORKER else "test") as stack:
        yield stack


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A single one, so that no test has a second name."""
    jumps = item.get_closest_marker("time_jumps") is not None
    return {"loop": JumpingLoop if jumps else asyncio.new_event_loop}
