"""A simulator behind a real socket, in the process of the test."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from uvicorn.server import ServerState

from infra.gateways.simulator.app import BreakableProtocol, Simulator, server

FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Below the ephemeral ports, which any outgoing connection may be given at any moment."""


@asynccontextmanager
async def serving(simulator: Simulator) -> AsyncIterator[str]:
    """Yields the base URL. Uvicorn's protocol without its server, which sleeps 0.2 s a test on its way out."""
    config, state = server(simulator).config, ServerState()
    config.load()
    listener = listening_socket()
    listening = await asyncio.get_running_loop().create_server(
        lambda: BreakableProtocol(config, state, {}), sock=listener
    )
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listening.close()
        for connection in list(state.connections):
            connection.shutdown()
        await asyncio.gather(*state.tasks)
        await simulator.close()


def listening_socket() -> socket.socket:
    for port in range(FIRST_PORT, LAST_PORT):
        # By its protocol asyncio knows it for TCP; otherwise Nagle's algorithm would hold answers back for 40 ms.
        listener = socket.socket(proto=socket.IPPROTO_TCP)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
        else:
            return listener
    raise AssertionError(f"no free port between {FIRST_PORT} and {LAST_PORT}")
