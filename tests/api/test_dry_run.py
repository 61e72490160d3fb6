"""`POST /routing-rules/dry-run`: the route that a payment would get, without making it."""

from typing import Any

import msgspec
import pytest

from tests.api.client import Answer, Client
from tests.api.requests import BODY, CARD, CARD_NUMBER, JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, World
from tests.api.test_configuration import RULES, put

KEY = ("X-Internal-Api-Key", ADMIN_KEY)
CARDS: dict[str, Any] = {"payment_method": "CARD", "instrument": CARD}


async def dry_run(client: Client, *headers: tuple[str, str], **changes: object) -> Answer:
    return await client.post(
        "/routing-rules/dry-run", [JSON, KEY, *headers], msgspec.json.encode({**BODY, **changes})
    )


async def test_without_rules_it_tells_the_route_as_it_is(world: World, client: Client) -> None:
    answer = await dry_run(client, **CARDS)
    assert answer.status == 200, answer.body
    assert (answer.json["configuration_version"], answer.json["segment"]) == (0, "CARD")
    assert (answer.json["excluded_by_rules"], answer.json["decided_by"]) == ([], None)
    route = answer.json["route"]
    assert [candidate["gateway"] for candidate in route["candidates"]] == ["razorpay", "stripe"]
    assert route["strategy"] == "SCORE"
    assert not world.handler.calls
    assert not world.topic.records


async def test_it_tells_why_a_gateway_cannot_take_the_payment(client: Client) -> None:
    answer = await dry_run(client, currency="USD")
    assert answer.status == 200
    assert answer.json["route"]["candidates"] == []
    assert {(one["gateway"], one["reason"]) for one in answer.json["route"]["excluded"]} == {
        ("razorpay", "currency"),
        ("stripe", "method"),
    }


async def test_it_tells_what_the_rules_in_force_say(client: Client) -> None:
    exclusion = {"id": "no-stripe", "then": {"type": "exclude", "gateways": ["stripe"]}}
    await put(client, "/routing-rules", {**RULES, "rules": [exclusion, *RULES["rules"]]})
    answer = await dry_run(client)
    assert answer.json["configuration_version"] == 1
    assert answer.json["excluded_by_rules"] == [{"gateway": "stripe", "rule": "no-stripe"}]
    assert answer.json["decided_by"] == {"rule": "pinned", "then": {"type": "pin", "gateway": "razorpay"}}


async def test_proposed_rules_are_tried_instead_of_those_in_force_and_not_set(
    world: World, client: Client
) -> None:
    await put(client, "/routing-rules", RULES)
    proposed = [
        {"id": "all", "then": {"type": "prefer", "gateways": ["stripe"]}},
        {
            "id": "app",
            "then": {"type": "pin", "gateway": "stripe"},
            "when": {"attributes": {"channel": ["app"]}},
        },
    ]
    answer = await dry_run(client, rules=proposed)
    assert answer.json["configuration_version"] is None
    assert answer.json["decided_by"]["rule"] == "all"
    assert [warning["pointer"] for warning in answer.json["warnings"]] == ["/rules/1"]
    assert len(world.topic.records) == 1


async def test_context_headers_are_what_rules_look_at(client: Client) -> None:
    rule = {
        "id": "app",
        "then": {"type": "exclude", "gateways": ["stripe"]},
        "when": {"attributes": {"channel": ["app"]}},
    }
    answer = await dry_run(client, ("X-Context-Channel", "app"), rules=[rule])
    assert answer.json["excluded_by_rules"] == [{"gateway": "stripe", "rule": "app"}]
    assert (await dry_run(client, rules=[rule])).json["excluded_by_rules"] == []


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"currency": "XXX"}, ["/currency"]),
        ({"amount_minor": 0}, ["/amount_minor"]),
        ({"customer_id": CARD_NUMBER}, ["/customer_id"]),
        (
            {"currency": "XXX", "rules": [{"id": "a", "then": {"type": "pin", "gateway": "ghost"}}]},
            ["/currency", "/rules/0/then/gateway"],
        ),
    ],
)
async def test_a_payment_or_rules_that_would_be_refused_are_refused_alike(
    client: Client, changes: dict[str, object], pointers: list[str]
) -> None:
    answer = await dry_run(client, **changes)
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == pointers
    assert CARD_NUMBER.encode() not in answer.body
