"""Operators' keys: each for its scopes, by its name, and nothing without one."""

import msgspec
import pytest

from api.app import create_app
from schemas.access import SCOPES, AdminKey, digest
from tests.api.client import Answer, Client, Headers
from tests.api.requests import JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, ATTEMPT, GATEWAY, PAYMENT, World

ASHA, ASHAS_NEW, ROBOT = "pgk_of-asha", "pgk_of-asha-too", "pgk_of-a-robot"
OF_ASHA = AdminKey(name="asha", sha256=digest(ASHA.encode()), scopes=("read", "configuration", "circuits"))
OF_ROBOT = AdminKey(name="deploy-bot", sha256=digest(ROBOT.encode()), scopes=("configuration",))
FORCE = f"/circuit-breaker/force-open/{GATEWAY}/UPI"
RULES = "/routing-rules"


@pytest.fixture
def client(world: World) -> Client:
    world.admin_keys = (
        OF_ASHA,
        msgspec.structs.replace(OF_ASHA, sha256=digest(ASHAS_NEW.encode())),
        OF_ROBOT,
    )
    return Client(create_app(world.services()))


def with_key(key: str) -> Headers:
    return [("X-Internal-Api-Key", key), JSON]


async def put_rules(client: Client, key: str, by: str, version: int = 0) -> Answer:
    content = msgspec.json.encode({"rules": [], "by": by})
    return await client.request("PUT", RULES, [*with_key(key), ("If-Match", f'"{version}"')], content)


async def test_a_key_opens_what_its_scopes_name(client: Client) -> None:
    assert (await client.get(RULES, with_key(ASHA))).status == 200
    assert (await client.post(FORCE, with_key(ASHA), b"")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", RULES, "read"),
        ("GET", "/scoring/weights", "read"),
        ("GET", "/bandit/segmentation", "read"),
        ("GET", "/shadow-policy", "read"),
        ("GET", "/bandit/policy", "read"),
        ("POST", "/routing-rules/dry-run", "read"),
        ("GET", "/gateways", "read"),
        ("GET", "/gateways/razorpay", "read"),
        ("GET", "/retry-policy/m_001", "read"),
        ("GET", "/kill-switches", "read"),
        ("GET", "/audit", "read"),
        ("GET", "/webhooks/subscriptions", "webhooks"),
        ("POST", "/webhooks/subscriptions", "webhooks"),
        ("GET", "/webhooks/subscriptions/whs_1", "webhooks"),
        ("DELETE", "/webhooks/subscriptions/whs_1", "webhooks"),
        ("PATCH", "/webhooks/subscriptions/whs_1", "webhooks"),
        ("POST", "/webhooks/subscriptions/whs_1/enable", "webhooks"),
        ("POST", "/webhooks/subscriptions/whs_1/replay", "webhooks"),
        ("POST", "/webhooks/subscriptions/whs_1/rotate-secret", "webhooks"),
        ("GET", "/webhooks/deliveries", "webhooks"),
        ("POST", "/webhooks/deliveries/whd_1/replay", "webhooks"),
        ("POST", FORCE, "circuits"),
        ("POST", FORCE.replace("open", "close"), "circuits"),
        ("POST", FORCE.replace("force-open", "release"), "circuits"),
        ("POST", "/experiments", "experiments"),
        ("POST", "/experiments/exp_1/stop", "experiments"),
        ("POST", "/experiments/exp_1/pause", "experiments"),
        ("POST", "/experiments/exp_1/resume", "experiments"),
        ("DELETE", "/customers/cust_001/data", "data"),
        ("GET", "/reviews", "reviews"),
        ("POST", "/reviews/pay_1/settle", "reviews"),
    ],
)
async def test_a_key_without_the_scope_is_403_and_hears_which_one_it_lacks(
    client: Client, method: str, path: str, scope: str
) -> None:
    answer = await client.request(method, path, with_key(ROBOT))
    assert_problem(answer, 403, "forbidden")
    assert answer.json["detail"].endswith(f"the scope {scope}.")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", RULES),
        ("PUT", "/scoring/weights"),
        ("PUT", "/bandit/segmentation"),
        ("PUT", "/shadow-policy"),
        ("PATCH", "/gateways/razorpay"),
        ("PUT", "/retry-policy/m_001"),
        ("DELETE", "/retry-policy/m_001"),
        ("POST", "/kill-switches"),
    ],
)
async def test_who_may_read_may_not_set(world: World, method: str, path: str) -> None:
    scopes = tuple(scope for scope in SCOPES if scope != "configuration")
    world.admin_keys = (msgspec.structs.replace(OF_ROBOT, scopes=scopes),)
    client = Client(create_app(world.services()))
    assert (await client.get(path, with_key(ROBOT))).status == 200
    answer = await client.request(method, path, with_key(ROBOT), b"{}")
    assert_problem(answer, 403, "forbidden")


