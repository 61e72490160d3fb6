"""The service over stand-ins, on a real socket: in this process for a test, or as one that can be told to stop.

`python -m tests.api.served DRAIN_SECONDS` tells its port. With a second word, `held`, it also tells of every payment
that comes, and none ends before a line is written to the process.
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
from tests.api.stand_ins import ScriptedHandler, World


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


async def _serve(drain_s: float, held: bool) -> None:
    world = World()
    world.client_limit = RateLimit(name="client", per_second=10_000, burst=1_000_000)
    listener, port = listening()
    _say(str(port))
    telling = asyncio.create_task(_hold(world.handler)) if held else None
    await Server(world.services(), "127.0.0.1", port, drain_s).serve([listener])
    if telling is not None:
        telling.cancel()
    sys.stdout.write(f"asked {len(world.handler.calls)} ended {world.handler.ended}\n")


async def _hold(handler: ScriptedHandler) -> None:
    handler.may_end.clear()
    asyncio.get_running_loop().add_reader(sys.stdin, handler.may_end.set)
    told = 0
    while True:
        await handler.called.wait()
        handler.called.clear()
        while told < len(handler.calls):
            told += 1
            _say(f"payment {told}")


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    configure_logging(Settings())
    uvloop.run(_serve(float(sys.argv[1]), sys.argv[2:] == ["held"]))
