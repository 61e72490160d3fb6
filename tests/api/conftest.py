"""The application over its surroundings in memory."""

import pytest

from api.app import create_app
from tests.api.client import Client
from tests.api.stand_ins import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return Client(create_app(world.services()))
