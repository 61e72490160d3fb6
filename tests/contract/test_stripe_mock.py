"""Stripe's own mock judges every request of ours by the published description of its API.

It refuses what the API has no parameter for, answers the rest from one sample, and remembers nothing. So what a test
sees of the answers is only whether they are refusals; the state that an intent is in is put into the sample.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from infra.clock import SystemClock
from infra.gateways.http import Answer, GatewayHttp
from infra.gateways.stripe.adapter import StripeGateway
from infra.gateways.stripe.requests import WALLETS
from infra.local import LOCAL
from infra.local.child import Child
from infra.local.ports import free_ports
from schemas import ids
from schemas.charge import Captured, Charge, Found, GivenBack, Reference
from schemas.ids import GatewayId
from schemas.instrument import Card, Instrument, Upi, Wallet, method_of
from schemas.outcome import InDoubt, NotSent

PROGRAM = LOCAL / "bin" / "stripe-mock"
PING_SECONDS = 2.0
ATTEMPT = ids.attempt_id(SystemClock().payment_id(), 1, 1)
CARD = Card(token="pm_card_visa", bin="424242", last4="4242")
REFERENCE = Reference(attempt_id=ATTEMPT, amount_minor=129_900, currency="INR")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not PROGRAM.exists(), reason="./dev test installs stripe-mock where there is Go"),
]


class StripeMock(Child):
    def __init__(self, folder: Path) -> None:
        super().__init__("stripe-mock", folder)
        self._address = f"127.0.0.1:{free_ports(1)[0]}"

    @property
    def url(self) -> str:
        return f"http://{self._address}"

    def command(self) -> list[str]:
        return [str(PROGRAM), "-http-addr", self._address, "-strict-version-check"]

    async def ping(self) -> None:
        limit = aiohttp.ClientTimeout(total=PING_SECONDS)
        async with aiohttp.ClientSession(timeout=limit) as client, client.get(self.url):
            pass


class Judged(GatewayHttp):
    """Keeps what was asked and how it was answered, and shows the sample intent as ours, in the state it is told."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url, max_concurrent_calls=10)
        self.intent: dict[str, Any] = {}
        self.asked: list[tuple[str, str, int]] = []

    async def call(self, method: str, path: str, **options: Any) -> Answer | NotSent | InDoubt:
        answer = await super().call(method, path, **options)
        assert isinstance(answer, Answer)
        self.asked.append((method, path.partition("?")[0], answer.status))
        content = json.loads(answer.body)
        if content.get("object") == "payment_intent":
            content |= {"metadata": {"attempt_id": ATTEMPT}} | self.intent
        return Answer(status=answer.status, body=json.dumps(content).encode())

    @property
    def refused(self) -> list[tuple[str, str, int]]:
        return [asked for asked in self.asked if asked[2] >= 400]

    @property
    def actions(self) -> list[str]:
        """The last words of the paths that were posted to."""
        return [path.rpartition("/")[2] for method, path, _ in self.asked if method == "POST"]


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeMock]:
    mock = StripeMock(tmp_path_factory.mktemp("stripe-mock"))
    try:
        asyncio.run(started(mock))
        yield mock
    finally:
        asyncio.run(mock.stop())


async def started(mock: StripeMock) -> None:
    await mock.start()
    await mock.wait_ready()


@pytest_asyncio.fixture
async def judged(mock: StripeMock) -> AsyncIterator[Judged]:
    http = Judged(mock.url)
    yield http
    await http.close()


def the_gateway(judged: Judged) -> StripeGateway:
    return StripeGateway(judged, secret_key="sk_test_123", return_url="https://shop.example/paid")


def a_charge(instrument: Instrument) -> Charge:
    return Charge(
        attempt_id=ATTEMPT,
        gateway=GatewayId("stripe"),
        amount_minor=129_900,
        currency="INR",
        payment_method=method_of(instrument),
        instrument=instrument,
        timeout_ms=2_000,
    )


async def test_a_charge_by_each_method_is_a_request_that_stripe_knows(judged: Judged) -> None:
    instruments: list[Instrument] = [
        CARD,
        Upi(),
        Upi(vpa="a.person@okhdfcbank"),
        *(Wallet(wallet=name) for name in WALLETS),
    ]
    for instrument in instruments:
        await the_gateway(judged).charge(a_charge(instrument), lambda: True)

    assert judged.asked == [("POST", "/v1/payment_intents", 200)] * len(instruments)


async def test_a_look_up_is_a_search_and_a_retrieval_that_stripe_knows(judged: Judged) -> None:
    assert isinstance(await the_gateway(judged).look_up(ATTEMPT), Found)

    assert [(method, status) for method, _, status in judged.asked] == [("GET", 200), ("GET", 200)]


async def test_burning_creates_and_cancels_as_stripe_knows(judged: Judged) -> None:
    await the_gateway(judged).burn(REFERENCE)

    assert judged.actions == ["payment_intents", "cancel"]
    assert not judged.refused


async def test_a_capture_is_a_request_that_stripe_knows(judged: Judged) -> None:
    judged.intent = {"status": "requires_capture"}
    await the_gateway(judged).capture(ATTEMPT)
    judged.intent = {"status": "succeeded"}
    assert await the_gateway(judged).capture(ATTEMPT) == Captured()

    assert judged.actions == ["capture"]
    assert not judged.refused


async def test_what_is_given_back_is_refunded_or_cancelled_as_stripe_knows(judged: Judged) -> None:
    judged.intent = {"status": "succeeded"}
    assert await the_gateway(judged).give_back(ATTEMPT) == GivenBack(by="refund")
    judged.intent = {"status": "requires_action"}
    await the_gateway(judged).give_back(ATTEMPT)

    assert judged.actions == ["refunds", "cancel"]
    assert not judged.refused


async def test_a_parameter_that_stripe_does_not_have_is_refused(judged: Judged) -> None:
    headers = {"authorization": "Bearer sk_test_123", "content-type": "application/x-www-form-urlencoded"}
    for wrong in (b"vpa=somebody", b"amount=ten", b"metadata=ours", b"capture_method=sometimes"):
        body = b"amount=1000&currency=inr&" + wrong
        await judged.call("POST", "/v1/payment_intents", body=body, headers=headers, timeout_ms=2_000)

    assert [status for _, _, status in judged.refused] == [400] * 4


async def test_a_version_that_is_not_of_this_api_is_refused(judged: Judged) -> None:
    headers = {"authorization": "Bearer sk_test_123", "stripe-version": "2019-01-01"}
    await judged.call("GET", "/v1/payment_intents", headers=headers, timeout_ms=2_000)

    assert judged.refused
