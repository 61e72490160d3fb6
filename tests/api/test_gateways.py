"""`/gateways`: what routing may do with each gateway, who may set it, and what is refused."""

from typing import Any

import msgspec
import pytest

from tests.api.client import Answer, Client
from tests.api.requests import JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, World

pytestmark = pytest.mark.time_jumps

KEY = ("X-Internal-Api-Key", ADMIN_KEY)


async def patch(client: Client, gateway: str, version: int | None = 0, **changes: object) -> Answer:
    seen = [] if version is None else [("If-Match", f'"{version}"')]
    body = msgspec.json.encode({"by": "asha", "note": "a contract", **changes})
    return await client.request("PATCH", f"/gateways/{gateway}", [JSON, KEY, *seen], body)


async def get(client: Client, path: str, *headers: tuple[str, str]) -> Answer:
    return await client.get(path, [KEY, *headers])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/gateways"), ("GET", "/gateways/stripe"), ("PATCH", "/gateways/stripe")]
)
async def test_it_is_for_those_who_have_the_key(world: World, client: Client, method: str, path: str) -> None:
    for headers in ([], [("X-Internal-Api-Key", "a guess")]):
        assert_problem(await client.request(method, path, headers), 401, "unauthorized")
    assert not world.topic.records


async def test_before_anybody_set_anything_gateways_are_as_they_are_configured(client: Client) -> None:
    razorpay, stripe = (await get(client, "/gateways")).json["gateways"]
    assert razorpay == {
        "version": 0,
        "by": None,
        "note": None,
        "at": None,
        "id": "razorpay",
        "name": "Razorpay",
        "adapter": "simulator",
        "enabled": True,
        "priority": 1,
        "fee_bps": 0,
        "payment_methods": ["UPI", "CARD"],
        "currencies": ["INR"],
        "minimum_amount_minor": 1,
        "maximum_amount_minor": None,
        "timeout_ms": 2500,
        "set": {},
    }
    shown = await get(client, "/gateways/stripe")
    assert (shown.status, shown.headers["etag"], shown.json) == (200, '"0"', stripe)


async def test_what_is_set_is_in_force_and_told_with_who_set_it(world: World, client: Client) -> None:
    answer = await patch(client, "stripe", enabled=False, fee_bps=150)
    assert (answer.status, answer.headers["etag"]) == (200, '"1"'), answer.body
    assert (answer.json["enabled"], answer.json["fee_bps"], answer.json["priority"]) == (False, 150, 2)
    assert answer.json["set"] == {"enabled": False, "fee_bps": 150}
    assert (answer.json["version"], answer.json["by"], answer.json["note"]) == (1, "asha", "a contract")
    assert (await get(client, "/gateways/stripe")).json == answer.json
    assert (await get(client, "/gateways")).json["gateways"][1] == answer.json
    assert (await get(client, "/gateways/stripe", ("If-None-Match", '"1"'))).status == 304
    (record,) = world.topic.records
    assert record.envelope.aggregate_id == "gateway:stripe"


async def test_what_is_left_out_stays_and_what_is_null_is_again_as_configured(client: Client) -> None:
    await patch(client, "stripe", enabled=False, priority=7)
    answer = await patch(client, "stripe", 1, fee_bps=10, enabled=None)
    assert answer.json["set"] == {"priority": 7, "fee_bps": 10}
    assert answer.json["enabled"]


async def test_a_patch_that_changes_nothing_writes_nothing(world: World, client: Client) -> None:
    assert (await patch(client, "stripe")).json["version"] == 0
    await patch(client, "stripe", priority=7)
    assert (await patch(client, "stripe", 1, priority=7)).json["version"] == 1
    assert len(world.topic.records) == 1


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_a_gateway_that_there_is_not_is_404(world: World, client: Client, method: str) -> None:
    answer = await client.request(method, "/gateways/ghost", [JSON, KEY, ("If-Match", '"0"')], b"{}")
    assert_problem(answer, 404, "no-such-gateway")
    assert not world.topic.records


async def test_who_has_not_seen_the_last_version_sets_nothing(world: World, client: Client) -> None:
    await patch(client, "stripe", priority=7)
    assert_problem(await patch(client, "stripe", 0, priority=8), 412, "stale-version")
    assert_problem(await patch(client, "stripe", None, priority=8), 428, "version-missing")
    assert len(world.topic.records) == 1


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"priority": -1}, ["/priority"]),
        ({"fee_bps": 10_001}, ["/fee_bps"]),
        ({"enabled": "no"}, ["/enabled"]),
        ({"payment_methods": []}, ["/payment_methods"]),
        ({"payment_methods": ["CASH"]}, ["/payment_methods/0"]),
        ({"minimum_amount_minor": 0}, ["/minimum_amount_minor"]),
        ({"maximum_amount_minor": 2**60}, ["/maximum_amount_minor"]),
        ({"minimum_amount_minor": 10, "maximum_amount_minor": 9, "currencies": ["XTS"]},
         ["/currencies/0", "/minimum_amount_minor"]),
        ({"base_url": "http://169.254.169.254"}, ["/base_url"]),
        ({"adapter": "razorpay"}, ["/adapter"]),
        ({"by": ""}, ["/by"]),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_by_its_pointers(
    world: World, client: Client, changes: dict[str, Any], pointers: list[str]
) -> None:
    answer = await patch(client, "stripe", **changes)
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == pointers
    assert not world.topic.records


async def test_the_last_gateway_of_a_method_is_not_disabled_unawares(world: World, client: Client) -> None:
    answer = await patch(client, "razorpay", enabled=False)
    assert_problem(answer, 409, "no-gateway-left")
    assert "UPI in INR" in answer.json["detail"]
    assert not world.topic.records
    assert (await patch(client, "stripe", payment_methods=["CARD", "UPI"])).status == 200
    assert (await patch(client, "razorpay", enabled=False)).status == 200


async def test_another_method_is_405_and_is_told_which_there_are(client: Client) -> None:
    answer = await client.request("DELETE", "/gateways/stripe", [KEY])
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PATCH"}
