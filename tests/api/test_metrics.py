"""`GET /metrics` and what is counted about HTTP."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from schemas.errors import Refusal, Refused
from tests.api.client import Client
from tests.api.requests import HEADERS, body
from tests.api.stand_ins import PAYMENT, World


def count(route: str, method: str, status: int, problem: str = "") -> float:
    labels = {"route": route, "method": method, "status": str(status), "problem": problem}
    return REGISTRY.get_sample_value("payments_gateway_http_requests_total", labels) or 0.0


async def test_metrics_are_prometheus_text(client: Client) -> None:
    await client.get("/ops/liveness")
    answer = await client.get("/metrics")
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    assert (
        'payments_gateway_http_requests_total{method="GET",problem="",route="/ops/liveness",status="200"}'
        in (answer.body.decode())
    )
    assert "payments_gateway_http_request_duration_seconds_bucket" in answer.body.decode()


async def test_requests_are_counted_by_template_and_never_by_what_the_client_chose(client: Client) -> None:
    read, lost, brewed = (
        count("/payments/{payment_id}", "GET", 200),
        count("unmatched", "GET", 404, "path-not-found"),
        count("/metrics", "OTHER", 405, "method-not-allowed"),
    )
    await client.get(f"/payments/{PAYMENT}")
    await client.get("/secret/4111111111111111")
    await client.request("BREW", "/metrics")
    assert count("/payments/{payment_id}", "GET", 200) == read + 1
    assert count("unmatched", "GET", 404, "path-not-found") == lost + 1
    assert count("/metrics", "OTHER", 405, "method-not-allowed") == brewed + 1
    text = (await client.get("/metrics")).body.decode()
    assert PAYMENT not in text
    assert "4111111111111111" not in text
    assert "BREW" not in text


async def test_failures_are_counted_by_the_status_they_were_answered_with(
    world: World, client: Client
) -> None:
    before = count("/payments", "POST", 500, "internal-error")
    world.handler.failure = RuntimeError()
    await client.post("/payments", HEADERS, body())
    assert count("/payments", "POST", 500, "internal-error") == before + 1


@pytest.mark.parametrize("refusal", [Refusal.METHOD_SWITCHED_OFF, Refusal.MERCHANT_SWITCHED_OFF])
async def test_what_is_switched_off_is_told_apart_from_what_fails(
    world: World, client: Client, refusal: Refusal
) -> None:
    assert refusal.endswith("-switched-off"), "the alerts leave out what is called so"
    before, failed = (count("/payments", "POST", 503, problem) for problem in (refusal, "log-unavailable"))
    world.handler.failure = Refused(refusal, "off")
    assert (await client.post("/payments", HEADERS, body())).status == 503
    assert count("/payments", "POST", 503, refusal) == before + 1
    assert count("/payments", "POST", 503, "log-unavailable") == failed


async def test_requests_in_flight_are_a_gauge_that_returns_to_where_it_was(
    world: World, client: Client
) -> None:
    def in_flight() -> float:
        return REGISTRY.get_sample_value("payments_gateway_http_requests_in_flight") or 0.0

    before = in_flight()
    world.handler.may_end.clear()
    running = asyncio.create_task(client.post("/payments", HEADERS, body()))
    await world.handler.called.wait()
    assert in_flight() == before + 1
    world.handler.may_end.set()
    await running
    assert in_flight() == before
