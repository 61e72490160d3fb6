"""How we talk to Redis: every wait is bounded, nothing is repeated behind our back, and its absence has our name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from schemas.errors import StoreUnavailable

Client = Any
"""Its own types leave open whether an answer is awaited."""


def connect(url: str, timeout_s: float = 2.0) -> Client:
    """Nothing is opened before the first command."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


@contextmanager
def unavailable() -> Iterator[None]:
    """Raises StoreUnavailable for whatever goes wrong between us and Redis."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"Redis: {type(error).__name__}") from error


async def is_empty(redis: Client) -> bool:
    """Whether the database has no key at all. Raises StoreUnavailable."""
    with unavailable():
        return not await redis.dbsize()
