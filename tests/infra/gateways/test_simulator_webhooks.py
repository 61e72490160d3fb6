"""Webhooks as they arrive at a real server: signed, and late, lost, doubled or out of order as they were told to be."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiohttp import web

from infra.gateways.http import GatewayHttp
from infra.gateways.razorpay.adapter import RazorpayGateway
from infra.gateways.razorpay.notifications import RazorpayNotifications
from infra.gateways.simulator import webhooks
from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.profile import Profile
from schemas.charge import Charge
from schemas.errors import BadSignature
from schemas.ids import GatewayId
from schemas.notification import GatewayNotified, IgnoredNotification
from schemas.outcome import Outcome
from tests.infra.gateways.razorpay.world import ACCOUNT, CARD, UPI, a_charge
from tests.infra.gateways.serving import listening_socket, serving
from tests.jumping import elapsed_ms

pytestmark = pytest.mark.time_jumps

NEW, OLD = "the new secret", "the old secret"


class Ear:
    """Hears notifications, reads them as the product would, and answers as `statuses` say before it takes them."""

    def __init__(self) -> None:
        self.heard: list[GatewayNotified | IgnoredNotification] = []
        self.signed_by: Counter[str] = Counter()
        self.statuses: list[int] = []
        self._news = asyncio.Event()

    async def hear(self, request: web.Request) -> web.Response:
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        body = await request.read()
        for secret in (NEW, OLD):
            reader = RazorpayNotifications(GatewayId("alpha"), [secret])
            try:
                self.heard.append(reader.read(request.headers, body, datetime.now(UTC)))
            except BadSignature:
                continue
            self.signed_by[secret] += 1
        self._news.set()
        return web.Response(status=204)

    @property
    def kinds(self) -> list[str]:
        return [notification.kind for notification in self.heard]

    async def until(self, count: int, within_s: float = 5.0) -> None:
        async with asyncio.timeout(within_s):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()


class World:
    def __init__(self, simulator: Simulator, gateway: RazorpayGateway, ear: Ear, url: str) -> None:
        self.simulator = simulator
        self.gateway = gateway
        self.ear = ear
        self._url = url
        self.behave()

    def behave(
        self, *, secrets: tuple[str, ...] = (NEW,), tells: dict[str, Any] | None = None, **other: Any
    ) -> None:
        usual: dict[str, Any] = {
            "gateway": "alpha",
            "wire": "razorpay",
            "success_rate": 1.0,
            "latency": {"fixed_ms": 0},
            "webhooks": {"url": self._url, "secrets": secrets} | (tells or {}),
        }
        self.simulator.profiles["alpha"] = msgspec.convert(usual | other, Profile)

    async def pay(self, charge: Charge) -> Outcome:
        return await self.gateway.charge(charge, lambda: True)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    ear = Ear()
    application = web.Application()
    application.router.add_post("/hooks", ear.hear)
    runner = web.AppRunner(application)
    await runner.setup()
    listener = listening_socket()
    await web.SockSite(runner, listener).start()
    simulator = Simulator([])
    async with serving(simulator) as url:
        http = GatewayHttp(f"{url}/alpha", max_concurrent_calls=100)
        gateway = RazorpayGateway(http, ACCOUNT, elapsed_ms)
        yield World(simulator, gateway, ear, f"http://127.0.0.1:{listener.getsockname()[1]}/hooks")
        await http.close()
    await runner.cleanup()


async def test_a_charge_is_told_as_it_was_made(world: World) -> None:
    charge = a_charge(CARD)
    outcome = await world.pay(charge)
    await world.ear.until(2)

    assert sorted(world.ear.kinds) == ["payment.authorized", "payment.captured"]
    (captured,) = [said for said in world.ear.heard if said.kind == "payment.captured"]
    assert isinstance(captured, GatewayNotified)
    assert (captured.attempt_id, captured.told) == (charge.attempt_id, "succeeded")
    assert captured.gateway_reference == getattr(outcome, "gateway_reference", None)
    assert (captured.amount_minor, captured.currency) == (charge.amount_minor, charge.currency)


async def test_a_customer_who_pays_is_told_of_though_nobody_asks(world: World) -> None:
    world.behave(pending_resolves_ms=100)
    await world.pay(a_charge(UPI))
    assert world.ear.heard == []
    await world.ear.until(2)
    assert sorted(world.ear.kinds) == ["payment.authorized", "payment.captured"]


async def test_every_turn_of_a_late_payment_is_told(world: World) -> None:
    world.behave(
        success_rate=0.0,
        pending_resolves_ms=50,
        late_capture_rate=1.0,
        late_capture_after_ms=200,
        late_status="authorized",
    )
    charge = a_charge(UPI)
    await world.pay(charge)
    await world.ear.until(2)
    assert world.ear.kinds == ["payment.failed", "payment.authorized"]
    await world.gateway.give_back(charge.attempt_id)
    await world.ear.until(5)
    assert sorted(world.ear.kinds[2:]) == ["payment.authorized", "payment.captured", "refund.processed"]


async def test_a_notification_is_sent_again_until_it_is_taken(world: World) -> None:
    world.ear.statuses = [500, 302, 404]
    await world.pay(a_charge(CARD))
    await world.ear.until(2)
    assert Counter(world.ear.kinds) == {"payment.authorized": 1, "payment.captured": 1}


async def test_a_notification_that_nobody_takes_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "RETRY_AFTER_S", (0.0, 0.0))
    world.ear.statuses = [500] * 6
    await world.pay(a_charge(CARD))
    await asyncio.sleep(0.2)
    assert (world.ear.heard, world.ear.statuses) == ([], [])


async def test_a_notification_may_be_lost(world: World) -> None:
    world.behave(tells={"lost": 1.0})
    await world.pay(a_charge(CARD))
    await asyncio.sleep(0.1)
    assert world.ear.heard == []


async def test_a_notification_may_come_twice_with_the_same_id(world: World) -> None:
    world.behave(tells={"doubled": 1.0})
    await world.pay(a_charge(CARD))
    await world.ear.until(4)
    assert set(Counter(said.event_id for said in world.ear.heard).values()) == {2}


async def test_a_notification_may_come_late(world: World) -> None:
    world.behave(tells={"delay_ms": 150})
    await world.pay(a_charge(CARD))
    await asyncio.sleep(0.05)
    assert world.ear.heard == []
    await world.ear.until(2)


async def test_notifications_may_come_in_the_wrong_order(world: World) -> None:
    world.behave(tells={"reordered": 0.5, "reordered_by_ms": 200})
    for _ in range(50):
        await world.pay(a_charge(CARD))
    await world.ear.until(100)
    by_attempt: dict[str, list[str]] = {}
    for said in world.ear.heard:
        assert isinstance(said, GatewayNotified)
        by_attempt.setdefault(said.attempt_id, []).append(said.kind)
    assert ["payment.captured", "payment.authorized"] in by_attempt.values()


async def test_while_secrets_are_changed_each_signs_its_share(world: World) -> None:
    world.behave(secrets=(NEW, OLD))
    for _ in range(10):
        await world.pay(a_charge(CARD))
    await world.ear.until(20)
    assert all(world.ear.signed_by[secret] for secret in (NEW, OLD))


async def test_more_notifications_than_may_wait_are_dropped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST_WAITING", 1)
    await world.pay(a_charge(CARD))
    await asyncio.sleep(0.1)
    assert world.ear.kinds == ["payment.authorized"]


async def test_a_ledger_that_was_cleared_tells_nothing_more(world: World) -> None:
    world.behave(pending_resolves_ms=50)
    await world.pay(a_charge(UPI))
    world.simulator.forget()
    await asyncio.sleep(0.15)
    assert world.ear.heard == []
