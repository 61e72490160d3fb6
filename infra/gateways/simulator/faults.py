"""The ways a gateway answers badly, or not at all. Each ends when the client leaves, or within a minute."""

import asyncio
import socket
import struct

from infra.gateways.simulator.wire import Receive, Scope, Send, start_answer

LONGEST_SILENCE_S = 60.0
DRIP_INTERVAL_S = 1.0
TRANSPORT = "simulator.transport"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER switched on with zero seconds: closing sends a TCP reset instead of an orderly end."""


async def reset(scope: Scope, receive: Receive) -> None:
    """Drops the connection with a TCP reset, without a word."""
    transport = scope["extensions"][TRANSPORT]
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()
    await client_gone(receive)


async def stay_silent(scope: Scope, receive: Receive) -> None:
    try:
        await asyncio.wait_for(client_gone(receive), LONGEST_SILENCE_S)
    except TimeoutError:
        await reset(scope, receive)


async def drip(scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
    """The head at once, then a byte a second, and a reset where that takes too long."""
    await start_answer(send, 200, len(body))
    gone = asyncio.ensure_future(client_gone(receive))
    for position in range(min(len(body), int(LONGEST_SILENCE_S / DRIP_INTERVAL_S))):
        await send({"type": "http.response.body", "body": body[position : position + 1], "more_body": True})
        done, _ = await asyncio.wait({gone}, timeout=DRIP_INTERVAL_S)
        if done:
            return
    gone.cancel()
    await reset(scope, receive)


async def truncate(scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
    """Promises the whole body and closes after half of it."""
    await start_answer(send, 200, len(body))
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    scope["extensions"][TRANSPORT].close()
    await client_gone(receive)


async def client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
