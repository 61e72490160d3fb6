"""The shadow beside the payments: what it says is told, and whatever becomes of it nobody waits."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY

from api.app import create_app
from api.shadow import LiveShadow
from infra.memory.clock import MemoryClock
from schemas.errors import LogUnavailable
from schemas.ids import GatewayId, PaymentId
from schemas.payment import PaymentRouted, RequestPayment
from schemas.routing import Facts
from schemas.routing_configuration import (
    AlternativePolicy,
    Prefer,
    RoutingConfiguration,
    RoutingRules,
    Rule,
)
from schemas.shadow import PaymentShadowed
from tests.api.client import Client
from tests.api.requests import JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, World
from tests.builders import a_request
from tests.commands.routes import routed_of

pytestmark = pytest.mark.time_jumps

PATH = "/shadow-policy"
ADMIN = ("X-Internal-Api-Key", ADMIN_KEY)


def first(gateway: str) -> AlternativePolicy:
    rule = Rule(id="r", then=Prefer(gateways=(GatewayId(gateway),)))
    return AlternativePolicy(rules=RoutingRules(rules=(rule,)))


def a_payment(policy: AlternativePolicy | None) -> tuple[RequestPayment, PaymentRouted]:
    facts = Facts(configuration=RoutingConfiguration(shadow=policy, version=7))
    request = replace(a_request(), facts=facts)
    return request, routed_of(request)


class ShadowLog:
    def __init__(self) -> None:
        self.is_away = False
        self.told: list[tuple[PaymentId, PaymentShadowed]] = []

    async def append(self, events: Sequence[tuple[PaymentId, PaymentShadowed]]) -> None:
        if self.is_away:
            raise LogUnavailable("away")
        self.told += events


class Counted:
    """What was counted since."""

    def __init__(self) -> None:
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        results = ("agrees", "differs", "failed", "dropped", "not_recorded")
        name = "payments_gateway_shadowed_total"
        return {one: REGISTRY.get_sample_value(name, {"result": one}) or 0.0 for one in results}

    def __call__(self) -> dict[str, float]:
        now = self._now()
        return {one: now[one] - before for one, before in self._before.items() if now[one] != before}


async def worked_off(shadow: LiveShadow) -> None:
    async with shadow.running():
        await settled()


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_what_the_shadow_would_have_done_is_told() -> None:
    log, counted = ShadowLog(), Counted()
    shadow = LiveShadow(log, MemoryClock())
    request, routed = a_payment(first("gamma"))
    shadow.follow(request, routed)
    shadow.follow(*a_payment(first("alpha")))
    await worked_off(shadow)
    (payment_id, differs), (_, agrees) = log.told
    assert payment_id == request.payment_id
    assert (differs.candidates[0].gateway, differs.routed_to, differs.agrees) == ("gamma", "alpha", False)
    assert agrees.agrees
    assert differs.versions.configuration == 7
    assert counted() == {"agrees": 1, "differs": 1}


async def test_without_a_shadow_policy_nothing_is_done() -> None:
    log, counted = ShadowLog(), Counted()
    shadow = LiveShadow(log, MemoryClock())
    shadow.follow(*a_payment(None))
    await worked_off(shadow)
    assert (log.told, counted()) == ([], {})


async def test_what_the_queue_cannot_hold_is_dropped_and_counted() -> None:
    log, counted = ShadowLog(), Counted()
    shadow = LiveShadow(log, MemoryClock(), most_waiting=2)
    for _ in range(5):
        shadow.follow(*a_payment(first("alpha")))
    await worked_off(shadow)
    assert counted() == {"agrees": 2, "dropped": 3}


async def test_a_log_that_is_away_costs_what_the_shadow_said_and_no_more() -> None:
    log, counted = ShadowLog(), Counted()
    shadow = LiveShadow(log, MemoryClock())
    async with shadow.running():
        log.is_away = True
        shadow.follow(*a_payment(first("alpha")))
        await settled()
        log.is_away = False
        shadow.follow(*a_payment(first("alpha")))
        await settled()
    assert counted() == {"agrees": 1, "not_recorded": 1}


def lag() -> float | None:
    return REGISTRY.get_sample_value("payments_gateway_shadow_lag_seconds")


async def follow(shadow: LiveShadow, clock: MemoryClock, policy: AlternativePolicy) -> None:
    request, routed = a_payment(policy)
    shadow.follow(replace(request, at=clock.now()), routed)
    await settled()


async def test_the_lag_grows_with_each_payment_that_cannot_be_recorded_and_is_gone_with_one_that_is() -> None:
    log, clock = ShadowLog(), MemoryClock()
    shadow, alpha = LiveShadow(log, clock), first("alpha")
    async with shadow.running():
        await follow(shadow, clock, alpha)
        await asyncio.sleep(10)
        assert lag() == pytest.approx(0, abs=0.1)
        log.is_away = True
        for expected in (0, 10, 20):
            await follow(shadow, clock, alpha)
            assert lag() == pytest.approx(expected, abs=0.1)
            await asyncio.sleep(10)
        assert lag() == pytest.approx(20, abs=0.1)
        log.is_away = False
        await follow(shadow, clock, alpha)
        assert lag() == pytest.approx(0, abs=0.1)


async def test_the_lag_grows_while_a_record_is_on_its_way() -> None:
    on_its_way = asyncio.Event()

    class SlowLog(ShadowLog):
        async def append(self, events: Sequence[tuple[PaymentId, PaymentShadowed]]) -> None:
            await on_its_way.wait()

    clock = MemoryClock()
    shadow = LiveShadow(SlowLog(), clock)
    async with shadow.running():
        await follow(shadow, clock, first("alpha"))
        await asyncio.sleep(10)
        assert lag() == pytest.approx(10, abs=0.1)
        on_its_way.set()
        await asyncio.sleep(1)
        assert lag() == pytest.approx(10, abs=0.1)


async def test_a_policy_that_fails_is_counted_and_the_next_payment_is_followed() -> None:
    log, counted = ShadowLog(), Counted()
    shadow = LiveShadow(log, MemoryClock())
    request, routed = a_payment(first("alpha"))
    shadow.follow(request, replace(routed, candidates=()))
    shadow.follow(request, routed)
    await worked_off(shadow)
    assert counted() == {"failed": 1, "agrees": 1}


# The policy itself


@pytest.fixture
def client(world: World) -> Client:
    return Client(create_app(world.services()))


def a_body(policy: object) -> bytes:
    return msgspec.json.encode({"policy": policy, "by": "asha", "note": "a trial"})


async def test_a_shadow_policy_is_set_shown_and_ended(client: Client) -> None:
    policy = {"weights": {"cost": 0.002}}
    put = await client.request("PUT", PATH, [ADMIN, JSON, ("If-Match", '"0"')], a_body(policy))
    assert put.status == 200, put.body
    shown = await client.get(PATH, [ADMIN])
    assert shown.json["policy"]["weights"]["cost"] == 0.002
    assert shown.json["by"] == "asha"
    version = shown.json["version"]
    ended = await client.request("PUT", PATH, [ADMIN, JSON, ("If-Match", f'"{version}"')], a_body(None))
    assert ended.json["policy"] is None


async def test_a_shadow_policy_of_another_version_is_refused(client: Client) -> None:
    put = await client.request("PUT", PATH, [ADMIN, JSON, ("If-Match", '"5"')], a_body({}))
    assert put.status == 412


async def test_what_is_wrong_with_a_shadow_policy_is_pointed_at(client: Client) -> None:
    rule = {"id": "r", "then": {"type": "pin", "gateway": "omega"}}
    affinity = {"gateway": "omega", "value": 1, "merchant_id": "mrc_1"}
    policy = {"rules": {"rules": [rule]}, "affinities": [affinity]}
    put = await client.request("PUT", PATH, [ADMIN, JSON, ("If-Match", '"0"')], a_body(policy))
    assert_problem(put, 422, "invalid-body")
    pointers = {one["pointer"] for one in put.json["errors"]}
    assert pointers == {"/policy/rules/rules/0/then/gateway", "/policy/affinities/0/gateway"}
