"""How much verification may ask: so many payments of a gateway at once, and so many in a second."""

import asyncio

from msgspec.structs import replace

from commands.check_limits import WITHOUT_GATEWAY_AT_ONCE, CheckLimits
from infra.memory.clock import MemoryClock
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.verification import NO_GATEWAY
from tests.builders import a_gateway
from tests.simulation.loop import in_virtual_time

ALPHA, BETA = GatewayId("alpha"), GatewayId("beta")


def limited(name: str = "alpha", *, at_once: int = 100, per_second: float = 100.0) -> GatewayConfiguration:
    return replace(a_gateway(name), max_concurrent_checks=at_once, checks_per_second=per_second)


@in_virtual_time
async def test_no_more_than_so_many_at_once() -> None:
    limits, gateways = CheckLimits(MemoryClock()), [limited(at_once=3)]
    assert limits.free(gateways)[ALPHA] == 3
    for _ in range(3):
        limits.take(ALPHA)
    await asyncio.sleep(60)
    assert limits.free(gateways)[ALPHA] == 0
    limits.give_up(ALPHA)
    assert limits.free(gateways)[ALPHA] == 1


@in_virtual_time
async def test_no_more_than_so_many_in_a_second_however_quickly_they_end() -> None:
    limits, gateways = CheckLimits(MemoryClock()), [limited(per_second=5)]
    begun = 0
    for _ in range(100):
        for _ in range(limits.free(gateways)[ALPHA]):
            limits.take(ALPHA)
            limits.give_up(ALPHA)
            begun += 1
        await asyncio.sleep(0.1)
    assert 50 <= begun <= 55


@in_virtual_time
async def test_no_second_has_more_than_its_worth_not_even_the_first_after_a_rest() -> None:
    clock = MemoryClock()
    limits, gateways = CheckLimits(clock), [limited(per_second=5)]
    begun: list[float] = []
    for pause_s in (0.0, 0.9, *[0.05] * 40, 7.0, *[0.05] * 40):
        await asyncio.sleep(pause_s)
        for _ in range(limits.free(gateways)[ALPHA]):
            limits.take(ALPHA)
            limits.give_up(ALPHA)
            begun.append(clock.elapsed_ms())
    assert max(sum(at <= one < at + 999 for one in begun) for at in begun) == 5


@in_virtual_time
async def test_what_was_not_used_is_saved_for_a_second_and_not_longer() -> None:
    limits, gateways = CheckLimits(MemoryClock()), [limited(per_second=5)]
    assert limits.free(gateways)[ALPHA] == 5
    await asyncio.sleep(3_600)
    assert limits.free(gateways)[ALPHA] == 5


@in_virtual_time
async def test_less_than_one_in_a_second_is_one_now_and_then() -> None:
    limits, gateways = CheckLimits(MemoryClock()), [limited(per_second=0.5)]
    assert limits.free(gateways)[ALPHA] == 1
    limits.take(ALPHA)
    limits.give_up(ALPHA)
    await asyncio.sleep(1.9)
    assert limits.free(gateways)[ALPHA] == 0
    await asyncio.sleep(0.2)
    assert limits.free(gateways)[ALPHA] == 1


@in_virtual_time
async def test_each_gateway_has_limits_of_its_own() -> None:
    limits, gateways = CheckLimits(MemoryClock()), [limited(at_once=1), limited("beta", at_once=2)]
    assert limits.free(gateways) == {ALPHA: 1, BETA: 2, NO_GATEWAY: WITHOUT_GATEWAY_AT_ONCE}
    limits.take(ALPHA)
    assert limits.free(gateways) == {ALPHA: 0, BETA: 2, NO_GATEWAY: WITHOUT_GATEWAY_AT_ONCE}


@in_virtual_time
async def test_work_that_asks_no_gateway_is_limited_too() -> None:
    limits = CheckLimits(MemoryClock())
    for _ in range(WITHOUT_GATEWAY_AT_ONCE):
        limits.take(NO_GATEWAY)
    assert limits.free([]) == {NO_GATEWAY: 0}
    limits.give_up(NO_GATEWAY)
    assert limits.free([]) == {NO_GATEWAY: 1}


@in_virtual_time
async def test_a_gateway_that_is_configured_no_more_has_a_share_of_what_asks_nobody() -> None:
    limits = CheckLimits(MemoryClock())
    for _ in range(WITHOUT_GATEWAY_AT_ONCE):
        limits.take(GatewayId("gone"))
    assert limits.free([]) == {NO_GATEWAY: 0}
    limits.give_up(GatewayId("gone"))
    assert limits.free([]) == {NO_GATEWAY: 1}
