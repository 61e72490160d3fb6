import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.defaults import DEFAULT_PROFILES
from infra.gateways.simulator.outcome import latent
from infra.gateways.simulator.profile import Profile
from tests.infra.gateways.serving import serving

pytestmark = pytest.mark.time_jumps

PAYMENT = "01jd0000000000000000000000"
ATTEMPT = f"att_{PAYMENT}_1_1"
INSTANT = {"latency": {"fixed_ms": 0}, "success_rate": 1}
CAPTURED = {"id": "ch_", "reference": ATTEMPT, "status": "captured", "amount_minor": 1000, "currency": "INR"}


class Client:
    """Speaks to one simulator as an adapter and as an operator would."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def behave(self, gateway: str = "alpha", **profile: Any) -> None:
        status, body = await self.ask("PUT", f"/control/gateways/{gateway}", INSTANT | profile)
        assert status == 200, body

    async def charge(self, reference: str = ATTEMPT, gateway: str = "alpha", **body: Any) -> tuple[int, Any]:
        instrument = {"type": "UPI", "vpa": "test@okhdfcbank"}
        charge = {"reference": reference, "amount_minor": 1000, "currency": "INR", "method": "UPI"}
        return await self.ask("POST", f"/{gateway}/charges", charge | {"instrument": instrument} | body)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.request(method, path, json=body) as response:
            return response.status, json.loads(await response.read())

    async def ledger(self, query: str = "") -> list[dict[str, Any]]:
        _, page = await self.ask("GET", f"/control/ledger{query}")
        charges: list[dict[str, Any]] = page["charges"]
        return charges


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with serving(Simulator(DEFAULT_PROFILES)) as url, aiohttp.ClientSession(url) as http:
        client = Client(http)
        await client.behave()
        yield client


async def test_a_charge_is_answered_and_can_be_looked_up(client: Client) -> None:
    status, charge = await client.charge()
    assert status == 200
    assert charge | {"id": "ch_"} == CAPTURED | {"decline": None, "next_action": None}
    assert await client.ask("GET", f"/alpha/charges/{ATTEMPT}") == (200, charge)
    assert (await client.ask("GET", "/alpha/charges/att_other"))[0] == 404


async def test_a_decline_says_who_is_to_blame(client: Client) -> None:
    decline = {"code": "GATEWAY_ERROR", "source": "gateway", "reason": "gateway_technical_error"}
    await client.behave(success_rate=0, declines=[decline])
    _, charge = await client.charge()
    assert (charge["status"], charge["decline"]) == ("declined", decline)


async def test_the_same_reference_with_the_same_body_is_the_same_charge(client: Client) -> None:
    answers = await asyncio.gather(*(client.charge() for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert [(charge["reference"], charge["requested"]) for charge in await client.ledger()] == [(ATTEMPT, 20)]


async def test_the_same_reference_with_another_body_is_refused(client: Client) -> None:
    await client.charge(instrument={"a": 1, "b": 2})
    assert (await client.charge(instrument={"b": 2, "a": 1}))[0] == 200
    for other in ({"amount_minor": 1001}, {"currency": "USD"}, {"instrument": {"a": 1, "b": 3}}):
        status, problem = await client.charge(**({"instrument": {"a": 1, "b": 2}} | other))
        assert (status, problem["error"]["code"]) == (422, "reference_reused")


async def test_a_burned_reference_can_never_be_charged(client: Client) -> None:
    for _ in range(2):
        assert await client.ask("POST", f"/alpha/charges/{ATTEMPT}/burn") == (200, {"status": "burned"})
    status, problem = await client.charge()
    assert (status, problem["error"]["code"]) == (409, "reference_burned")
    assert await client.ledger() == []


async def test_a_reference_burned_while_its_charge_is_on_the_way_is_not_charged(client: Client) -> None:
    await client.behave(latency={"fixed_ms": 200})
    slow = asyncio.ensure_future(client.charge())
    await asyncio.sleep(0.05)
    assert await client.ask("POST", f"/alpha/charges/{ATTEMPT}/burn") == (200, {"status": "burned"})
    assert (await slow)[0] == 409
    assert await client.ledger() == []


@pytest.mark.parametrize(("pending_rate", "status"), [(0, "refunded"), (1, "voided")])
async def test_a_charge_is_given_back_more_than_once_with_one_effect(
    client: Client, pending_rate: int, status: str
) -> None:
    await client.behave(pending_rate=pending_rate)
    await client.charge()
    for _ in range(2):
        assert await client.ask("POST", f"/alpha/charges/{ATTEMPT}/give-back") == (200, {"status": status})
    assert [charge["status"] for charge in await client.ledger()] == [status]


async def test_only_what_was_taken_is_given_back(client: Client) -> None:
    await client.behave(success_rate=0)
    await client.charge()
    assert (await client.ask("POST", f"/alpha/charges/{ATTEMPT}/give-back"))[0] == 409
    assert (await client.ask("POST", "/alpha/charges/att_other/give-back"))[0] == 404
    assert (await client.ask("POST", f"/alpha/charges/{ATTEMPT}/burn"))[0] == 409


@pytest.mark.parametrize(("method", "action"), [("UPI", "upi_intent"), ("CARD", "redirect")])
async def test_a_pending_charge_waits_for_the_customer_and_then_settles(
    client: Client, method: str, action: str
) -> None:
    await client.behave(pending_rate=1, pending_resolves_ms=100)
    _, charge = await client.charge(method=method)
    assert (charge["status"], charge["next_action"]["type"]) == ("pending", action)
    await asyncio.sleep(0.15)
    _, charge = await client.ask("GET", f"/alpha/charges/{ATTEMPT}")
    assert (charge["status"], charge["next_action"]) == ("captured", None)


async def test_a_decline_may_turn_out_captured(client: Client) -> None:
    await client.behave(success_rate=0, late_capture_rate=1, late_capture_after_ms=100)
    assert (await client.charge())[1]["status"] == "declined"
    await asyncio.sleep(0.15)
    assert [charge["status"] for charge in await client.ledger()] == ["captured"]


async def test_what_cannot_be_a_charge_is_refused(client: Client) -> None:
    assert (await client.charge(gateway="nobody"))[0] == 404
    assert (await client.charge(amount_minor=0))[0] == 400
    assert (await client.charge(colour="red"))[0] == 400
    assert (await client.charge(reference="a/b"))[0] == 400
    assert (await client.charge(instrument={"note": "x" * 70_000}))[0] == 413
    async with client.http.post("/alpha/charges", data=b"\xff{") as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "bad_request"


async def test_a_gateway_refuses_more_charges_than_it_can_work_on(client: Client) -> None:
    await client.behave(capacity=5, latency={"fixed_ms": 100})
    statuses = [status for status, _ in await asyncio.gather(*(client.charge(f"r{n}") for n in range(12)))]
    assert sorted(statuses) == [200] * 5 + [429] * 7
    assert (await client.charge("later"))[0] == 200


async def test_a_lookup_knows_nothing_until_its_lag_has_passed(client: Client) -> None:
    await client.behave(lookup_lag_ms=100)
    await client.charge()
    assert (await client.ask("GET", f"/alpha/charges/{ATTEMPT}"))[0] == 404
    await asyncio.sleep(0.15)
    assert (await client.ask("GET", f"/alpha/charges/{ATTEMPT}"))[0] == 200


async def test_a_profile_takes_force_while_the_gateway_runs(client: Client) -> None:
    assert (await client.charge("a"))[1]["status"] == "captured"
    await client.behave(success_rate=0)
    assert (await client.charge("b"))[1]["status"] == "declined"
    _, profile = await client.ask("GET", "/control/gateways/alpha")
    assert await client.ask("PUT", "/control/gateways/alpha", profile) == (200, profile)
    _, all_of_them = await client.ask("GET", "/control/gateways")
    names = [profile["gateway"] for profile in all_of_them["gateways"]]
    assert names == ["razorpay", "stripe", "payu", "cashfree", "alpha"]


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("alpha", {"sucess_rate": 1}),
        ("alpha", {"success_rate": 1.5}),
        ("alpha", {"declines": []}),
        ("alpha", {"gateway": "beta"}),
        ("control", {}),
        ("Not-A-Slug", {}),
        ("", {}),
    ],
)
async def test_a_profile_that_means_nothing_is_refused(client: Client, name: str, profile: Any) -> None:
    assert (await client.ask("PUT", f"/control/gateways/{name}", profile))[0] == 400


async def test_the_effect_stays_when_the_client_leaves_in_the_middle(client: Client) -> None:
    await client.behave(latency={"fixed_ms": 150})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.charge(), 0.05)
    assert await client.ledger() == []
    await asyncio.sleep(0.2)
    assert [charge["status"] for charge in await client.ledger()] == ["captured"]


async def test_the_summary_names_payments_that_hold_more_than_one_charge(client: Client) -> None:
    await client.behave("beta")
    other = "att_01jd0000000000000000000001_1_"
    for reference, gateway in ((ATTEMPT, "alpha"), (f"att_{PAYMENT}_2_1", "beta"), (f"{other}1", "beta")):
        await client.charge(reference, gateway)
    await client.charge(f"{other}2")
    await client.ask("POST", f"/alpha/charges/{other}2/give-back")
    await client.ask("POST", "/beta/charges/att_unused/burn")
    _, summary = await client.ask("GET", "/control/ledger/summary")
    (twice,) = summary.pop("charged_more_than_once")
    assert (twice["payment"], [charge["reference"] for charge in twice["charges"]]) == (
        PAYMENT,
        [ATTEMPT, f"att_{PAYMENT}_2_1"],
    )
    gateways = {"alpha": {"captured": 1, "refunded": 1}, "beta": {"captured": 2}}
    counts = {"references": 4, "requests": 4, "charges": 4, "burned": 1}
    assert summary == counts | {"gateways": gateways, "most_look_ups_at_once": {}}


async def test_the_summary_tells_how_many_look_ups_each_gateway_had_at_once(client: Client) -> None:
    await client.behave(lookup_ms=100)
    await client.behave("beta", lookup_ms=100)
    look_ups = [client.ask("GET", f"/alpha/charges/{ATTEMPT}") for _ in range(5)]
    await asyncio.gather(*look_ups, client.ask("GET", f"/beta/charges/{ATTEMPT}"))
    _, summary = await client.ask("GET", "/control/ledger/summary")
    assert summary["most_look_ups_at_once"] == {"alpha": 5, "beta": 1}


async def test_the_ledger_is_read_in_pages_and_can_be_cleared(client: Client) -> None:
    for number in range(5):
        await client.charge(f"a{number}")
        await client.charge(f"b{number}")
    _, first = await client.ask("GET", "/control/ledger?prefix=b&limit=3")
    _, second = await client.ask("GET", f"/control/ledger?prefix=b&limit=3&after={first['next']}")
    references = [charge["reference"] for charge in first["charges"] + second["charges"]]
    assert (references, second["next"]) == ([f"b{number}" for number in range(5)], None)
    assert len(await client.ledger("?reference=a1&gateway=alpha")) == 1
    assert (await client.ask("GET", "/control/ledger?limit=1001"))[0] == 400
    await client.ask("DELETE", "/control/ledger")
    assert await client.ledger() == []


async def test_the_same_references_make_the_same_ledger_and_agree_with_what_was_foretold(
    client: Client,
) -> None:
    profile = Profile(gateway="alpha", seed=7, success_rate=0.5, pending_rate=0.2)
    await client.behave(seed=7, success_rate=0.5, pending_rate=0.2)
    ledgers = []
    for order in (range(50), reversed(range(50))):
        await client.ask("DELETE", "/control/ledger")
        await asyncio.gather(*(client.charge(f"r{number}") for number in order))
        ledgers.append(
            {charge["reference"]: (charge["id"], charge["status"]) for charge in await client.ledger()}
        )
    foretold = {f"r{number}": latent(profile, f"r{number}") for number in range(50)}
    assert ledgers[0] == ledgers[1]
    assert ledgers[0] == {
        reference: (fate.charge_id, "pending" if fate.awaits_customer else fate.status)
        for reference, fate in foretold.items()
    }
    _, asked = await client.ask("GET", "/control/latent?reference=r3")
    assert asked["alpha"]["charge_id"] == foretold["r3"].charge_id
