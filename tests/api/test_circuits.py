"""`/circuit-breaker`: which gateways are avoided, and an operator's word that is obeyed before it is answered."""

import asyncio

import msgspec
import pytest

from schemas.circuit import CallObserved, ForceOpen
from schemas.errors import AppendAmbiguous, LogUnavailable
from schemas.ids import GatewayId
from tests.api.client import Answer, Client
from tests.api.requests import CARD_NUMBER, JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, ATTEMPT, GATEWAY, START, World

pytestmark = pytest.mark.time_jumps

KEY = ("X-Internal-Api-Key", ADMIN_KEY)


async def order(client: Client, verb: str, *, path: str = f"{GATEWAY}/UPI", **body: object) -> Answer:
    headers = [KEY, JSON] if body else [KEY]
    return await client.post(
        f"/circuit-breaker/{verb}/{path}", headers, msgspec.json.encode(body) if body else b""
    )


async def test_every_circuit_that_can_be_is_shown_and_closed_until_somebody_says_otherwise(
    client: Client,
) -> None:
    answer = await client.get("/circuit-breaker/status")
    assert (answer.status, answer.json["version"], answer.json["current"]) == (200, -1, True)
    assert [(one["payment_method"], one["status"]) for one in answer.json["circuits"]] == [
        ("CARD", "CLOSED"),
        ("UPI", "CLOSED"),
    ]
    assert answer.json["circuits"][1] == {
        "gateway": GATEWAY,
        "payment_method": "UPI",
        "status": "CLOSED",
        "since": None,
        "until": None,
        "reason": None,
        "opening": 0,
        "by": None,
        "note": None,
        "version": 0,
    }


async def test_a_circuit_that_opened_shows_until_when_and_why(world: World, client: Client) -> None:
    for offset in range(20):
        world.circuit_writer.obey(
            CallObserved(
                gateway=GATEWAY,
                payment_method="UPI",
                attempt_id=ATTEMPT,
                is_failure=True,
                latency_ms=1,
                at=START,
                source_partition=0,
                source_offset=offset,
            )
        )
    (circuit,) = (await client.get("/circuit-breaker/status?method=UPI")).json["circuits"]
    assert (circuit["status"], circuit["reason"], circuit["opening"]) == ("OPEN", "fast", 1)
    assert circuit["until"] > circuit["since"]


@pytest.mark.parametrize(
    "query, found",
    [("gateway=razorpay", 2), ("method=UPI", 1), ("gateway=razorpay&method=CARD", 1), ("gateway=nobody", 0)],
)
async def test_the_status_is_of_those_that_were_asked_for(client: Client, query: str, found: int) -> None:
    assert len((await client.get(f"/circuit-breaker/status?{query}")).json["circuits"]) == found


async def test_what_operators_have_written_is_for_operators(client: Client) -> None:
    await order(client, "force-open", note="maintenance", by="asha")
    path, shown = "/circuit-breaker/status?method=UPI", []
    for headers in ([], [KEY]):
        (circuit,) = (await client.get(path, headers)).json["circuits"]
        shown.append((circuit["status"], circuit["by"], circuit["note"]))
    assert shown == [("FORCED_OPEN", None, None), ("FORCED_OPEN", "asha", "maintenance")]
    assert_problem(await client.get(path, [(KEY[0], "a guess")]), 401, "unauthorized")


async def test_a_method_that_is_none_is_400(client: Client) -> None:
    assert_problem(await client.get("/circuit-breaker/status?method=CASH"), 400, "malformed-query")


async def test_a_force_is_in_force_when_it_is_answered(world: World, client: Client) -> None:
    answer = await order(client, "force-open", note="maintenance", by="asha")
    assert (answer.status, answer.json["status"]) == (200, "FORCED_OPEN")
    assert (answer.json["by"], answer.json["note"], answer.json["version"]) == ("asha", "maintenance", 1)
    assert world.circuit_facts.views[GATEWAY, "UPI"].status == "FORCED_OPEN"
    ((command, correlation_id),) = world.circuit_writer.published
    assert isinstance(command, ForceOpen)
    assert (command.at, correlation_id) == (world.clock.now(), answer.headers["x-request-id"])
    assert command.request_id != correlation_id


async def test_a_force_needs_no_body(client: Client) -> None:
    answer = await order(client, "force-close")
    assert (answer.json["status"], answer.json["by"], answer.json["note"]) == (
        "FORCED_CLOSED",
        "operator",
        "",
    )


