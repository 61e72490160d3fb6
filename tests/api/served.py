"""The service over stand-ins, on a real socket: in this process for a test, or as one that can be told to stop.

`python -m tests.api.served SECONDS DRAIN_SECONDS` tells its port, and each payment takes SECONDS.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket

import uvloop

from api.server import Server
from infra.settings import Settings
from infra.telemetry import configure_logging
from schemas.rate_limit import RateLimit
from tests.api.stand_ins import World


def listening() -> tuple[socket, int]:
    """A socket that takes connections already, so that nobody has to wait for the server; and its port."""
    listener = socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port: int = listener.getsockname()[1]
    return listener, port


@asynccontextmanager
async def served(world: World) -> AsyncIterator[int]:
    listener, port = listening()
    server = Server(world.services(), "127.0.0.1", port, 5)
    running = asyncio.create_task(server.serve([listener]))
    yield port
    server.should_exit = True
    await running


async def _serve(takes_s: float, drain_s: float) -> None:
    world = World()
    world.handler.takes_s = takes_s
    world.client_limit = RateLimit(name="client", per_second=10_000, burst=1_000_000)
    listener, port = listening()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await Server(world.services(), "127.0.0.1", port, drain_s).serve([listener])
    sys.stdout.write(f"asked {len(world.handler.calls)} ended {world.handler.ended}\n")


if __name__ == "__main__":
    configure_logging(Settings())
    uvloop.run(_serve(float(sys.argv[1]), float(sys.argv[2])))
