"""`/kill-switches`: what operators have switched off, who may, and what is refused meanwhile."""

from typing import Any

import msgspec
import pytest

from schemas.configuration import KillSwitchTurnedOn
from schemas.routing_configuration import GatewaySwitch
from tests.api.client import Answer, Client
from tests.api.requests import CARD_NUMBER, JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, GATEWAY, World

pytestmark = pytest.mark.time_jumps

KEY = ("X-Internal-Api-Key", ADMIN_KEY)
PATH = "/kill-switches"
METRIC = "payments_gateway_kill_switches_on{"
RAZORPAY = {"kind": "gateway", "name": "razorpay", "on": True, "by": "asha", "note": "it charges twice"}


async def turn(client: Client, version: int | None = None, **changes: Any) -> Answer:
    seen = [] if version is None else [("If-Match", f'"{version}"')]
    return await client.post(PATH, [JSON, KEY, *seen], msgspec.json.encode({**RAZORPAY, **changes}))


async def get(client: Client) -> Answer:
    return await client.get(PATH, [KEY])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_it_is_for_those_who_have_the_key(world: World, client: Client, method: str) -> None:
    for headers in ([], [("X-Internal-Api-Key", "a guess")]):
        assert_problem(await client.request(method, PATH, headers), 401, "unauthorized")
    assert not world.topic.records


async def test_at_first_nothing_is_switched_off(client: Client) -> None:
    answer = await get(client)
    assert (answer.status, answer.json) == (200, {"switches": []})


async def test_a_switch_is_in_force_when_it_is_answered_with_who_turned_it_and_what_is_lost(
    world: World, client: Client
) -> None:
    answer = await turn(client)
    assert (answer.status, answer.headers["etag"]) == (200, '"1"'), answer.body
    assert answer.json == {
        "version": 1,
        "by": "asha",
        "note": "it charges twice",
        "at": "2026-11-23T09:30:00Z",
        "kind": "gateway",
        "name": "razorpay",
        "on": True,
        "warnings": [{"pointer": "/name", "detail": "no gateway is left for UPI in INR"}],
    }
    assert world.configuration.current.routing.off.gateways == {GATEWAY}
    assert (await get(client)).json["switches"] == [answer.json]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("gateway", "stripe"), ("method", "UPI"), ("merchant", "m_001:a"), ("strategy", "scores")],
)
async def test_each_kind_is_turned_on_and_off(world: World, client: Client, kind: str, name: str) -> None:
    on = await turn(client, kind=kind, name=name)
    assert (on.status, on.json["on"]) == (200, True)
    off = await turn(client, kind=kind, name=name, on=False, by="ravi", note="mended")
    assert (off.status, off.json["on"], off.json["by"], off.json["version"]) == (200, False, "ravi", 2)
    (listed,) = (await get(client)).json["switches"]
    assert listed == off.json
    assert [type(record.event).__name__ for record in world.topic.records] == [
        "KillSwitchTurnedOn",
        "KillSwitchTurnedOff",
    ]


async def test_what_is_so_already_writes_nothing(world: World, client: Client) -> None:
    assert (await turn(client, on=False)).json["version"] == 0
    await turn(client)
    assert (await turn(client, by="ravi")).json["by"] == "asha"
    assert len(world.topic.records) == 1


async def test_who_has_looked_may_insist_on_what_they_have_seen(client: Client) -> None:
    await turn(client)
    assert_problem(await turn(client, 0, on=False), 412, "stale-version")
    assert (await turn(client, 1, on=False)).status == 200


async def test_of_two_who_turn_it_on_at_once_nobody_is_sent_away(world: World, client: Client) -> None:
    """The other's event is on the log before ours, and this process has not heard of it when it decides."""
    world.tail.pause()
    other = KillSwitchTurnedOn(
        switch=GatewaySwitch(name=GATEWAY), by="ravi", note="the same", instead_of_version=0
    )
    await world.topic.append(other, "evt_other", "req_other")
    append = world.topic.append

    async def appended_and_heard(event: Any, event_id: str, caused_by: str) -> None:
        await append(event, event_id, caused_by)
        world.tail.resume()

    world.topic.append = appended_and_heard  # type: ignore[method-assign]
    answer = await turn(client)
    assert (answer.status, answer.json["on"], answer.json["by"]) == (200, True, "ravi"), answer.body


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"kind": "moon"}, "/kind"),
        ({"name": "ghost"}, "/name"),
        ({"kind": "method", "name": "CASH"}, "/name"),
        ({"kind": "merchant", "name": "m 1"}, "/name"),
        ({"kind": "merchant", "name": CARD_NUMBER}, "/name"),
        ({"kind": "strategy", "name": "rules"}, "/name"),
        ({"name": ""}, "/name"),
        ({"on": "yes"}, "/on"),
        ({"note": ""}, "/note"),
        ({"by": ""}, "/by"),
        ({"until": "tomorrow"}, "/until"),
    ],
)
async def test_what_is_wrong_is_told_by_its_pointer(
    world: World, client: Client, changes: dict[str, Any], pointer: str
) -> None:
    answer = await turn(client, **changes)
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert CARD_NUMBER.encode() not in answer.body
    assert not world.topic.records


async def test_why_is_to_be_said(client: Client) -> None:
    body = {name: value for name, value in RAZORPAY.items() if name != "note"}
    answer = await client.post(PATH, [JSON, KEY], msgspec.json.encode(body))
    assert_problem(answer, 422, "invalid-body")


async def test_metrics_tell_what_is_switched_off_and_of_merchants_how_many(client: Client) -> None:
    async def told() -> list[str]:
        text = (await client.get("/metrics")).body.decode()
        return [line.partition("{")[2] for line in text.splitlines() if line.startswith(METRIC)]

    await turn(client)
    await turn(client, kind="merchant", name="m_001")
    await turn(client, kind="merchant", name="m_002")
    assert await told() == [
        'kind="merchant",name=""} 2.0',
        'kind="gateway",name="razorpay"} 1.0',
    ]
    await turn(client, on=False)
    assert await told() == ['kind="merchant",name=""} 2.0']


async def test_scoring_debug_shows_what_is_switched_off(world: World, client: Client) -> None:
    await turn(client)
    world.facts.known = msgspec.structs.replace(
        world.facts.known, configuration=world.configuration.current.routing
    )
    answer = await client.get("/scoring/debug?payment_method=CARD")
    assert {"gateway": "razorpay", "reason": "gateway_switched_off", "rule": None} in answer.json["excluded"]


async def test_another_method_is_405_and_is_told_which_there_are(client: Client) -> None:
    answer = await client.request("DELETE", PATH, [KEY])
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
