"""Waiting, and what is soon, on a machine that may stand still at any moment."""

import asyncio
from collections.abc import Awaitable, Callable

HANGS_AFTER_S = 120
"""Only ends a test that hangs: a machine that is slow or stands still must not reach it."""
ACKNOWLEDGED_WITHIN_MS = HANGS_AFTER_S * 1000
"""By brokers that are there."""
TRIES = 10


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Asked again and again, since nobody tells."""
    async with asyncio.timeout(HANGS_AFTER_S):
        while not await is_so():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.02)


async def nothing() -> None: ...


async def is_once_within(
    seconds: float, act: Callable[[], Awaitable[object]], before: Callable[[], Awaitable[object]] = nothing
) -> None:
    """Of ten tries one is in time: a slow product never is, and a machine that stands still now and then is.

    `before` leads up to each try and takes as long as it does.
    """
    loop, took_s = asyncio.get_running_loop(), list[float]()
    for _ in range(TRIES):
        await before()
        begun_s = loop.time()
        await act()
        took_s.append(loop.time() - begun_s)
        if took_s[-1] < seconds:
            return
    raise AssertionError(f"never within {seconds} s, but {[round(one, 2) for one in took_s]}")
