"""The numbers of webhooks, as Prometheus reads them."""

import asyncio

from prometheus_client import CollectorRegistry, generate_latest

from schemas.delivery import DeliveryBacklog
from schemas.errors import StoreUnavailable
from streams.webhook_metrics import WebhookMetrics
from tests.streams.test_webhook_dispatch import World, failing


async def shown(metrics: WebhookMetrics) -> list[str]:
    watching = asyncio.create_task(metrics.watch())
    await asyncio.sleep(0)
    watching.cancel()
    registry = CollectorRegistry()
    registry.register(metrics)
    lines = generate_latest(registry).decode().splitlines()
    return [line.removeprefix("payments_gateway_webhook_") for line in lines if not line.startswith("#")]


async def test_what_waits_and_what_attempts_came_to_is_told() -> None:
    async def backlog() -> DeliveryBacklog:
        return DeliveryBacklog(waiting=3, dead=2, oldest_waiting_s=61.5, endpoints_paused=1)

    world = World()
    world.subscribe(behaviour=failing)
    await world.happen(times=6)
    await world.turns()
    assert await shown(WebhookMetrics(backlog, world.dispatch)) == [
        'attempts_total{result="5xx"} 6.0',
        "in_flight 0.0",
        "waiting 3.0",
        "oldest_waiting_seconds 61.5",
        "dead 2.0",
        "endpoints_paused 1.0",
    ]


async def test_while_the_store_is_away_nothing_is_said_of_what_waits() -> None:
    async def away() -> DeliveryBacklog:
        raise StoreUnavailable("away")

    assert await shown(WebhookMetrics(away, World().dispatch)) == ["in_flight 0.0"]
