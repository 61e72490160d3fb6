import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from infra.gateways.simulator import faults
from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.profile import Fault, FaultKind, Latency, Profile
from tests.infra.gateways.serving import serving

pytestmark = pytest.mark.time_jumps

REFERENCE = "att_01jd0000000000000000000000_1_1"
BODY = {"reference": REFERENCE, "amount_minor": 1000, "currency": "INR", "method": "UPI", "instrument": {}}


class Broken:
    """A gateway that fails in one way, and whether it took the money all the same."""

    def __init__(self, simulator: Simulator, http: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.http = http

    def by(self, kind: FaultKind, probability: float = 1.0) -> None:
        fault = Fault(kind=kind, probability=probability)
        self.simulator.profiles["alpha"] = Profile(
            gateway="alpha", success_rate=1, latency=Latency(fixed_ms=0), faults=(fault,)
        )

    async def charge(self, timeout_s: float = 5.0, **other: Any) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with self.http.post("/alpha/charges", json=BODY | other, timeout=timeout) as response:
            return response.status, await response.read()

    @property
    def charged(self) -> bool:
        charge = self.simulator.ledger.find("alpha", REFERENCE)
        return charge is not None and charge.status == "captured"


@pytest_asyncio.fixture
async def broken() -> AsyncIterator[Broken]:
    simulator = Simulator([])
    async with serving(simulator) as url, aiohttp.ClientSession(url) as http:
        yield Broken(simulator, http)


@pytest.mark.parametrize(
    ("kind", "status", "charged"),
    [
        ("effect_then_500", 500, True),
        ("error_500_before_effect", 500, False),
        ("rate_limited_429", 429, False),
        ("unavailable_503_before_effect", 503, False),
        ("lookup_500", 200, True),
    ],
)
async def test_a_status_does_not_tell_whether_the_money_was_taken(
    broken: Broken, kind: FaultKind, status: int, charged: bool
) -> None:
    broken.by(kind)
    assert (await broken.charge())[0] == status
    assert broken.charged is charged


@pytest.mark.parametrize(
    ("kind", "charged"), [("effect_then_timeout", True), ("timeout_before_effect", False)]
)
async def test_a_silent_gateway_may_have_taken_the_money(
    broken: Broken, kind: FaultKind, charged: bool
) -> None:
    broken.by(kind)
    with pytest.raises(TimeoutError):
        await broken.charge(timeout_s=0.2)
    assert broken.charged is charged


async def test_silence_ends_by_itself(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "LONGEST_SILENCE_S", 0.1)
    broken.by("effect_then_timeout")
    with pytest.raises(aiohttp.ClientConnectionError):
        await broken.charge()


@pytest.mark.parametrize(("kind", "charged"), [("effect_then_reset", True), ("reset_before_effect", False)])
async def test_a_reset_may_come_after_the_money_was_taken(
    broken: Broken, kind: FaultKind, charged: bool
) -> None:
    broken.by(kind)
    with pytest.raises(aiohttp.ClientOSError, match="reset"):
        await broken.charge()
    assert broken.charged is charged


async def test_a_body_may_come_a_byte_a_second(broken: Broken) -> None:
    broken.by("slow_drip")
    async with broken.http.post("/alpha/charges", json=BODY) as response:
        assert response.status == 200
        assert await response.content.read(1) == b"{"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.read(1), 0.5)
        assert await response.content.read(1) == b'"'
        response.close()
    assert broken.charged


async def test_a_body_may_break_off_in_the_middle(broken: Broken) -> None:
    broken.by("truncated_body")
    with pytest.raises(aiohttp.ClientPayloadError):
        await broken.charge()
    assert broken.charged


async def test_a_web_page_may_stand_where_the_answer_should_be(broken: Broken) -> None:
    broken.by("garbage_body")
    status, body = await broken.charge()
    assert (status, body[:15]) == (200, b"<!doctype html>")
    assert broken.charged


async def test_success_by_status_may_be_failure_by_body_and_a_charge_in_truth(broken: Broken) -> None:
    broken.by("empty_200")
    assert await broken.charge() == (200, b'{"status":"failed","id":null}')
    assert broken.charged


async def test_another_amount_may_be_echoed(broken: Broken) -> None:
    broken.by("wrong_amount")
    status, body = await broken.charge()
    assert (status, json.loads(body)["amount_minor"]) == (200, 1100)
    charge = broken.simulator.ledger.find("alpha", REFERENCE)
    assert charge is not None
    assert charge.request.amount_minor == 1000


async def test_a_lookup_may_fail_where_the_charge_went_well(broken: Broken) -> None:
    broken.by("lookup_500")
    await broken.charge()
    async with broken.http.get(f"/alpha/charges/{REFERENCE}") as response:
        assert response.status == 500


async def test_a_fault_strikes_the_share_it_is_given_and_the_same_references_again(broken: Broken) -> None:
    broken.by("effect_then_500", probability=0.3)
    rounds = []
    for _ in range(2):
        answers = await asyncio.gather(*(broken.charge(reference=f"r{number}") for number in range(200)))
        rounds.append([status for status, _ in answers])
    assert rounds[0] == rounds[1]
    assert 40 <= rounds[0].count(500) <= 80