async def test_while_a_key_is_rotated_the_old_and_the_new_one_are_valid(client: Client) -> None:
    for key in (ASHA, ASHAS_NEW):
        assert (await client.get(RULES, with_key(key))).status == 200


async def test_a_key_that_was_taken_out_is_refused_at_the_next_request_and_others_are_not(
    world: World,
) -> None:
    services = world.services()
    client = Client(create_app(services))
    services.admin.know([OF_ASHA, OF_ROBOT])
    assert (await client.get(RULES, with_key(ASHA))).status == 200
    services.admin.know([OF_ROBOT])
    assert_problem(await client.get(RULES, with_key(ASHA)), 401, "unauthorized")
    assert_problem(await client.get(RULES, with_key(ROBOT)), 403, "forbidden")


@pytest.mark.parametrize("key", ["", "pgk_of", ASHA + "x", OF_ASHA.sha256, "asha"])
async def test_what_is_no_key_is_401(client: Client, key: str) -> None:
    assert_problem(await client.get(RULES, with_key(key)), 401, "unauthorized")


async def test_the_log_names_the_key_that_something_was_done_with(world: World, client: Client) -> None:
    for version, (key, by) in enumerate([(ROBOT, "deploy-bot"), (ROBOT, "asha"), (ADMIN_KEY, "asha")]):
        weights = msgspec.json.encode({"weights": {"cost": version / 10}, "by": by})
        if_match = ("If-Match", f'"{version}"')
        answer = await client.request("PUT", "/scoring/weights", [*with_key(key), if_match], weights)
        assert answer.status == 200, answer
    assert [record.event.by for record in world.topic.records] == [
        "key:deploy-bot",
        "key:deploy-bot for asha",
        "asha",
    ]


async def test_who_leaves_out_his_name_is_named_by_his_key(world: World, client: Client) -> None:
    await client.post(FORCE, with_key(ASHA), b"")
    await client.post(FORCE.replace("open", "close"), with_key(ADMIN_KEY), b"")
    orders = [message for message, _ in world.circuit_writer.published]
    assert [order.by for order in orders] == ["key:asha", "operator"]  # type: ignore[union-attr]


@pytest.mark.parametrize("key", [ROBOT, ADMIN_KEY])
async def test_nobody_can_claim_a_key_that_he_does_not_have(world: World, client: Client, key: str) -> None:
    answer = await put_rules(client, key, "key:asha")
    assert_problem(answer, 422, "invalid-body")
    assert answer.json["errors"][0]["pointer"] == "/by"
    assert not world.topic.records


async def test_nor_in_what_settles_a_review(world: World, client: Client) -> None:
    settled = {"attempt_id": ATTEMPT, "verdict": "not_sent", "note": "asked them", "settled_by": "key:asha"}
    path = f"/reviews/{PAYMENT}/settle"
    answer = await client.post(path, with_key(ADMIN_KEY), msgspec.json.encode(settled))
    assert_problem(answer, 422, "invalid-body")
    assert answer.json["errors"][0]["pointer"] == "/settled_by"
    assert not world.messages.published
