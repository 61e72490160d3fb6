"""Every endpoint of a running service answers as its row says, and as the OpenAPI document describes it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from string import Template
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from api.contract.openapi import openapi
from tests.contracts.endpoints import (
    BESIDE,
    CHARGED,
    DECLINED,
    ENDPOINTS,
    EXAMPLE,
    EXPERIMENT,
    HOOK,
    KEY,
    NOTHING,
    PAYMENT,
    PRODUCT,
    Ask,
    Headers,
)
from tests.product import PLAIN_GATEWAYS, PLAIN_PROFILES, Product, own_servers, running

PAID = tuple(
    replace(one, success_rate=1.0, latency=replace(one.latency, fixed_ms=1)) for one in PLAIN_PROFILES
)
TELLS: Mapping[str, object] = {
    "id": "told",
    "name": "Told",
    "adapter": "razorpay",
    "payment_methods": ["UPI"],
    "currencies": ["INR"],
    "enabled": False,
}
"""A gateway that sends notifications."""
WITHIN_S = 120
DOCUMENT = openapi()


def test_every_row_of_the_product_is_served_and_every_route_that_is_served_has_a_row() -> None:
    described = {
        f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert set(ENDPOINTS) == described
    assert not PRODUCT.keys() & BESIDE.keys()


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """On servers of its own: what rows configure must not meet any other test."""
    with own_servers("endpoints") as stack:
        product = Product(
            stack,
            stack.folder / "product",
            verifiers=1,
            circuit_writers=1,
            metrics_workers=1,
            webhook_dispatchers=1,
            profiles=PAID,
            gateways=(*PLAIN_GATEWAYS, TELLS),
            env={"WEBHOOK_ALLOWED_TARGETS": "127.0.0.0/8", "VERIFICATION_SCHEDULE_WALLET": "0.5,1"},
        )
        with running(product):
            yield product


class Service:
    """Asked over HTTP, with what is known of it in the place of `$names`."""

    def __init__(self, url: str, known: Mapping[str, str], http: aiohttp.ClientSession) -> None:
        self._url = url
        self._known = known
        self._http = http

    async def asked(
        self, method: str, path: str, headers: Headers = (), body: Any = NOTHING
    ) -> tuple[int, Mapping[str, str], bytes]:
        sent = {name: self._filled(value) for name, value in headers}
        content = None
        if body is not NOTHING:
            content = (
                body if isinstance(body, bytes) else self._filled(msgspec.json.encode(body).decode()).encode()
            )
            is_json = not isinstance(body, bytes) or body.startswith(b"{")
            sent["Content-Type"] = "application/json" if is_json else "application/x-www-form-urlencoded"
        url = self._url + self._filled(path)
        async with self._http.request(method, url, headers=sent, data=content) as answer:
            return answer.status, answer.headers, await answer.read()

    async def told(self, method: str, path: str, headers: Headers = KEY, body: Any = NOTHING) -> Any:
        """What is answered where all is well."""
        status, _, content = await self.asked(method, path, headers, body)
        assert status < 300, content
        return msgspec.json.decode(content)

    async def until(self, path: str, name: str, wanted: Any = None) -> Any:
        """What is told under this name once there is something, or once it is what is wanted."""
        for _ in range(WITHIN_S * 10):
            found = (await self.told("GET", path))[name]
            if found == wanted or (wanted is None and found):
                return found
            await asyncio.sleep(0.1)
        pytest.fail(f"{path} does not come to it")

    def _filled(self, text: str) -> str:
        return Template(text).safe_substitute(self._known)


@pytest.fixture(scope="module")
def known(product: Product) -> Mapping[str, str]:
    async def prepared() -> Mapping[str, str]:
        async with aiohttp.ClientSession() as http:
            return await _prepared(product, http)

    return asyncio.run(prepared())


async def _prepared(product: Product, http: aiohttp.ClientSession) -> Mapping[str, str]:
    """A payment of each kind, experiments in each state, and subscriptions of which one was told."""
    key = f"key-{uuid.uuid4()}"
    service = Service(product.api.url, {"key": key}, http)

    async def started(name: str) -> str:
        return str(
            (await service.told("POST", "/experiments", body={**EXPERIMENT, "name": name}))["experiment_id"]
        )

    async def subscribed(**changes: Any) -> str:
        told = await service.told("POST", "/webhooks/subscriptions", body={**HOOK, **changes})
        return str(told["subscription"]["subscription_id"])

    async def gateways(**profile: float) -> None:
        for gateway in PAID:
            url = f"{product.simulator.url}/control/gateways/{gateway.gateway}"
            async with http.put(
                url, json={"success_rate": 1.0, "latency": {"fixed_ms": 1}, **profile}
            ) as answer:
                assert answer.status == 200, await answer.text()

    subscription = await subscribed()
    switch = {"kind": "merchant", "name": "m_off", "on": True, "by": "asha", "note": "a drill"}
    await service.told("POST", "/kill-switches", body=switch)
    experiments = {
        name: await started(name) for name in ("taken", "ended", "stopping", "pausing", "resuming")
    }
    await service.told("POST", f"/experiments/{experiments['ended']}/stop")
    await service.told("POST", f"/experiments/{experiments['resuming']}/pause")

    payment = await service.told("POST", "/payments", CHARGED, PAYMENT)
    await gateways(success_rate=0.0)
    assert (await service.asked("POST", "/payments", DECLINED, PAYMENT))[0] == 402
    await gateways(pending_rate=1.0)
    wallet = {"payment_method": "WALLET", "instrument": {"type": "WALLET", "wallet": "paytm"}}
    asked = await service.told(
        "POST", "/payments", (("Idempotency-Key", f"wallet-{key}"),), {**PAYMENT, **wallet}
    )
    await gateways()
    in_review = f"/payments/{asked['payment_id']}"
    await service.until(in_review, "status", "NEEDS_REVIEW")
    (attempt,) = (await service.told("GET", f"{in_review}/attempts"))["attempts"]
    deliveries = await service.until(f"/webhooks/deliveries?subscription_id={subscription}", "deliveries")
    return {
        "key": key,
        "payment": payment["payment_id"],
        "unknown_payment": "pay_01jd8x5w3r0000000000000000",
        "payment_in_review": asked["payment_id"],
        "attempt_in_review": attempt["attempt_id"],
        "experiment": experiments["taken"],
        "ended": experiments["ended"],
        "to_stop": experiments["stopping"],
        "to_pause": experiments["pausing"],
        "to_resume": experiments["resuming"],
        "subscription": subscription,
        "ending": await subscribed(url="http://127.0.0.1:9/ending"),
        "delivery": deliveries[0]["delivery_id"],
    }


@pytest.fixture
async def service(product: Product, known: Mapping[str, str]) -> AsyncIterator[Service]:
    async with aiohttp.ClientSession() as http:
        yield Service(product.api.url, known, http)


@pytest.mark.integration
@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_an_endpoint_answers_as_documented_when_all_is_well_and_when_it_is_not(
    service: Service, endpoint: str
) -> None:
    well, not_well = ENDPOINTS[endpoint]
    for ask in (well, *not_well):
        await _is_answered(service, endpoint, ask)


async def _is_answered(service: Service, endpoint: str, ask: Ask) -> None:
    method, _, path = endpoint.partition(" ")
    described = DOCUMENT["paths"][path][method.lower()]
    headers = ask.headers
    if ask.seen:
        _, shown, _ = await service.asked("GET", ask.path, headers)
        headers = (*headers, ("If-Match", shown["ETag"]))
    body = ask.body
    if body is EXAMPLE:
        body = (
            described["requestBody"]["content"]["application/json"]["example"]
            if "requestBody" in described
            else NOTHING
        )
    status, answered, content = await service.asked(ask.method or method, ask.path, headers, body)
    assert status == ask.status, (ask, content)
    if ask.problem is None:
        assert str(status) in described["responses"], ask
        return
    assert answered["Content-Type"] == "application/problem+json", ask
    problem = msgspec.json.decode(content)
    assert (problem["type"], problem["status"]) == (f"/problems/{ask.problem}", status), (ask, problem)
    assert ("Retry-After" in answered) == (status in (429, 503)), ask
    if ask.method is None:
        assert problem["type"] in _problems(described["responses"][str(status)]), ask


def _problems(response: Mapping[str, Any]) -> list[str]:
    if (reference := response.get("$ref")) is not None:
        response = DOCUMENT["components"]["responses"][reference.rpartition("/")[2]]
    types = response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["type"][
        "enum"
    ]
    return list(types)
