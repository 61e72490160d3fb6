"""What time it is for simulated gateways: it goes as their loop's does, so that nothing moves when a clock is set."""

import asyncio
import time

_BEGAN_S = time.time() - time.monotonic()


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int((_BEGAN_S + asyncio.get_running_loop().time()) * 1000)
