"""What every keeper of probes' leases promises: never too many at once, and none that stalls a trial."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count
from typing import Protocol

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from commands.ports import Probes
from infra.local.stack import Stack
from infra.memory.clock import MemoryClock
from infra.memory.probes import MemoryLeases, MemoryProbes
from infra.probes import LocalProbes
from infra.redis.probes import WAIT_S, RedisProbes
from schemas.circuit import CircuitView, trial_of
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from tests.waiting import HANGS_AFTER_S, is_once_within

UPI: PaymentMethod = "UPI"
CARD: PaymentMethod = "CARD"
TRIAL = CircuitView(status="HALF_OPEN", trial=3, probes=5, probe_lease_s=600)
BRIEF = replace(TRIAL, probe_lease_s=1)
_names = count(1)


def now_ms() -> float:
    return time.monotonic() * 1000


class Fleet(Protocol):
    def process(self) -> Probes:
        """Another one of those that share the leases."""

    async def go_away(self) -> None:
        """Nobody answers any more."""


class MemoryFleet:
    def __init__(self) -> None:
        self._leases = MemoryLeases()
        self._clock = MemoryClock()

    def process(self) -> Probes:
        local = LocalProbes(f"p{next(_names)}", self._clock.elapsed_ms)
        return MemoryProbes(self._leases, local, self._clock.elapsed_ms)

    async def go_away(self) -> None:
        self._leases.is_away = True


class RedisFleet:
    def __init__(self, url: str, wait_s: float = HANGS_AFTER_S) -> None:
        self._redis = Redis.from_url(url)
        self._wait_s = wait_s

    def process(self) -> Probes:
        return RedisProbes(self._redis, LocalProbes(f"p{next(_names)}", now_ms), self._wait_s)

    async def go_away(self) -> None:
        await self.close()
        self._redis.connection_pool.connection_kwargs["port"] = 1

    async def close(self) -> None:
        await self._redis.aclose()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def servers(request: pytest.FixtureRequest) -> Stack | None:
    """The real ones; None for the twin in memory."""
    return None if request.param == "memory" else request.getfixturevalue("stack")


@pytest.fixture
async def fleet(servers: Stack | None) -> AsyncIterator[Fleet]:
    if servers is None:
        yield MemoryFleet()
        return
    fleet = RedisFleet(servers.env["REDIS_URL"])
    yield fleet
    await fleet.close()


@pytest.fixture
def gateway() -> GatewayId:
    """Of this test alone."""
    return GatewayId(f"gateway_{time.time_ns()}")


async def taken(
    probes: Probes, gateway: GatewayId, times: int, view: CircuitView = TRIAL
) -> list[str | None]:
    return [await probes.take(gateway, UPI, view) for _ in range(times)]


async def test_no_more_than_so_many_are_out_over_all_processes(fleet: Fleet, gateway: GatewayId) -> None:
    processes = [fleet.process() for _ in range(4)]
    leases = await asyncio.gather(
        *(process.take(gateway, UPI, TRIAL) for process in processes for _ in range(5))
    )
    given = [lease for lease in leases if lease is not None]
    assert (len(given), len(set(given))) == (5, 5)
    assert {trial_of(lease) for lease in given} == {3}


async def test_a_lease_is_free_again_by_itself_and_its_name_is_new(fleet: Fleet, gateway: GatewayId) -> None:
    probes = fleet.process()
    first = await taken(probes, gateway, 5, BRIEF)
    await asyncio.sleep(1.05)
    second = await taken(probes, gateway, 5, BRIEF)
    assert len({*first, *second} - {None}) == 10


async def test_trials_methods_and_gateways_do_not_share_leases(fleet: Fleet, gateway: GatewayId) -> None:
    probes = fleet.process()
    await taken(probes, gateway, 6)
    assert await probes.take(gateway, UPI, replace(TRIAL, trial=4)) is not None
    assert await probes.take(gateway, CARD, TRIAL) is not None
    assert await probes.take(GatewayId(f"{gateway}_"), UPI, TRIAL) is not None


async def test_while_nobody_counts_each_process_has_one_of_its_own(fleet: Fleet, gateway: GatewayId) -> None:
    one, another = fleet.process(), fleet.process()
    await fleet.go_away()
    first, second = await taken(one, gateway, 2), await taken(another, gateway, 2)
    assert (first[1], second[1]) == (None, None)
    assert first[0] is not None
    assert second[0] is not None
    assert first[0] != second[0]
    assert trial_of(first[0]) == 3
    assert "local-" in first[0]


async def test_after_the_interval_a_process_alone_has_another_one() -> None:
    now_ms = 0.0
    local = LocalProbes("7f3a", lambda: now_ms)
    key = GatewayId("alpha"), UPI
    assert local.take(key, TRIAL) == "3.local-7f3a-1"
    now_ms = 9_999.0
    assert local.take(key, TRIAL) is None
    now_ms = 10_000.0
    assert local.take(key, TRIAL) == "3.local-7f3a-2"


@pytest.mark.integration
async def test_a_redis_that_does_not_answer_holds_payments_up_for_a_tenth_of_a_second_every_second(
    stack: Stack, gateway: GatewayId
) -> None:
    if stack.redis not in stack.servers:
        pytest.skip("somebody else's Redis is not ours to pause")
    fleet = RedisFleet(stack.env["REDIS_URL"], WAIT_S)
    probes = fleet.process()
    await probes.take(gateway, UPI, TRIAL)
    leases: list[str | None] = []

    async def a_hundred_are_asked_for() -> None:
        leases.extend(await taken(probes, gateway, 100))

    stack.redis.pause()
    try:
        await is_once_within(0.3, a_hundred_are_asked_for)
    finally:
        stack.redis.resume()
    await fleet.close()
    assert leases[0] is not None
    assert "local-" in leases[0]
