"""`DELETE /customers/{customer_id}/data`: nobody can tell any more whose the payments were."""

import msgspec
import pytest

from api.app import create_app
from schemas.access import AdminKey, digest
from schemas.customer import CustomerForgotten
from schemas.ids import customer_token
from tests.api.client import Answer, Client
from tests.api.requests import CARD_NUMBER, JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, CUSTOMER, PAYMENT, World
from tests.builders import minted

KEY = ("X-Internal-Api-Key", ADMIN_KEY)
ASHA = "/customers/cust_001/data?merchant_id=m_001"
OTHER = customer_token(minted(1))


async def forget(client: Client, path: str = ASHA, **body: object) -> Answer:
    content = msgspec.json.encode(body) if body else b""
    return await client.request("DELETE", path, [KEY, *([JSON] if body else [])], content)


def told(world: World) -> list[CustomerForgotten]:
    return [record.event for record in world.customers_topic.records]


async def test_who_is_forgotten_is_on_the_log_by_a_token_and_nowhere_else(
    world: World, client: Client
) -> None:
    answer = await forget(client, note="ticket 4711")
    assert (answer.status, answer.body) == (204, b"")
    (event,) = told(world)
    assert event == CustomerForgotten(
        customer=CUSTOMER, merchant_id="m_001", by="operator", note="ticket 4711"
    )
    assert "cust_001" not in repr(world.customers_topic.records)
    assert await world.customers.token_of("m_001", "cust_001") is None
    assert (await client.get(f"/payments/{PAYMENT}")).json["customer_id"] is None


async def test_to_forget_again_or_whom_nobody_knows_is_well_and_tells_nothing(
    world: World, client: Client
) -> None:
    for path in (ASHA, ASHA, "/customers/somebody/data?merchant_id=m_001"):
        assert (await forget(client, path)).status == 204
    assert len(told(world)) == 1


async def test_the_customer_of_the_same_id_of_another_merchant_is_left_alone(
    world: World, client: Client
) -> None:
    world.customers.meet("m_002", "cust_001", OTHER)
    assert (await forget(client)).status == 204
    assert await world.customers.token_of("m_002", "cust_001") == OTHER


async def test_it_is_on_the_log_before_it_is_done(world: World, client: Client) -> None:
    world.customers_topic.is_available = False
    assert_problem(await forget(client), 503, "log-unavailable")
    assert await world.customers.token_of("m_001", "cust_001") == CUSTOMER


async def test_a_vault_that_is_away_forgets_by_the_log_later(world: World, client: Client) -> None:
    world.customers.is_away = True
    assert_problem(await forget(client), 503, "store-unavailable")
    assert [event.customer for event in told(world)] == [CUSTOMER]


@pytest.mark.parametrize(
    "query",
    ["", "?merchant_id=", "?merchant_id=a&merchant_id=b", "?merchant_id=m%20", f"?merchant_id={CARD_NUMBER}"],
)
async def test_whose_customer_it_is_must_be_said(world: World, client: Client, query: str) -> None:
    assert_problem(await forget(client, f"/customers/cust_001/data{query}"), 400, "malformed-query")
    assert told(world) == []


@pytest.mark.parametrize("customer_id", ["a%20b", "x" * 65, CARD_NUMBER, CUSTOMER])
async def test_nobody_can_have_such_an_id(client: Client, customer_id: str) -> None:
    path = f"/customers/{customer_id}/data?merchant_id=m_001"
    assert_problem(await forget(client, path), 404, "no-such-customer")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"note": "cust_001 has asked"}, "/note"),
        ({"note": "for (cust_001)."}, "/note"),
        ({"note": CARD_NUMBER}, "/note"),
        ({"by": CARD_NUMBER}, "/by"),
    ],
)
async def test_the_note_names_nobody(
    world: World, client: Client, body: dict[str, str], pointer: str
) -> None:
    answer = await forget(client, **body)
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert told(world) == []


async def test_it_is_signed_with_the_key_of_the_scope_data(world: World) -> None:
    world.admin_keys = tuple(
        AdminKey(name=scope, sha256=digest(f"key of {scope}".encode()), scopes=(scope,))
        for scope in ("data", "read")
    )
    client = Client(create_app(world.services()))
    for key, status in (("key of read", 403), ("key of data", 204)):
        answer = await client.request("DELETE", ASHA, [("X-Internal-Api-Key", key)], b"")
        assert answer.status == status
    assert [event.by for event in told(world)] == ["key:data"]
