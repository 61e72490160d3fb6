"""A world of three partitions, of one test's own."""

import pytest

from infra.local.stack import Stack
from tests.streams.replay.world import World


@pytest.fixture
async def world(stack: Stack) -> World:
    world = World(stack.env, partitions=3)
    await world.open()
    return world
