"""What every keeper of rate limits promises: nobody gets more than his limit, and all that he may have."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from api.ports import RateLimits
from infra.local.stack import Stack
from infra.memory.rate_limits import REMEMBERED, LocalRateLimits
from infra.redis.absence import Absence
from infra.redis.rate_limits import RedisRateLimits
from schemas.rate_limit import RateLimit
from tests.waiting import HANGS_AFTER_S

SLOW = RateLimit(name="slow", per_second=0.001, burst=7)
"""Nothing grows back while a test runs."""
QUICK = RateLimit(name="quick", per_second=100, burst=1)


def now_ms() -> float:
    return time.monotonic() * 1000


def a_process(redis: Redis, wait_s: float = HANGS_AFTER_S) -> RedisRateLimits:
    return RedisRateLimits(redis, LocalRateLimits(now_ms), Absence(now_ms), "a secret", wait_s)


@pytest.fixture
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    redis = Redis.from_url(stack.env["REDIS_URL"])
    yield redis
    await redis.aclose()


@pytest.fixture(params=["process", pytest.param("redis", marks=pytest.mark.integration)])
def limits(request: pytest.FixtureRequest) -> RateLimits:
    if request.param == "process":
        return LocalRateLimits(now_ms)
    return a_process(request.getfixturevalue("redis"))


@pytest.fixture
def client() -> str:
    return uuid4().hex


async def test_a_burst_is_let_through_and_not_one_more(limits: RateLimits, client: str) -> None:
    taken = await asyncio.gather(*(limits.take(client, SLOW) for _ in range(50)))
    assert [one.is_allowed for one in taken].count(True) == 7
    assert sorted(one.remaining for one in taken if one.is_allowed) == [0, 1, 2, 3, 4, 5, 6]


async def test_who_is_refused_hears_how_long_to_wait_and_waits_no_longer_for_asking(
    limits: RateLimits, client: str
) -> None:
    refused = [await limits.take(client, SLOW) for _ in range(7 + 20)][-1]
    assert not refused.is_allowed
    assert refused.remaining == 0
    assert 990 < refused.more_after_s <= 1000


async def test_what_was_used_grows_back(limits: RateLimits, client: str) -> None:
    for _ in range(3):
        taken = await limits.take(client, QUICK)
        await asyncio.sleep(0.011)
        assert taken.is_allowed


async def test_one_client_costs_another_nothing_and_one_policy_no_other(
    limits: RateLimits, client: str
) -> None:
    for _ in range(8):
        await limits.take(client, SLOW)
    assert (await limits.take(client + "0", SLOW)).is_allowed
    assert (await limits.take(client, QUICK)).is_allowed


async def test_a_process_remembers_so_many_clients_and_no_more() -> None:
    limits = LocalRateLimits(now_ms)
    for number in range(REMEMBERED + 10):
        await limits.take(f"c{number}", SLOW)
    assert (await limits.take(f"c{REMEMBERED + 9}", SLOW)).remaining == 5
    assert (await limits.take("c0", SLOW)).remaining == 6


@pytest.mark.integration
async def test_processes_count_together(redis: Redis, client: str) -> None:
    two = (a_process(redis), a_process(redis))
    taken = await asyncio.gather(*(two[n % 2].take(client, SLOW) for n in range(600)))
    assert [one.is_allowed for one in taken].count(True) == 7


@pytest.mark.integration
async def test_redis_keeps_one_key_per_client_and_only_until_the_burst_is_whole(
    redis: Redis, client: str
) -> None:
    limit = RateLimit(name="brief", per_second=2, burst=4)
    for _ in range(9):
        await a_process(redis).take(client, limit)
    assert 0 < await redis.pttl(a_process(redis).key(client, limit)) <= 2000


@pytest.mark.integration
async def test_redis_does_not_hear_who_the_client_is(redis: Redis, client: str) -> None:
    await a_process(redis).take(client, SLOW)
    assert client.encode() not in b"".join([key async for key in redis.scan_iter()])


@pytest.mark.integration
async def test_redis_that_has_forgotten_the_script_is_told_it_again(redis: Redis, client: str) -> None:
    limits = a_process(redis)
    await limits.take(client, SLOW)
    await redis.script_flush()
    assert (await limits.take(client, SLOW)).remaining == 5


@pytest.mark.integration
async def test_a_clock_that_is_set_back_shuts_nobody_out(redis: Redis, client: str) -> None:
    key = a_process(redis).key(client, SLOW)
    await redis.set(key, int((time.time() + 86_400) * 1_000_000))
    assert (await a_process(redis).take(client, SLOW)).remaining == 6


def counted(by: str) -> float:
    return REGISTRY.get_sample_value("payments_gateway_rate_limit_checks_total", {"by": by}) or 0


async def hung() -> asyncio.Server:
    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    return await asyncio.start_server(never_answer, "127.0.0.1", 0)


@pytest.mark.parametrize("hangs", [True, False])
async def test_without_redis_a_process_limits_for_itself_and_says_so(hangs: bool, client: str) -> None:
    server = await hung()
    port = server.sockets[0].getsockname()[1]
    if not hangs:
        server.close()
    async with Redis(port=port) as nowhere:
        limits, before = a_process(nowhere, wait_s=0.1), counted("process")
        taken = await asyncio.gather(*(limits.take(client, SLOW) for _ in range(400)))
        assert [one.is_allowed for one in taken].count(True) == 7
        assert counted("process") - before == 400
        assert not limits.are_shared
    server.close()


@pytest.mark.integration
async def test_who_has_used_up_his_burst_has_no_second_one_when_redis_goes(redis: Redis, client: str) -> None:
    limits = a_process(redis)
    for _ in range(6):
        await limits.take(client, SLOW)
    await redis.aclose()
    redis.connection_pool.reset()  # type: ignore[no-untyped-call]
    redis.connection_pool.connection_kwargs["port"] = 1
    taken = [await limits.take(client, SLOW) for _ in range(4)]
    assert [one.is_allowed for one in taken] == [True, False, False, False]
    assert not limits.are_shared


@pytest.mark.integration
async def test_redis_that_is_back_counts_again(redis: Redis, client: str) -> None:
    at_ms = 0.0
    async with Redis(port=1) as nowhere:
        limits = RedisRateLimits(nowhere, LocalRateLimits(lambda: at_ms), Absence(lambda: at_ms), "a secret")
        assert (await limits.take(client, SLOW)).remaining == 6
        assert not limits.are_shared
        nowhere.connection_pool.reset()  # type: ignore[no-untyped-call]
        nowhere.connection_pool.connection_kwargs["port"] = redis.connection_pool.connection_kwargs["port"]
        assert (await limits.take(client, SLOW)).remaining == 5  # left alone for a moment
        at_ms += 1500
        assert (await limits.take(client, SLOW)).remaining == 6
        assert limits.are_shared