async def test_a_forced_circuit_is_released_and_forced_again_under_one_request_id(client: Client) -> None:
    """Whoever sends the same X-Request-Id with all that he does is obeyed each time."""
    statuses = [
        (
            await client.post(
                f"/circuit-breaker/{verb}/{GATEWAY}/UPI", [KEY, ("X-Request-Id", "req-of-mine")], b""
            )
        ).json["status"]
        for verb in ("force-open", "release", "force-open", "force-close", "release")
    ]
    assert statuses == ["FORCED_OPEN", "CLOSED", "FORCED_OPEN", "FORCED_CLOSED", "CLOSED"]


@pytest.mark.parametrize("verb", ["force-open", "force-close", "release"])
async def test_what_is_in_force_already_is_answered_at_once(world: World, client: Client, verb: str) -> None:
    first = await order(client, verb)
    published = len(world.circuit_writer.published)
    world.circuit_writer.is_away = True
    assert (await order(client, verb)).json == first.json
    assert len(world.circuit_writer.published) == published


async def test_old_facts_are_no_reason_to_hold_an_order_back(world: World, client: Client) -> None:
    await order(client, "force-open")
    world.circuit_tail.is_current = False
    await order(client, "force-open")
    assert len(world.circuit_writer.published) == 2


@pytest.mark.parametrize("path", ["nobody/UPI", f"{GATEWAY}/WALLET", f"{GATEWAY}/CASH", f"{GATEWAY}/upi"])
async def test_a_circuit_that_cannot_be_is_404(world: World, client: Client, path: str) -> None:
    assert_problem(await order(client, "force-open", path=path), 404, "circuit-not-found")
    assert world.circuit_writer.published == []


async def test_a_circuit_of_a_gateway_that_is_configured_no_more_can_be_released(
    world: World, client: Client
) -> None:
    gone = GatewayId("gone")
    world.circuit_writer.obey(
        ForceOpen(gateway=gone, payment_method="WALLET", at=START, by="asha", note="", request_id="r")
    )
    assert (await order(client, "release", path="gone/WALLET")).json["status"] == "CLOSED"


async def test_an_order_whose_writer_is_away_is_recorded_and_takes_effect_later(
    world: World, client: Client
) -> None:
    world.circuit_writer.is_away = True
    assert_problem(await order(client, "force-open"), 503, "circuit-not-confirmed")
    ((command, _),) = world.circuit_writer.published
    world.circuit_writer.obey(command)
    (circuit,) = (await client.get("/circuit-breaker/status?method=UPI")).json["circuits"]
    assert circuit["status"] == "FORCED_OPEN"


async def test_a_release_that_another_was_faster_with_is_no_failure(world: World, client: Client) -> None:
    await order(client, "force-open")
    slow = asyncio.create_task(order(client, "release", by="asha"))
    fast = asyncio.create_task(order(client, "release", by="bela"))
    assert [(await slow).json["status"], (await fast).json["status"]] == ["CLOSED", "CLOSED"]


@pytest.mark.parametrize("failure", [LogUnavailable("away"), AppendAmbiguous("who knows")])
async def test_an_order_that_may_not_be_recorded_is_503(
    world: World, client: Client, failure: Exception
) -> None:
    world.circuit_writer.failure = failure
    assert_problem(await order(client, "force-open"), 503, "log-unavailable")


@pytest.mark.parametrize("headers", [[], [("X-Internal-Api-Key", "wrong")]])
@pytest.mark.parametrize("verb", ["force-open", "force-close", "release"])
async def test_nobody_is_obeyed_without_the_key(
    world: World, client: Client, verb: str, headers: list[tuple[str, str]]
) -> None:
    answer = await client.post(f"/circuit-breaker/{verb}/{GATEWAY}/UPI", headers, b"")
    assert_problem(answer, 401, "unauthorized")
    assert world.circuit_writer.published == []


@pytest.mark.parametrize(
    "body, pointer",
    [
        ({"note": f"card {CARD_NUMBER}"}, "/note"),
        ({"by": "a\nb"}, "/by"),
        ({"by": ""}, "/by"),
        ({"note": "x" * 501}, "/note"),
        ({"reason": "x"}, "/reason"),
    ],
)
async def test_a_bad_body_is_refused_by_name(client: Client, body: dict[str, str], pointer: str) -> None:
    answer = await order(client, "force-open", **body)
    assert_problem(answer, 422, "invalid-body")
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


async def test_a_body_that_is_no_json_is_refused(client: Client) -> None:
    path = f"/circuit-breaker/force-open/{GATEWAY}/UPI"
    assert_problem(await client.post(path, [KEY], b"note=x"), 415, "unsupported-media-type")
    assert_problem(await client.post(path, [KEY, JSON], b"{"), 400, "malformed-body")
